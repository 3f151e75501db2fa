//! Generates time-ordered ids (UUID version 7).

use jiff::Timestamp;
use uuid::Uuid;

/// A fresh id that sorts after those of earlier moments.
pub(crate) fn time_ordered_id(now: Timestamp) -> Uuid {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}
