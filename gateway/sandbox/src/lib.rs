//! Runs components that nobody has to trust: the engine, the limits of one instance, and snapshots of configured
//! components. The crates above decide what a guest may call and what its answers mean.

mod bake;
mod deadline;
mod engine;
mod instance;

pub use bake::{INSTRUMENTATION, Instrumented};
pub use engine::{EngineError, LARGEST_MEMORY, MEMORIES, PAGE, Sandbox};
pub use instance::{Bounds, Failure, Limits, store};
