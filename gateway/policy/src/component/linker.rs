//! What components are linked with.

use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::guest::Bounds;
use super::wasi;
use crate::contract::Calls;
use crate::contract::world::{data_sets, groups, issuance_counts, log, lookup_types, types};

/// Links what guests may import, and what this one imports of WASI.
pub(crate) fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Bounds>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<_, HasCalls>(&mut linker, calls)?;
    groups::add_to_linker::<_, HasCalls>(&mut linker, calls)?;
    data_sets::add_to_linker::<_, HasCalls>(&mut linker, calls)?;
    issuance_counts::add_to_linker::<_, HasCalls>(&mut linker, calls)?;
    types::add_to_linker::<_, HasCalls>(&mut linker, calls)?;
    lookup_types::add_to_linker::<_, HasCalls>(&mut linker, calls)?;
    wasi::link(&mut linker, engine, component)?;
    Ok(linker)
}

fn calls(bounds: &mut Bounds) -> &mut Calls {
    &mut bounds.host.calls
}

type HasCalls = HasSelf<Calls>;
