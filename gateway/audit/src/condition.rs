//! How the log is: whether the next lines can be written.

use tokio::sync::watch;

/// How the log is, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It is written.
    Well,
    /// It is written, and its disk is almost full.
    AlmostFull,
    /// The last write failed.
    Failed,
}

/// What the writer knows of it, and tells.
pub(crate) struct Known {
    /// Whether the last write failed.
    failed: bool,
    /// Whether the disk had too little room when it was last looked at.
    low: bool,
    told: watch::Sender<Condition>,
}

impl Known {
    /// A log that was just opened.
    pub(crate) fn new() -> (Self, watch::Receiver<Condition>) {
        let (told, follow) = watch::channel(Condition::Well);
        (Self { failed: false, low: false, told }, follow)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Lines were written, or not. It says nothing of the room: there may be enough for these lines only.
    pub(crate) fn wrote(&mut self, done: bool) {
        if self.failed == done {
            self.failed = !done;
            if done {
                tracing::info!("the audit log can be written again");
            } else {
                tracing::error!("the audit log cannot be written: every request is refused");
            }
        }
        self.tell();
    }

    /// The disk was looked at.
    pub(crate) fn looked(&mut self, has_room: bool) {
        if self.low == has_room {
            self.low = !has_room;
            if has_room {
                tracing::info!("the audit log's disk has room again");
            } else {
                tracing::error!(
                    "the audit log's disk is almost full: make room, else every request is refused soon"
                );
            }
        }
        self.tell();
    }

    fn tell(&self) {
        let condition = match (self.failed, self.low) {
            (true, _) => Condition::Failed,
            (false, true) => Condition::AlmostFull,
            (false, false) => Condition::Well,
        };
        self.told.send_if_modified(|before| std::mem::replace(before, condition) != condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_says_nothing_of_the_room_and_a_look_nothing_of_the_writes() {
        let (mut known, mut told) = Known::new();
        let mut now = |known: &Known, changed: bool| {
            assert_eq!(told.has_changed().unwrap(), changed, "{}", known.failed);
            *told.borrow_and_update()
        };
        assert_eq!(now(&known, false), Condition::Well);
        known.looked(false);
        assert_eq!(now(&known, true), Condition::AlmostFull);
        for _ in 0..3 {
            known.wrote(true);
            known.looked(false);
            assert_eq!(now(&known, false), Condition::AlmostFull);
        }
        known.wrote(false);
        assert_eq!(now(&known, true), Condition::Failed);
        known.looked(true);
        assert_eq!(now(&known, false), Condition::Failed);
        known.wrote(true);
        assert_eq!(now(&known, true), Condition::Well);
    }
}
