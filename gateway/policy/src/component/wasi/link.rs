//! Links what a component imports of WASI.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime::{Engine, Result, StoreContextMut};

use super::interface;
use super::state::Absent;
use crate::component::guest::Bounds;
use crate::contract::world::log::Level;

/// Bytes that a guest may print at once.
const PRINTED_BYTES: u64 = 4096;

/// Whatever a guest holds of WASI: a stream, or something to wait for. One type does for all, since none of
/// them has anything behind it.
enum Handle {}

/// What prints.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
/// What does not.
const OTHER: u32 = 0;

/// `wasi:clocks/wall-clock.datetime`
#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// `wasi:io/streams.stream-error`
#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "nothing here fails")]
    LastOperationFailed(Resource<Handle>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = std::result::Result<T, StreamError>;
type Instance<'a> = LinkerInstance<'a, Bounds>;

/// Links what the component imports of WASI.
pub(crate) fn link(
    linker: &mut Linker<Bounds>,
    engine: &Engine,
    component: &Component,
) -> Result<()> {
    for (name, import) in component.component_type().imports(engine) {
        let Some(interface) = interface(name) else { continue };
        let ComponentItem::ComponentInstance(items) = import.ty else { continue };
        let mut instance = linker.instance(name)?;
        for (item, export) in items.exports(engine) {
            match export.ty {
                ComponentItem::Resource(_) => {
                    let ty = ResourceType::host::<Handle>();
                    instance.resource(item, ty, |mut store, _| {
                        let state = &mut store.data_mut().host.wasi;
                        state.handles = state.handles.saturating_sub(1);
                        Ok(())
                    })?;
                }
                ComponentItem::ComponentFunc(_) => define(&mut instance, interface, item)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn define(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    match interface {
        "cli/environment" => environment(instance, interface, function),
        "clocks/monotonic-clock" | "clocks/wall-clock" => clock(instance, interface, function),
        "random/random" | "random/insecure" | "random/insecure-seed" => {
            random(instance, interface, function)
        }
        "io/poll" => poll(instance, interface, function),
        "io/streams" => stream(instance, interface, function),
        "cli/stdin" => handle(instance, function, OTHER),
        "cli/stdout" => handle(instance, function, STDOUT),
        "cli/stderr" => handle(instance, function, STDERR),
        "cli/terminal-stdin" | "cli/terminal-stdout" | "cli/terminal-stderr" => {
            instance.func_wrap(function, |_, (): ()| Ok((None::<Resource<Handle>>,)))
        }
        "filesystem/preopens" => instance
            .func_wrap(function, |_, (): ()| Ok((Vec::<(Resource<Handle>, String)>::new(),))),
        _ => absent(instance, interface, function),
    }
}

/// Everything else ends the evaluation, and says what it was.
fn absent(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    let said = if interface == "cli/exit" {
        "it exits".to_owned()
    } else {
        format!("it calls `wasi:{interface}#{function}`, and policies have no files and no network")
    };
    instance.func_new(function, move |_, _, _, _| Err(Absent(said.clone()).into()))
}

fn environment(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    match function {
        "get-environment" => {
            instance.func_wrap(function, |_, (): ()| Ok((Vec::<(String, String)>::new(),)))
        }
        "get-arguments" => instance.func_wrap(function, |_, (): ()| Ok((Vec::<String>::new(),))),
        "initial-cwd" => instance.func_wrap(function, |_, (): ()| Ok((None::<String>,))),
        _ => absent(instance, interface, function),
    }
}

fn clock(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    match (interface, function) {
        ("clocks/wall-clock", "now" | "resolution") => {
            instance.func_wrap(function, |_, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 0 },)))
        }
        ("clocks/monotonic-clock", "now") => instance.func_wrap(function, |_, (): ()| Ok((0_u64,))),
        ("clocks/monotonic-clock", "resolution") => {
            instance.func_wrap(function, |_, (): ()| Ok((1_u64,)))
        }
        ("clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => instance
            .func_wrap(function, |mut store, (_when,): (u64,)| Ok((give(&mut store, OTHER),))),
        _ => absent(instance, interface, function),
    }
}

fn random(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    match function {
        "get-random-bytes" | "get-insecure-random-bytes" => instance
            .func_wrap(function, |mut store, (count,): (u64,)| {
                Ok((store.data_mut().host.wasi.random_bytes(count)?,))
            }),
        "get-random-u64" | "get-insecure-random-u64" => instance
            .func_wrap(function, |mut store, (): ()| Ok((store.data_mut().host.wasi.random(),))),
        "insecure-seed" => instance.func_wrap(function, |mut store, (): ()| {
            let state = &mut store.data_mut().host.wasi;
            Ok(((state.random(), state.random()),))
        }),
        _ => absent(instance, interface, function),
    }
}

/// Everything has happened already.
fn poll(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    match function {
        "[method]pollable.ready" => {
            instance.func_wrap(function, |_, (_of,): (Resource<Handle>,)| Ok((true,)))
        }
        "[method]pollable.block" => {
            instance.func_wrap(function, |_, (_of,): (Resource<Handle>,)| Ok(()))
        }
        "poll" => instance.func_wrap(function, |_, (all,): (Vec<Resource<Handle>>,)| {
            let ready: Vec<u32> = (0..).zip(&all).map(|(index, _)| index).collect();
            Ok((ready,))
        }),
        _ => absent(instance, interface, function),
    }
}

/// What is read is at its end; what is written is printed.
fn stream(instance: &mut Instance<'_>, interface: &str, function: &str) -> Result<()> {
    match function {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            instance.func_wrap(function, |_, (_from, _most): (Resource<Handle>, u64)| {
                Ok((Streamed::<Vec<u8>>::Err(StreamError::Closed),))
            })
        }
        "[method]input-stream.subscribe" | "[method]output-stream.subscribe" => instance
            .func_wrap(function, |mut store, (_of,): (Resource<Handle>,)| {
                Ok((give(&mut store, OTHER),))
            }),
        "[method]output-stream.check-write" => instance
            .func_wrap(function, |_, (_to,): (Resource<Handle>,)| {
                Ok((Streamed::Ok(PRINTED_BYTES),))
            }),
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            instance.func_wrap(function, |mut store, (to, text): (Resource<Handle>, Vec<u8>)| {
                print(&mut store, &to, &text);
                Ok((Streamed::Ok(()),))
            })
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            instance.func_wrap(function, |_, (_to,): (Resource<Handle>,)| Ok((Streamed::Ok(()),)))
        }
        _ => absent(instance, interface, function),
    }
}

/// A function that gives the guest a handle.
fn handle(instance: &mut Instance<'_>, function: &str, what: u32) -> Result<()> {
    instance.func_wrap(function, move |mut store, (): ()| Ok((give(&mut store, what),)))
}

fn give(store: &mut StoreContextMut<'_, Bounds>, what: u32) -> Resource<Handle> {
    store.data_mut().host.wasi.handles += 1;
    Resource::new_own(what)
}

fn print(store: &mut StoreContextMut<'_, Bounds>, to: &Resource<Handle>, text: &[u8]) {
    let level = match to.rep() {
        STDOUT => Level::Debug,
        STDERR => Level::Warn,
        _ => return,
    };
    store.data_mut().host.calls.print(level, &String::from_utf8_lossy(text));
}
