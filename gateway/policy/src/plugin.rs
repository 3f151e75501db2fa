//! From a binding to a program that can be asked: read, pinned, checked, configured, compiled.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance};
use wasmtime::{Engine, Store};

use crate::artifact::{Artifact, ArtifactId, Artifacts};
use crate::bake::{INSTRUMENTATION, Instrumented};
use crate::binding::{Binding, Limits, Scope};
use crate::calls::{Callee, Calls};
use crate::engine::{MEMORIES, PAGE};
use crate::error::Subject;
use crate::guest::{self, Bounds};
use crate::world::{
    self, AccessPolicy, AccessPolicyPre, CertificatePolicy, CertificatePolicyPre, Description,
    SettingsError,
};
use crate::{Digest, LoadError, Lookups};

/// The largest component that is compiled.
const LARGEST_COMPONENT: u64 = 16 * 1024 * 1024;
/// What configuring may take. It happens once, so it may take longer than a decision.
const CONFIGURE: Duration = Duration::from_secs(1);

/// A component ready to be asked.
pub(crate) struct Program {
    pub(crate) interface: Interface,
    /// The settings, if they could not be put into the component's memory.
    pub(crate) unconfigured: Option<String>,
    callee: Callee,
    /// What the plugin says of itself.
    pub(crate) description: Description,
}

/// What the component exports, linked.
pub(crate) enum Interface {
    Access(AccessPolicyPre<Bounds>),
    Certificate(CertificatePolicyPre<Bounds>),
}

/// Why a plugin cannot serve a binding.
enum Refusal {
    Plugin(String),
    Settings(SettingsError),
}

impl From<wasmtime::Error> for Refusal {
    fn from(error: wasmtime::Error) -> Self {
        Self::Plugin(format!("{error:#}"))
    }
}

impl Program {
    /// Loads the binding's plugin from the directory, out of the artifacts if it is there.
    pub(crate) fn load(
        engine: &Engine,
        artifacts: &Artifacts,
        lookups: &Lookups,
        directory: &Path,
        binding: &Binding,
    ) -> Result<(Self, ArtifactId), LoadError> {
        let wasm = read_pinned(directory, binding)?;
        let id = ArtifactId::new(engine, binding);
        let refuse = |refusal| match refusal {
            Refusal::Plugin(reason) => {
                LoadError::Plugin { subject: Box::new(subject(binding)), reason }
            }
            Refusal::Settings(error) => LoadError::Settings {
                subject: Box::new(subject(binding)),
                path: error.path,
                message: error.message,
            },
        };
        let callee = callee(binding, lookups);
        if let Some(artifact) = artifacts.load(&id, engine) {
            return Ok((Self::new(engine, &artifact, binding, callee).map_err(refuse)?, id));
        }
        let artifact = prepare(engine, &wasm, binding, &callee).map_err(refuse)?;
        artifacts.store(&id, &artifact)?;
        Ok((Self::new(engine, &artifact, binding, callee).map_err(refuse)?, id))
    }

    fn new(
        engine: &Engine,
        artifact: &Artifact,
        binding: &Binding,
        callee: Callee,
    ) -> Result<Self, Refusal> {
        let unconfigured = (!artifact.configured).then(|| binding.settings.clone());
        let pre = world::linker(engine)?.instantiate_pre(&artifact.component)?;
        let interface = match binding.scope {
            Scope::Access { .. } => Interface::Access(AccessPolicyPre::new(pre)?),
            Scope::Certificate { .. } => Interface::Certificate(CertificatePolicyPre::new(pre)?),
        };
        let description = describe(engine, &interface, &callee)?;
        Ok(Self { interface, unconfigured, callee, description })
    }

    /// The store of one evaluation for this tenant.
    pub(crate) fn store(&self, engine: &Engine, limits: &Limits, tenant: &str) -> Store<Bounds> {
        // The host wrote the tenant's id into the request, so it is one.
        guest::store(engine, limits, Calls::new(self.callee.clone(), tenant.parse().ok()))
    }
}

fn callee(binding: &Binding, lookups: &Lookups) -> Callee {
    Callee {
        binding: binding.name.as_str().into(),
        capabilities: binding.capabilities.clone(),
        lookups: lookups.clone(),
        log: binding.limits.log,
    }
}

/// What the plugin says of itself.
fn describe(
    engine: &Engine,
    interface: &Interface,
    callee: &Callee,
) -> Result<Description, Refusal> {
    let limits = Limits { deadline: CONFIGURE, ..Limits::LARGEST };
    let mut store = guest::store(engine, &limits, Calls::new(callee.clone(), None));
    let said = match interface {
        Interface::Access(pre) => pre
            .instantiate(&mut store)
            .and_then(|policy| policy.chancery_policy_access().call_describe(&mut store)),
        Interface::Certificate(pre) => pre
            .instantiate(&mut store)
            .and_then(|policy| policy.chancery_policy_certificate().call_describe(&mut store)),
    };
    said.map_err(|error| fails("it fails when it is asked what it is", &store, &error))
}

fn read_pinned(directory: &Path, binding: &Binding) -> Result<Vec<u8>, LoadError> {
    let path = directory.join(&binding.plugin);
    let refuse = |reason: String| LoadError::Plugin { subject: Box::new(subject(binding)), reason };
    let unreadable = |error: std::io::Error| refuse(format!("it cannot be read: {error}"));
    let length = std::fs::metadata(&path).map_err(unreadable)?.len();
    if length > LARGEST_COMPONENT {
        return Err(refuse(format!("it has {length} bytes, more than {LARGEST_COMPONENT}")));
    }
    let wasm = std::fs::read(&path).map_err(unreadable)?;
    let found = Digest::of(&wasm);
    if found == binding.digest {
        return Ok(wasm);
    }
    Err(LoadError::DigestMismatch {
        subject: Box::new(subject(binding)),
        pinned: binding.digest,
        found,
    })
}

fn subject(binding: &Binding) -> Subject {
    Subject {
        place: binding.place.clone(),
        binding: binding.name.clone(),
        plugin: binding.plugin.clone(),
    }
}

/// Compiles the component with its settings in its memory, or without where that cannot be done.
fn prepare(
    engine: &Engine,
    wasm: &[u8],
    binding: &Binding,
    callee: &Callee,
) -> Result<Artifact, Refusal> {
    if wasm.starts_with(b"\0asm\x01\0\0\0") {
        let reason = "it is a core module, not a component: see plugins/build for the step that \
                      makes one of it";
        return Err(Refusal::Plugin(reason.to_owned()));
    }
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
    let instance = world::linker(engine)?
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

/// Says in the contract's words what is missing or too much, before the engine says it in its own.
fn check_world(engine: &Engine, component: &Component, scope: &Scope) -> Result<(), String> {
    let component = component.component_type();
    for (name, import) in component.imports(engine) {
        if !only_types(engine, &import.ty) {
            check_import(name)?;
        }
    }
    let needed = scope.interface();
    if component.get_export(engine, needed).is_some() {
        return Ok(());
    }
    let exports: Vec<&str> = component
        .exports(engine)
        .map(|(name, _)| name)
        .filter(|name| *name != INSTRUMENTATION)
        .collect();
    let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    Err(format!("this decision needs a component that exports `{needed}`; it exports {found}"))
}

/// An interface of types brings no capability.
fn only_types(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| only_types(engine, &export.ty))
        }
        _ => false,
    }
}

/// Says what is too much among the imports: what the contract has not, or has not yet.
fn check_import(name: &str) -> Result<(), String> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let of_contract = interface.starts_with("chancery:policy/");
    if of_contract && version != world::VERSION {
        return Err(format!(
            "it was built against version {version} of the contract (`{name}`), and this gateway \
             has {}: use a plugin built for that version, or a newer gateway",
            world::VERSION
        ));
    }
    if of_contract && world::IMPORTS.contains(&interface) {
        return Ok(());
    }
    Err(format!("it imports `{name}`, and a policy may import only {}", world::IMPORTS.join(", ")))
}
