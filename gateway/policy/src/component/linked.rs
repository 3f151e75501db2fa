//! A component, linked: what it exports and how it is called.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, ComponentType, Instance, Lift, Lower,
};
use wasmtime::{Engine, Store, format_err};

use super::guest::Bounds;
use super::linker::linker;
use crate::contract::world::{
    AccessPolicy, AccessPolicyPre, CertificatePolicy, CertificatePolicyPre, Description, access,
    certificate, types,
};
use crate::contract::{Decision, request};

/// What the component exports, linked.
pub(crate) enum Interface {
    Access(Linked<AccessPolicyPre<Bounds>>),
    Certificate(Linked<CertificatePolicyPre<Bounds>>),
}

/// A policy that can be instantiated, and its one function that every evaluation calls. The generated
/// bindings would look at the types of all three each time.
pub(crate) struct Linked<P> {
    pre: P,
    evaluate: ComponentExportIndex,
}

/// What a guest says, or what is wrong with the settings if it has to be given them each time.
pub(crate) type Said<T> = wasmtime::Result<Result<T, types::SettingsError>>;

impl Interface {
    pub(crate) fn link(
        engine: &Engine,
        component: &Component,
        decision: Decision,
    ) -> wasmtime::Result<Self> {
        let pre = linker(engine, component)?.instantiate_pre(component)?;
        let evaluate = evaluate_of(component, decision.interface())?;
        Ok(match decision {
            Decision::Access => Self::Access(Linked { pre: AccessPolicyPre::new(pre)?, evaluate }),
            Decision::Certificate => {
                Self::Certificate(Linked { pre: CertificatePolicyPre::new(pre)?, evaluate })
            }
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Access(policy) => policy.pre.engine(),
            Self::Certificate(policy) => policy.pre.engine(),
        }
    }

    /// Asks a fresh instance what it is.
    pub(crate) fn describe(&self, store: &mut Store<Bounds>) -> wasmtime::Result<Description> {
        match self {
            Self::Access(policy) => {
                policy.pre.instantiate(&mut *store)?.chancery_policy_access().call_describe(store)
            }
            Self::Certificate(policy) => policy
                .pre
                .instantiate(&mut *store)?
                .chancery_policy_certificate()
                .call_describe(store),
        }
    }
}

fn evaluate_of(component: &Component, interface: &str) -> wasmtime::Result<ComponentExportIndex> {
    let missing = || format_err!("it does not export {interface}#evaluate");
    let instance = component.get_export_index(None, interface).ok_or_else(missing)?;
    component.get_export_index(Some(&instance), "evaluate").ok_or_else(missing)
}

impl Linked<AccessPolicyPre<Bounds>> {
    /// Puts the request to a fresh instance, which takes the settings first if there are any.
    pub(crate) fn ask(
        &self,
        settings: Option<&str>,
        request: &request::Access<'_>,
        store: &mut Store<Bounds>,
    ) -> Said<access::Decision> {
        let instance = self.pre.instance_pre().instantiate(&mut *store)?;
        if let Some(settings) = settings {
            let policy = AccessPolicy::new(&mut *store, &instance)?;
            let taken = policy.chancery_policy_access().call_configure(&mut *store, settings)?;
            if let Err(error) = taken {
                return Ok(Err(error));
            }
        }
        call(instance, self.evaluate, request, store).map(Ok)
    }
}

impl Linked<CertificatePolicyPre<Bounds>> {
    /// Puts the request to a fresh instance, which takes the settings first if there are any.
    pub(crate) fn ask(
        &self,
        settings: Option<&str>,
        request: &request::Certificate<'_>,
        store: &mut Store<Bounds>,
    ) -> Said<certificate::Decision> {
        let instance = self.pre.instance_pre().instantiate(&mut *store)?;
        if let Some(settings) = settings {
            let policy = CertificatePolicy::new(&mut *store, &instance)?;
            let guest = policy.chancery_policy_certificate();
            if let Err(error) = guest.call_configure(&mut *store, settings)? {
                return Ok(Err(error));
            }
        }
        call(instance, self.evaluate, request, store).map(Ok)
    }
}

fn call<R, D>(
    instance: Instance,
    evaluate: ComponentExportIndex,
    request: &R,
    store: &mut Store<Bounds>,
) -> wasmtime::Result<D>
where
    R: ComponentType + Lower + Sync,
    D: ComponentType + Lift + Send + Sync + 'static,
    for<'a> (&'a R,): ComponentNamedList + Lower,
{
    let evaluate = instance.get_typed_func::<(&R,), (D,)>(&mut *store, evaluate)?;
    Ok(evaluate.call(store, (request,))?.0)
}
