//! When an evaluation ends.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::UpdateDeadline;

use crate::engine::TICK;

/// A guest may take this many deadlines by the clock on the wall.
const PATIENCE: u64 = 10;

/// The time that one evaluation may take. A guest is stopped for the time that it computed, not for
/// the time that its thread waited for a processor: on a busy machine an honest policy would else be
/// denied for what others do.
///
/// To read the processor's time costs a system call, which most evaluations never need: at half of
/// the deadline the time is noted, and from there on the guest has the other half.
#[derive(Debug)]
pub(crate) struct Deadline {
    half: u64,
    /// Ticks by the clock on the wall that are left to give.
    left: u64,
    /// Processor time of this thread at half of the deadline.
    at_half: Option<Duration>,
}

impl Deadline {
    pub(crate) fn new(deadline: Duration) -> Self {
        let ticks = deadline.as_micros().div_ceil(TICK.as_micros());
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX).max(1);
        Self { half: ticks.div_ceil(2), left: ticks.saturating_mul(PATIENCE), at_half: None }
    }

    /// Ticks until [`passed`](Self::passed) is to be asked first. The present tick has begun already.
    pub(crate) fn first(&self) -> u64 {
        self.half + 1
    }

    /// Whether the guest has had its time, or how many ticks later to ask again.
    pub(crate) fn passed(&mut self) -> UpdateDeadline {
        self.after(processor_time())
    }

    fn after(&mut self, now: Duration) -> UpdateDeadline {
        let at_half = *self.at_half.get_or_insert(now);
        // Ticks come a little early or late; half of one is not worth another round.
        let half = TICK * u32::try_from(self.half).unwrap_or(u32::MAX);
        let second_half = half.saturating_sub(TICK / 2);
        let missing = second_half.saturating_sub(now.saturating_sub(at_half));
        let ticks = u64::try_from(missing.as_micros().div_ceil(TICK.as_micros())).unwrap_or(1);
        if ticks == 0 || self.left == 0 {
            return UpdateDeadline::Interrupt;
        }
        let ticks = ticks.min(self.left);
        self.left -= ticks;
        UpdateDeadline::Continue(ticks)
    }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ticks(update: &UpdateDeadline) -> Option<u64> {
        match update {
            UpdateDeadline::Continue(ticks) => Some(*ticks),
            _ => None,
        }
    }

    #[test]
    fn a_guest_that_computes_all_the_time_ends_at_the_deadline() {
        let mut deadline = Deadline::new(20 * MS);
        assert_eq!(deadline.first(), 11);
        assert_eq!(ticks(&deadline.after(100 * MS)), Some(10));
        assert_eq!(ticks(&deadline.after(110 * MS)), None);
    }

    #[test]
    fn a_guest_whose_thread_waits_gets_what_it_missed() {
        let mut deadline = Deadline::new(20 * MS);
        assert_eq!(ticks(&deadline.after(100 * MS)), Some(10));
        assert_eq!(ticks(&deadline.after(102 * MS)), Some(8));
        assert_eq!(ticks(&deadline.after(110 * MS)), None);
    }

    #[test]
    fn no_guest_gets_more_than_ten_deadlines_however_little_it_computes() {
        let mut deadline = Deadline::new(20 * MS);
        let mut given = 0;
        while let Some(ticks) = ticks(&deadline.after(100 * MS)) {
            given += ticks;
        }
        assert_eq!(given, 200);
    }

    #[test]
    fn the_shortest_deadline_is_a_tick() {
        let mut deadline = Deadline::new(MS);
        assert_eq!(deadline.first(), 2);
        assert_eq!(ticks(&deadline.after(100 * MS)), Some(1));
        assert_eq!(ticks(&deadline.after(101 * MS)), None);
    }

    #[test]
    fn the_processor_s_time_advances_with_work() {
        let before = processor_time();
        while processor_time() == before {
            std::hint::spin_loop();
        }
    }
}
