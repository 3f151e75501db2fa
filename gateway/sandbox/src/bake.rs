//! Configuring a component once: it is instantiated, given its settings, and its memory becomes the
//! initial memory of a new component, so that no evaluation has to read settings.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmparser::{Parser, Payload};
use wasmtime::component::{ComponentNamedList, Instance, Lift, WasmList};
use wasmtime::{Result, Store, bail, format_err};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use crate::engine::PAGE;
use crate::instance::Bounds;

/// The interface by which a snapshot reads an instrumented component's memory.
pub const INSTRUMENTATION: &str = "wasmtime:wizer/access";

/// A component that was made readable for a snapshot.
pub struct Instrumented<'a> {
    context: ComponentContext<'a>,
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// Whether pages of zeros at the end of its memory are no loss.
    can_be_cut: bool,
}

/// A custom section of guests that say so of themselves: those of the SDK.
const CAN_BE_CUT: &str = "chancery-memory";

impl<'a> Instrumented<'a> {
    /// Fails for components whose state is more than memory and plain globals; they are then
    /// configured in every evaluation.
    pub fn new(wasm: &'a [u8]) -> Result<Self> {
        let can_be_cut = has_custom_section(wasm, CAN_BE_CUT)?;
        let (context, wasm) = Wizer::new().instrument_component(wasm)?;
        Ok(Self { context, wasm, can_be_cut })
    }

    /// The component that begins as this instance stands.
    pub fn snapshot<H: Send + 'static>(
        &self,
        store: &mut Store<Bounds<H>>,
        instance: Instance,
    ) -> Result<Vec<u8>> {
        let (memories, can_be_cut) = (BTreeMap::new(), self.can_be_cut);
        let mut state = State { store, instance, memories, can_be_cut, failure: None };
        let wizer = Wizer::new();
        let snapshot = finish(wizer.snapshot_component(&self.context, &mut state));
        match state.failure {
            Some(failure) => Err(failure),
            None => snapshot?,
        }
    }
}

/// The pages up to the last one that is not all zeros; the first in any case.
fn used(memory: &[u8]) -> &[u8] {
    let end = memory.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let end = end.max(1).next_multiple_of(PAGE);
    memory.get(..end).unwrap_or(memory)
}

/// Whether one of the component's parts has a custom section of this name.
fn has_custom_section(wasm: &[u8], name: &str) -> Result<bool> {
    for payload in Parser::new(0).parse_all(wasm) {
        if matches!(payload?, Payload::CustomSection(section) if section.name() == name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs a future that has nothing to wait for.
fn finish<T>(future: impl Future<Output = T>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => bail!("the snapshot waits for something"),
    }
}

struct State<'a, H: 'static> {
    store: &'a mut Store<Bounds<H>>,
    instance: Instance,
    /// What was read already, by function: to read a memory grows it, and it is read twice.
    memories: BTreeMap<String, Vec<u8>>,
    can_be_cut: bool,
    /// The trait cannot report a failure, so the first is kept and the snapshot thrown away.
    failure: Option<wasmtime::Error>,
}

impl<H: Send + 'static> State<'_, H> {
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

impl<H: Send + 'static> ComponentInstanceState for State<'_, H> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if !self.memories.contains_key(func) {
            let read = match self.call::<WasmList<u8>>(instance, func) {
                Ok(list) if self.can_be_cut => used(list.as_le_slice(&*self.store)).to_vec(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_are_cut_by_the_page() {
        let mut memory = vec![0; 4 * PAGE];
        assert_eq!(used(&memory).len(), PAGE);
        memory[PAGE - 1] = 1;
        assert_eq!(used(&memory).len(), PAGE);
        memory[PAGE] = 1;
        assert_eq!(used(&memory).len(), 2 * PAGE);
        memory[4 * PAGE - 1] = 1;
        assert_eq!(used(&memory).len(), 4 * PAGE);
        assert_eq!(used(&[]).len(), 0);
    }
}
