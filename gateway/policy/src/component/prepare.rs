//! From a component's bytes to compiled code that has its settings: checked, configured, compiled.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use chancery_sandbox::{Instrumented, MEMORIES, PAGE};
use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, Instance};
use wasmtime::{Engine, Store, format_err};

use super::check::{check_world, refuse_module};
use super::guest::{self, Bounds};
use super::linked::Interface;
use super::linker::linker;
use crate::binding::{Binding, Limits};
use crate::contract::world::{AccessPolicy, CertificatePolicy, Description, SettingsError};
use crate::contract::{Callee, Calls, Decision, Line, Lookups};

/// What configuring may take. It happens once, so it may take longer than a decision.
const CONFIGURE: Duration = Duration::from_secs(1);

/// What is compiled: a component for this binding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) binding: String,
    pub(crate) decision: Decision,
    pub(crate) settings: String,
    pub(crate) limits: Limits,
    /// Whether the engine counts what guests consume.
    pub(crate) counted: bool,
}

/// A component's machine code, as the engine keeps it.
pub(crate) struct Compiled {
    pub(crate) code: Vec<u8>,
    /// Why its settings are not in its memory, so that evaluations have to give it them; none if they are.
    pub(crate) unconfigured: Option<String>,
}

/// Why a plugin cannot serve a binding.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    Plugin(String),
    Settings(SettingsError),
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Plugin(format!("{error:#}"))
    }
}

impl Order {
    pub(crate) fn of(binding: &Binding, counted: bool) -> Self {
        Self {
            binding: binding.name.clone(),
            decision: binding.scope.decision(),
            settings: binding.settings.clone(),
            limits: binding.limits,
            counted,
        }
    }
}

/// Compiles the component with its settings in its memory, or without where that cannot be done. What it
/// writes to the log meanwhile goes to `lines`, if that is given.
pub(crate) fn compile(
    engine: &Engine,
    wasm: &[u8],
    order: &Order,
    lines: Option<Sender<Line>>,
) -> Result<Compiled, Refusal> {
    refuse_module(wasm).map_err(Refusal::Plugin)?;
    let callee = Callee {
        binding: order.binding.as_str().into(),
        capabilities: Arc::default(),
        // There is no request yet whose tenant could look something up.
        lookups: Lookups::unavailable(),
        log: order.limits.log,
        counted: order.counted,
        lines,
    };
    let baked = match Instrumented::new(wasm) {
        Ok(instrumented) => bake(engine, &instrumented, order, &callee)?,
        Err(why) => Err(why),
    };
    match baked {
        Ok(component) => Ok(Compiled { code: component.serialize()?, unconfigured: None }),
        Err(why) => {
            let component = Component::new(engine, wasm)?;
            configure(engine, &component, order, &callee)?;
            let unconfigured = Some(format!("{why:#}"));
            Ok(Compiled { code: component.serialize()?, unconfigured })
        }
    }
}

/// The component with its settings in its memory. The inner error leaves the other way open.
fn bake(
    engine: &Engine,
    instrumented: &Instrumented<'_>,
    order: &Order,
    callee: &Callee,
) -> Result<wasmtime::Result<Component>, Refusal> {
    let component = Component::new(engine, &instrumented.wasm)?;
    let (mut store, instance) = configure(engine, &component, order, callee)?;
    if store.data().host.wasi.holds_handles() {
        return Ok(Err(format_err!("it holds a stream of WASI from then on")));
    }
    // To read a memory adds a page to it and hands the whole of it over in one answer.
    store.data_mut().allow_memory(MEMORIES * PAGE);
    store.set_hostcall_fuel(order.limits.memory.saturating_mul(2));
    let configured = instrumented.snapshot(&mut store, instance);
    Ok(configured.and_then(|wasm| Component::new(engine, wasm)))
}

/// An instance that has taken its settings.
fn configure(
    engine: &Engine,
    component: &Component,
    order: &Order,
    callee: &Callee,
) -> Result<(Store<Bounds>, Instance), Refusal> {
    check_world(engine, component, order.decision).map_err(Refusal::Plugin)?;
    let limits = Limits { deadline: CONFIGURE, ..order.limits };
    let mut store = guest::store(engine, &limits, Calls::new(callee.clone(), None));
    let instance = linker(engine, component)?
        .instantiate_pre(component)?
        .instantiate(&mut store)
        .map_err(|error| fails("it fails when it is started", &store, &error))?;
    let of_other_types = |error: wasmtime::Error| {
        Refusal::Plugin(format!("its functions are not of the contract's types: {error:#}"))
    };
    let said = match order.decision {
        Decision::Access => AccessPolicy::new(&mut store, &instance)
            .map_err(of_other_types)?
            .chancery_policy_access()
            .call_configure(&mut store, &order.settings),
        Decision::Certificate => CertificatePolicy::new(&mut store, &instance)
            .map_err(of_other_types)?
            .chancery_policy_certificate()
            .call_configure(&mut store, &order.settings),
    };
    match said {
        Ok(Ok(())) => Ok((store, instance)),
        Ok(Err(error)) => Err(Refusal::Settings(error)),
        Err(error) => Err(fails("it fails when it is given its settings", &store, &error)),
    }
}

fn fails(when: &str, store: &Store<Bounds>, error: &wasmtime::Error) -> Refusal {
    Refusal::Plugin(format!("{when}: {}", guest::failure(store.data(), error)))
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
