//! The engine that runs components.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use rustix::process::{Resource, getrlimit};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often the engine's epoch advances, and so the grain of deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// A page of linear memory, in bytes.
pub const PAGE: usize = 64 * 1024;
/// How much of a memory is reset by copying, which takes about a microsecond for each page. Giving pages back
/// instead takes five to ten for the first, and again when they are touched.
const COPIED: usize = 4 * PAGE;
/// The most memory that one instance may be given, in bytes.
pub const LARGEST_MEMORY: usize = 64 * 1024 * 1024;
/// Linear memories that one component may have.
pub const MEMORIES: usize = 4;
/// Core instances that one component may consist of: a Python policy is some forty, linked together.
pub(crate) const INSTANCES: usize = 64;
/// Address space that wasmtime reserves for a linear memory, with its guard.
const SLOT: u64 = (4 << 30) + (64 << 20);
/// Slots, if the address space is not limited: enough for policies to find theirs as they left it.
const SLOTS: usize = 256;

/// The engine cannot run on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the WebAssembly engine: {0}")]
pub struct EngineError(pub String);

/// The engine and the thread that makes its deadlines pass.
pub struct Sandbox {
    /// The engine.
    pub engine: Engine,
    /// How many evaluations may run at once without emptying the pool, one reserved for loading.
    pub concurrency: usize,
    _ticker: Ticker,
}

impl Sandbox {
    /// For one evaluation after the other, in an engine that counts what guests consume. That makes
    /// them slower, so it is for trials.
    pub fn counting() -> Result<Self, EngineError> {
        let mut config = config(2 * MEMORIES);
        config.consume_fuel(true);
        Self::start(&config, 1)
    }

    /// For this many evaluations at once, or fewer if the address space is limited.
    pub fn new(concurrency: usize) -> Result<Self, EngineError> {
        let wanted = SLOTS.max((concurrency + 1) * MEMORIES);
        let slots = wanted.min(slots_in_address_space(getrlimit(Resource::As).current));
        let concurrency = concurrency.min((slots / MEMORIES).saturating_sub(1));
        if concurrency == 0 {
            let needed = SLOT * 2 * 2 * MEMORIES as u64 / (1 << 30);
            let message = format!(
                "the address space of this process is limited (ulimit -v) to less than the \
                 {needed} GiB that the isolation of policies reserves; raise the limit"
            );
            return Err(EngineError(message));
        }
        Self::start(&config(slots), concurrency)
    }

    fn start(config: &Config, concurrency: usize) -> Result<Self, EngineError> {
        let engine = Engine::new(config).map_err(|error| EngineError(format!("{error:#}")))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| {
            EngineError(format!("cannot start the thread for deadlines: {error}"))
        })?;
        Ok(Self { engine, concurrency, _ticker: ticker })
    }
}

/// Half of what is allowed may go into slots.
fn slots_in_address_space(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |bytes| usize::try_from(bytes / 2 / SLOT).unwrap_or(usize::MAX))
}

fn config(slots: usize) -> Config {
    let count = u32::try_from(slots).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(u32::try_from(INSTANCES).unwrap_or(1)))
        .total_memories(count)
        .total_tables(count.saturating_mul(2))
        .max_memories_per_component(u32::try_from(MEMORIES).unwrap_or(1))
        .max_tables_per_component(2 * u32::try_from(MEMORIES).unwrap_or(1))
        .max_core_instances_per_component(u32::try_from(INSTANCES).unwrap_or(1))
        // One page more than a policy may use, for the snapshot of its configured memory.
        .max_memory_size(LARGEST_MEMORY + PAGE)
        .max_unused_warm_slots(count)
        // A guest of few pages is reset by copying, without a system call. `pagemap_scan` would serve
        // larger ones better, but it passes over pages that are not there in that moment, because they
        // were swapped out or are being moved, so that a later evaluation could read what an earlier one
        // left in them. It stays off.
        .linear_memory_keep_resident(COPIED)
        .table_keep_resident(PAGE);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        // The same request has to get the same answer on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}

/// Advances the epoch until it is dropped.
struct Ticker {
    _stop: Sender<()>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        std::thread::Builder::new().name("policy-epoch".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_address_space_shrinks_the_pool() {
        assert_eq!(slots_in_address_space(None), usize::MAX);
        assert_eq!(slots_in_address_space(Some(SLOT * 20)), 10);
        assert_eq!(slots_in_address_space(Some(1 << 30)), 0);
    }

    #[test]
    fn the_ticker_ends_with_the_sandbox() {
        let sandbox = Sandbox::new(1).unwrap();
        let engine = sandbox.engine.weak();
        drop(sandbox);
        // The thread holds the last engine; it is gone once the thread has seen the stop.
        while engine.upgrade().is_some() {
            std::thread::yield_now();
        }
    }
}
