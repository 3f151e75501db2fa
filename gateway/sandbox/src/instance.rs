//! The store of one instance, and the limits of what it may use there.

use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use super::deadline::Deadline;
use super::engine::{INSTANCES, MEMORIES};
use super::failure::Failure;
use super::wasi;
use crate::binding::Limits;
use crate::contract::Calls;

/// The most elements in all tables of a guest. Compiled languages use them for function pointers.
const TABLE_ELEMENTS: usize = 20_000;

/// The most handles that a guest may have at once, of WASI or of its own. They use memory of the host.
const HANDLES: usize = 1000;

/// A store whose deadline has begun, since instantiation already runs code of the guest.
pub(crate) fn store(engine: &Engine, limits: &Limits, calls: Calls) -> Store<Bounds> {
    let deadline = Deadline::new(limits.deadline);
    let first = deadline.first();
    let calls_are_counted = calls.counted();
    let mut store = Store::new(engine, Bounds::new(limits, deadline, calls));
    store.limiter(|bounds| bounds);
    store.epoch_deadline_callback(|mut store| Ok(store.data_mut().deadline.passed()));
    store.set_epoch_deadline(first);
    store.set_hostcall_fuel(limits.answer);
    store.set_max_component_handles(HANDLES);
    if calls_are_counted {
        // Fuel only counts: the deadline ends an evaluation.
        let _ = store.set_fuel(u64::MAX);
    }
    store
}

/// Counts the time, the memory and the tables of one instance against its limits.
#[derive(Debug)]
pub(crate) struct Bounds {
    deadline: Deadline,
    limits: Limits,
    /// Bytes of the granted memory that are left.
    memory: usize,
    granted: usize,
    tables: usize,
    refused_memory: bool,
    /// What the guest may call.
    pub(crate) calls: Calls,
    /// The guest's state in WASI.
    pub(crate) wasi: wasi::State,
}

impl Bounds {
    fn new(limits: &Limits, deadline: Deadline, calls: Calls) -> Self {
        Self {
            deadline,
            limits: *limits,
            memory: limits.memory,
            granted: limits.memory,
            tables: TABLE_ELEMENTS,
            refused_memory: false,
            calls,
            wasi: wasi::State::new(),
        }
    }

    /// Linear memory that the instance has, in bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.granted.saturating_sub(self.memory)
    }

    /// Allows this many more bytes of memory.
    pub(crate) fn allow_memory(&mut self, bytes: usize) {
        self.memory += bytes;
        self.granted += bytes;
    }

    /// Why an instance failed, from the error and from what was refused to it before.
    pub(crate) fn failure(&self, error: &wasmtime::Error) -> Failure {
        if let Some(absent) = error.downcast_ref::<wasi::Absent>() {
            return Failure::Trap(absent.to_string());
        }
        let Some(trap) = error.downcast_ref::<Trap>() else {
            let text = format!("{error:#}");
            // wasmtime does not export the types of these errors.
            if text.contains("store handle limit exceeded") {
                return Failure::Handles;
            }
            if text.contains("fuel allocated for hostcalls has been exhausted") {
                return Failure::AnswerTooLarge;
            }
            return if self.refused_memory { self.out_of_memory() } else { Failure::Answer(text) };
        };
        match trap {
            Trap::Interrupt => Failure::Deadline(self.limits.deadline),
            // A guest that cannot get memory traps; report the cause and not the trap.
            Trap::UnreachableCodeReached | Trap::MemoryOutOfBounds if self.refused_memory => {
                self.out_of_memory()
            }
            Trap::StackOverflow => Failure::Stack,
            other => Failure::Trap(self.with_last_words(other.to_string())),
        }
    }

    fn out_of_memory(&self) -> Failure {
        Failure::Memory { kib: self.limits.memory / 1024 }
    }

    /// A trap alone does not tell the exception or panic. The guest has often written it to the log before.
    fn with_last_words(&self, trap: String) -> String {
        match self.calls.last_words() {
            "" => trap,
            said => format!("{trap}, after it wrote: {said}"),
        }
    }
}

/// Subtracts the growth from `left`, if it fits.
fn take(left: &mut usize, current: usize, desired: usize) -> bool {
    match left.checked_sub(desired.saturating_sub(current)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = take(&mut self.memory, current, desired);
        self.refused_memory |= !fits;
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = take(&mut self.tables, current, desired);
        self.refused_memory |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        2 * MEMORIES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::contract::{Callee, Lookups};

    #[test]
    fn growth_counts_over_all_memories_together() {
        let callee = Callee {
            binding: "b".into(),
            capabilities: Arc::default(),
            lookups: Lookups::unavailable(),
            log: 0,
            counted: false,
            lines: None,
        };
        let calls = Calls::new(callee, None);
        let limits = Limits { memory: 100, ..Limits::LARGEST };
        let mut bounds = Bounds::new(&limits, Deadline::new(Duration::from_millis(1)), calls);
        assert!(bounds.memory_growing(0, 60, None).unwrap());
        assert!(bounds.memory_growing(0, 30, None).unwrap());
        assert!(!bounds.memory_growing(60, 71, None).unwrap());
        assert!(bounds.refused_memory);
        assert!(bounds.memory_growing(60, 70, None).unwrap());
    }
}
