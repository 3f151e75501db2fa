//! From a component's bytes to compiled code that has its settings: checked, configured, compiled.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use wasmtime::component::{Component, Instance};
use wasmtime::{Engine, Store, format_err};

use crate::artifact::Artifact;
use crate::bake::Instrumented;
use crate::binding::{Binding, Limits, Scope};
use crate::calls::{Callee, Calls};
use crate::check::{check_world, refuse_module};
use crate::engine::{MEMORIES, PAGE};
use crate::guest::{self, Bounds};
use crate::interface::Interface;
use crate::world::{self, AccessPolicy, CertificatePolicy, Description, SettingsError};

/// What configuring may take. It happens once, so it may take longer than a decision.
const CONFIGURE: Duration = Duration::from_secs(1);

/// How long it may take until a component is compiled with its settings. The largest ones take some
/// seconds; with the compiler itself unoptimised, as tests have it, several times as long.
const COMPILE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 600 } else { 120 });

/// Why a plugin cannot serve a binding.
pub(crate) enum Refusal {
    Plugin(String),
    Settings(SettingsError),
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Plugin(format!("{error:#}"))
    }
}

/// Compiles the component with its settings in its memory, or without where that cannot be done.
/// Refuses one that takes too long.
pub(crate) fn prepare(
    engine: &Engine,
    wasm: &[u8],
    binding: &Binding,
    callee: &Callee,
) -> Result<Artifact, Refusal> {
    let (engine, wasm) = (engine.clone(), wasm.to_vec());
    let (binding, callee) = (binding.clone(), callee.clone());
    within(COMPILE, move || compile(&engine, &wasm, &binding, &callee))?
}

/// What the work gives, if it ends in time. The compiler cannot be interrupted: what takes longer goes
/// on in its thread until it ends, and nobody waits for it.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let (done, result) = sync_channel(1);
    std::thread::Builder::new()
        .name("policy-compile".to_owned())
        // Whoever waited may have given up.
        .spawn(move || drop(done.send(work())))
        .map_err(|error| Refusal::Plugin(format!("no thread to compile it in: {error}")))?;
    result.recv_timeout(limit).map_err(|error| {
        Refusal::Plugin(match error {
            RecvTimeoutError::Timeout => {
                format!("it is not compiled after {} seconds", limit.as_secs())
            }
            RecvTimeoutError::Disconnected => "the compiler fails over it".to_owned(),
        })
    })
}

fn compile(
    engine: &Engine,
    wasm: &[u8],
    binding: &Binding,
    callee: &Callee,
) -> Result<Artifact, Refusal> {
    refuse_module(wasm).map_err(Refusal::Plugin)?;
    let baked = match Instrumented::new(wasm) {
        Ok(instrumented) => bake(engine, &instrumented, binding, callee)?,
        Err(why) => Err(why),
    };
    match baked {
        Ok(component) => Ok(Artifact { component, configured: true }),
        Err(why) => {
            let component = Component::new(engine, wasm)?;
            configure(engine, &component, binding, callee)?;
            tracing::info!(
                binding = binding.name,
                "the policy reads its settings in every evaluation, because it cannot be \
                 configured in advance: {why:#}"
            );
            Ok(Artifact { component, configured: false })
        }
    }
}

/// The component with its settings in its memory. The inner error leaves the other way open.
fn bake(
    engine: &Engine,
    instrumented: &Instrumented<'_>,
    binding: &Binding,
    callee: &Callee,
) -> Result<wasmtime::Result<Component>, Refusal> {
    let component = Component::new(engine, &instrumented.wasm)?;
    let (mut store, instance) = configure(engine, &component, binding, callee)?;
    if store.data().wasi.holds_handles() {
        return Ok(Err(format_err!("it holds a stream of WASI from then on")));
    }
    // To read a memory adds a page to it and hands the whole of it over in one answer.
    store.data_mut().allow_memory(MEMORIES * PAGE);
    store.set_hostcall_fuel(binding.limits.memory.saturating_mul(2));
    let configured = instrumented.snapshot(&mut store, instance);
    Ok(configured.and_then(|wasm| Component::new(engine, wasm)))
}

/// An instance that has taken its settings.
fn configure(
    engine: &Engine,
    component: &Component,
    binding: &Binding,
    callee: &Callee,
) -> Result<(Store<Bounds>, Instance), Refusal> {
    check_world(engine, component, &binding.scope).map_err(Refusal::Plugin)?;
    let limits = Limits { deadline: CONFIGURE, ..binding.limits };
    let mut store = guest::store(engine, &limits, Calls::new(callee.clone(), None));
    let instance = world::linker(engine, component)?
        .instantiate_pre(component)?
        .instantiate(&mut store)
        .map_err(|error| fails("it fails when it is started", &store, &error))?;
    let of_other_types = |error: wasmtime::Error| {
        Refusal::Plugin(format!("its functions are not of the contract's types: {error:#}"))
    };
    let said = match binding.scope {
        Scope::Access { .. } => AccessPolicy::new(&mut store, &instance)
            .map_err(of_other_types)?
            .chancery_policy_access()
            .call_configure(&mut store, &binding.settings),
        Scope::Certificate { .. } => CertificatePolicy::new(&mut store, &instance)
            .map_err(of_other_types)?
            .chancery_policy_certificate()
            .call_configure(&mut store, &binding.settings),
    };
    match said {
        Ok(Ok(())) => Ok((store, instance)),
        Ok(Err(error)) => Err(Refusal::Settings(error)),
        Err(error) => Err(fails("it fails when it is given its settings", &store, &error)),
    }
}

fn fails(when: &str, store: &Store<Bounds>, error: &wasmtime::Error) -> Refusal {
    Refusal::Plugin(format!("{when}: {}", store.data().failure(error)))
}

/// What the plugin says of itself, and how much memory it has when it says so.
pub(crate) fn describe(
    engine: &Engine,
    interface: &Interface,
    callee: &Callee,
) -> Result<(Description, usize), Refusal> {
    let limits = Limits { deadline: CONFIGURE, ..Limits::LARGEST };
    let mut store = guest::store(engine, &limits, Calls::new(callee.clone(), None));
    match interface.describe(&mut store) {
        Ok(description) => Ok((description, store.data().memory_used())),
        Err(error) => Err(fails("it fails when it is asked what it is", &store, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason<T>(refused: Result<T, Refusal>) -> String {
        match refused {
            Err(Refusal::Plugin(reason)) => reason,
            _ => panic!("it was not refused"),
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_for_a_compiler() {
        let (release, held) = sync_channel::<()>(0);
        let late = within(Duration::from_millis(1), move || held.recv().is_ok());
        assert!(reason(late).contains("not compiled after"));
        drop(release);
        assert!(within(Duration::from_mins(1), || true).is_ok_and(|done| done));
        let broken =
            within(Duration::from_mins(1), || -> bool { panic!("the compiler is broken") });
        assert!(reason(broken).contains("fails over it"));
    }
}
