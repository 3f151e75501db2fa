//! One binding's part in the threads that evaluate.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::component::Failure;

/// So many failures in a row are a fault of the policy and not of one request.
const REPEATEDLY: u32 = 3;

/// One binding's part in the threads that evaluate, and how it has behaved.
#[derive(Debug)]
pub(crate) struct Share {
    binding: String,
    /// How many of its evaluations may run at once.
    limit: usize,
    /// How many run now. Changed under the schedule's lock only.
    running: AtomicUsize,
    /// Evaluations that failed since the last that did not.
    failures: AtomicU32,
    /// Evaluations that passed the deadline since the last that did not.
    late: AtomicU32,
}

impl Share {
    pub(crate) fn new(binding: &str, limit: Option<usize>) -> Self {
        // On the page from the beginning. It does not change what the binding's share in an earlier set has said.
        metrics::gauge!("chancery_policy_failing", "binding" => binding.to_owned()).increment(0);
        Self {
            binding: binding.to_owned(),
            limit: limit.unwrap_or(usize::MAX),
            running: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            late: AtomicU32::new(0),
        }
    }

    /// Whether the binding fails every time.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= REPEATEDLY
    }

    /// Whether the binding passes its deadline every time, so that it has to wait for the slow thread.
    pub(crate) fn is_slow(&self) -> bool {
        self.late.load(Ordering::Relaxed) >= REPEATEDLY
    }

    /// Takes note of how an evaluation ended, and reports a binding that began or ceased to fail.
    pub(crate) fn ended(&self, failure: Option<&Failure>) {
        let binding = self.binding.as_str();
        match failure {
            Some(Failure::Deadline(_)) => self.late.fetch_add(1, Ordering::Relaxed),
            _ => self.late.swap(0, Ordering::Relaxed),
        };
        match failure {
            Some(failure) => {
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 == REPEATEDLY {
                    tracing::warn!(
                        binding,
                        cause = failure.cause(),
                        "the policy fails repeatedly: what it is asked about is denied"
                    );
                    self.report(1);
                }
            }
            None => {
                if self.failures.swap(0, Ordering::Relaxed) >= REPEATEDLY {
                    tracing::info!(binding, "the policy decides again");
                    self.report(0);
                }
            }
        }
    }

    fn report(&self, failing: u8) {
        metrics::gauge!("chancery_policy_failing", "binding" => self.binding.clone()).set(failing);
    }

    pub(crate) fn has_room(&self) -> bool {
        self.running.load(Ordering::Relaxed) < self.limit
    }

    pub(crate) fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_are_reported_and_one_success_ends_it() {
        let share = Share::new("b", None);
        for _ in 0..2 {
            share.ended(Some(&Failure::Memory { kib: 1024 }));
        }
        assert!(!share.is_failing());
        share.ended(Some(&Failure::Memory { kib: 1024 }));
        assert!(share.is_failing());
        assert!(!share.is_slow(), "it fails fast");
        share.ended(None);
        assert!(!share.is_failing());
    }

    #[test]
    fn only_deadlines_make_a_binding_slow() {
        let share = Share::new("b", None);
        for _ in 0..3 {
            share.ended(Some(&Failure::Deadline(std::time::Duration::ZERO)));
        }
        assert!(share.is_slow() && share.is_failing());
        share.ended(Some(&Failure::Memory { kib: 1024 }));
        assert!(!share.is_slow() && share.is_failing());
    }
}
