//! The store of one instance, and the limits of what it may use there.

use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use crate::deadline::Deadline;
use crate::engine::{INSTANCES, MEMORIES};

/// The most elements in all tables of a guest. Compiled languages use them for function pointers.
const TABLE_ELEMENTS: usize = 20_000;

/// The most handles that a guest may have at once, of WASI or of its own. They use memory of the host.
const HANDLES: usize = 1000;

/// What one instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the processor's time; ten times as much by the clock on the wall.
    pub deadline: Duration,
    /// Linear memory, in bytes.
    pub memory: usize,
    /// What an answer occupies in the host, in bytes.
    pub answer: usize,
}

/// Why an instance gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It trapped: how.
    Trap(String),
    /// It did not end within this deadline.
    Deadline(Duration),
    /// It wanted more memory than its limit.
    Memory {
        /// The limit.
        kib: usize,
    },
    /// It recursed beyond the stack.
    Stack,
    /// It held more handles than the limit.
    Handles,
    /// Its answer is larger than the limit.
    AnswerTooLarge,
    /// Anything else, such as an answer that is not of its type: what the engine says.
    Other(String),
}

/// A store whose deadline has begun, since instantiation already runs code of the guest. `host` is what the functions
/// that the guest may call work on; `counted` says whether the engine counts what guests consume.
pub fn store<H: Send + 'static>(
    engine: &Engine,
    limits: Limits,
    host: H,
    counted: bool,
) -> Store<Bounds<H>> {
    let deadline = Deadline::new(limits.deadline);
    let first = deadline.first();
    let mut store = Store::new(engine, Bounds::new(limits, deadline, host));
    store.limiter(|bounds| bounds);
    store.epoch_deadline_callback(|mut store| Ok(store.data_mut().deadline.passed()));
    store.set_epoch_deadline(first);
    store.set_hostcall_fuel(limits.answer);
    store.set_max_component_handles(HANDLES);
    if counted {
        // Fuel only counts: the deadline ends an evaluation.
        let _ = store.set_fuel(u64::MAX);
    }
    store
}

/// Counts the time, the memory and the tables of one instance against its limits.
#[derive(Debug)]
pub struct Bounds<H> {
    deadline: Deadline,
    limits: Limits,
    /// Bytes of the granted memory that are left.
    memory: usize,
    granted: usize,
    tables: usize,
    refused_memory: bool,
    /// What the functions that the guest may call work on.
    pub host: H,
}

impl<H> Bounds<H> {
    fn new(limits: Limits, deadline: Deadline, host: H) -> Self {
        Self {
            deadline,
            limits,
            memory: limits.memory,
            granted: limits.memory,
            tables: TABLE_ELEMENTS,
            refused_memory: false,
            host,
        }
    }

    /// Linear memory that the instance has, in bytes.
    pub fn memory_used(&self) -> usize {
        self.granted.saturating_sub(self.memory)
    }

    /// Allows this many more bytes of memory.
    pub fn allow_memory(&mut self, bytes: usize) {
        self.memory += bytes;
        self.granted += bytes;
    }

    /// Why an instance failed, from the error and from what was refused to it before.
    pub fn failure(&self, error: &wasmtime::Error) -> Failure {
        let Some(trap) = error.downcast_ref::<Trap>() else {
            let text = format!("{error:#}");
            // wasmtime does not export the types of these errors.
            if text.contains("store handle limit exceeded") {
                return Failure::Handles;
            }
            if text.contains("fuel allocated for hostcalls has been exhausted") {
                return Failure::AnswerTooLarge;
            }
            return if self.refused_memory { self.out_of_memory() } else { Failure::Other(text) };
        };
        match trap {
            Trap::Interrupt => Failure::Deadline(self.limits.deadline),
            // A guest that cannot get memory traps; report the cause and not the trap.
            Trap::UnreachableCodeReached | Trap::MemoryOutOfBounds if self.refused_memory => {
                self.out_of_memory()
            }
            Trap::StackOverflow => Failure::Stack,
            other => Failure::Trap(other.to_string()),
        }
    }

    fn out_of_memory(&self) -> Failure {
        Failure::Memory { kib: self.limits.memory / 1024 }
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

impl<H: Send> ResourceLimiter for Bounds<H> {
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
    use super::*;

    #[test]
    fn growth_counts_over_all_memories_together() {
        let deadline = Duration::from_millis(1);
        let limits = Limits { deadline, memory: 100, answer: 0 };
        let mut bounds = Bounds::new(limits, Deadline::new(deadline), ());
        assert!(bounds.memory_growing(0, 60, None).unwrap());
        assert!(bounds.memory_growing(0, 30, None).unwrap());
        assert!(!bounds.memory_growing(60, 71, None).unwrap());
        assert!(bounds.refused_memory);
        assert!(bounds.memory_growing(60, 70, None).unwrap());
    }
}
