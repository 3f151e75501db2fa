//! An empty WASI, for guests whose language brings it along: no files, no network, no environment, a clock
//! that stands still, the same random numbers for every evaluation. What a guest prints goes to the log, as
//! if it had written it there.
//!
//! Nothing here waits: whatever a guest may wait for has happened already. So no evaluation is ever in a
//! call where its deadline could not end it.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType,
};
use wasmtime::{Engine, Result, StoreContextMut};

use crate::guest::Bounds;
use crate::world::log::Level;

/// The packages of WASI that are there, empty.
const PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// Their releases: within the series, later ones only add.
const SERIES: &str = "0.2";

/// Random bytes that a guest gets at once. They are the host's memory until it has them.
const RANDOM_BYTES: u64 = 64 * 1024;

/// Bytes that a guest may print at once.
const PRINTED_BYTES: u64 = 4096;

/// Any seed does, as long as it is always the same one.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The interface as `cli/environment`, if this is the name of one that is there.
pub(crate) fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    let (package, _) = interface.split_once('/')?;
    let (series, _) = version.rsplit_once('.')?;
    (PACKAGES.contains(&package) && series == SERIES).then_some(interface)
}

/// What one evaluation did with it.
#[derive(Debug)]
pub(crate) struct State {
    random: u64,
    handles: usize,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { random: SEED, handles: 0 }
    }

    /// Whether the guest holds something that is not in its memory, and that a copy of its memory would not
    /// have.
    pub(crate) fn holds_handles(&self) -> bool {
        self.handles > 0
    }

    /// The next number of the sequence that is known as SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(SEED);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > RANDOM_BYTES {
            return Err(Absent(format!("it wants {count} random bytes at once")).into());
        }
        let count = usize::try_from(count)?;
        let words = std::iter::repeat_with(|| self.random().to_le_bytes());
        Ok(words.flatten().take(count).collect())
    }
}

/// Something that WASI has elsewhere and not here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Absent(String);

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
                        let state = &mut store.data_mut().wasi;
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
                Ok((store.data_mut().wasi.random_bytes(count)?,))
            }),
        "get-random-u64" | "get-insecure-random-u64" => {
            instance.func_wrap(function, |mut store, (): ()| Ok((store.data_mut().wasi.random(),)))
        }
        "insecure-seed" => instance.func_wrap(function, |mut store, (): ()| {
            let state = &mut store.data_mut().wasi;
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
    store.data_mut().wasi.handles += 1;
    Resource::new_own(what)
}

fn print(store: &mut StoreContextMut<'_, Bounds>, to: &Resource<Handle>, text: &[u8]) {
    let level = match to.rep() {
        STDOUT => Level::Debug,
        STDERR => Level::Warn,
        _ => return,
    };
    store.data_mut().calls.print(level, &String::from_utf8_lossy(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_one_series_of_wasi_are_there() {
        assert_eq!(interface("wasi:cli/environment@0.2.0"), Some("cli/environment"));
        assert_eq!(interface("wasi:http/types@0.2.10"), Some("http/types"));
        for other in [
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment@0.20.0",
            "wasi:cli/environment",
            "wasi:nn/tensor@0.2.0",
            "wasi:cli@0.2.0",
            "chancery:policy/log@0.2.0",
        ] {
            assert_eq!(interface(other), None, "{other}");
        }
    }

    #[test]
    fn random_numbers_are_the_same_each_time_and_not_without_end() {
        let (mut one, mut two) = (State::new(), State::new());
        let bytes = one.random_bytes(13).unwrap();
        assert_eq!((bytes.len(), &bytes), (13, &two.random_bytes(13).unwrap()));
        assert_ne!(one.random(), one.random());
        assert_eq!(one.random_bytes(RANDOM_BYTES).unwrap().len(), 64 * 1024);
        assert!(one.random_bytes(RANDOM_BYTES + 1).is_err());
        assert!(one.random_bytes(u64::MAX).is_err());
    }
}
