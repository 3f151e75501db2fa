//! Configuring a component once: it is instantiated, given its settings, and its memory becomes the
//! initial memory of a new component, so that no evaluation has to read settings.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::{ComponentNamedList, Instance, Lift, WasmList};
use wasmtime::{Result, Store, bail, format_err};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use crate::guest::Bounds;

/// The interface by which a snapshot reads an instrumented component's memory.
pub(crate) const INSTRUMENTATION: &str = "wasmtime:wizer/access";

/// A component that was made readable for a snapshot.
pub(crate) struct Instrumented<'a> {
    context: ComponentContext<'a>,
    pub(crate) wasm: Vec<u8>,
}

impl<'a> Instrumented<'a> {
    /// Fails for components whose state is more than memory and plain globals; they are then
    /// configured in every evaluation.
    pub(crate) fn new(wasm: &'a [u8]) -> Result<Self> {
        let (context, wasm) = Wizer::new().instrument_component(wasm)?;
        Ok(Self { context, wasm })
    }

    /// The component that begins as this instance stands.
    pub(crate) fn snapshot(
        &self,
        store: &mut Store<Bounds>,
        instance: Instance,
    ) -> Result<Vec<u8>> {
        let mut state = State { store, instance, memories: BTreeMap::new(), failure: None };
        let wizer = Wizer::new();
        let snapshot = finish(wizer.snapshot_component(&self.context, &mut state));
        match state.failure {
            Some(failure) => Err(failure),
            None => snapshot?,
        }
    }
}

/// Runs a future that has nothing to wait for.
fn finish<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => bail!("the snapshot waits for something"),
    }
}

struct State<'a> {
    store: &'a mut Store<Bounds>,
    instance: Instance,
    /// What was read already, by function: to read a memory grows it, and it is read twice.
    memories: BTreeMap<String, Vec<u8>>,
    /// The trait cannot report a failure, so the first is kept and the snapshot thrown away.
    failure: Option<wasmtime::Error>,
}

impl State<'_> {
    fn call<R>(&mut self, instance: &str, func: &str) -> Result<R>
    where
        (R,): ComponentNamedList + Lift + 'static,
    {
        let missing = || format_err!("the instrumented component lacks {instance}#{func}");
        let (_, interface) =
            self.instance.get_export(&mut *self.store, None, instance).ok_or_else(missing)?;
        let (_, index) = self
            .instance
            .get_export(&mut *self.store, Some(&interface), func)
            .ok_or_else(missing)?;
        let func = self.instance.get_typed_func::<(), (R,)>(&mut *self.store, index)?;
        Ok(func.call(&mut *self.store, ())?.0)
    }

    fn number<R: Default>(&mut self, instance: &str, func: &str) -> R
    where
        (R,): ComponentNamedList + Lift + 'static,
    {
        self.call(instance, func).unwrap_or_else(|failure| {
            self.failure.get_or_insert(failure);
            R::default()
        })
    }
}

impl ComponentInstanceState for State<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if !self.memories.contains_key(func) {
            let read = match self.call::<WasmList<u8>>(instance, func) {
                Ok(list) => list.as_le_slice(&*self.store).to_vec(),
                Err(failure) => {
                    self.failure.get_or_insert(failure);
                    Vec::new()
                }
            };
            self.memories.insert(func.to_owned(), read);
        }
        contents(self.memories.get(func).map_or(&[], Vec::as_slice));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.number(instance, func)
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.number(instance, func)
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.number::<f32>(instance, func).to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.number::<f64>(instance, func).to_bits()
    }
}
