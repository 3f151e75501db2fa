//! Sandboxed WebAssembly policies: engine, bindings, limits, decisions
