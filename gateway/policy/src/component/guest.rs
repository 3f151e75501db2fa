//! One instance of a policy: what it may use and call, and why it failed.

use chancery_sandbox as sandbox;
use wasmtime::{Engine, Store};

use super::failure::Failure;
use super::wasi;
use crate::binding::Limits;
use crate::contract::Calls;

/// What is counted of one instance.
pub(crate) type Bounds = sandbox::Bounds<Guest>;

/// What the host keeps for one instance.
#[derive(Debug)]
pub(crate) struct Guest {
    /// What it may call.
    pub(crate) calls: Calls,
    /// Its state in WASI.
    pub(crate) wasi: wasi::State,
}

/// A store whose deadline has begun.
pub(crate) fn store(engine: &Engine, limits: &Limits, calls: Calls) -> Store<Bounds> {
    let Limits { deadline, memory, answer, .. } = *limits;
    let counted = calls.counted();
    let guest = Guest { calls, wasi: wasi::State::new() };
    sandbox::store(engine, sandbox::Limits { deadline, memory, answer }, guest, counted)
}

/// Why an instance failed, from the error and from what it did before.
pub(crate) fn failure(bounds: &Bounds, error: &wasmtime::Error) -> Failure {
    if let Some(absent) = error.downcast_ref::<wasi::Absent>() {
        return Failure::Trap(absent.to_string());
    }
    match bounds.failure(error) {
        sandbox::Failure::Trap(trap) => Failure::Trap(with_last_words(trap, &bounds.host.calls)),
        sandbox::Failure::Deadline(deadline) => Failure::Deadline(deadline),
        sandbox::Failure::Memory { kib } => Failure::Memory { kib },
        sandbox::Failure::Stack => Failure::Stack,
        sandbox::Failure::Handles => Failure::Handles,
        sandbox::Failure::AnswerTooLarge => Failure::AnswerTooLarge,
        sandbox::Failure::Other(text) => Failure::Answer(text),
    }
}

/// A trap alone does not tell the exception or panic. The guest has often written it to the log before.
fn with_last_words(trap: String, calls: &Calls) -> String {
    match calls.last_words() {
        "" => trap,
        said => format!("{trap}, after it wrote: {said}"),
    }
}
