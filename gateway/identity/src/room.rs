//! Bounds the memory that a request takes to collect its answer.

use std::fmt;
use std::sync::Arc;

/// Room in memory for the data that a request collects before it is answered. The code that collects takes
/// room as the data grows, so many requests at once are refused before memory runs out. The room is given back
/// when the request is over.
///
/// Clones share the same room.
#[derive(Clone, Default)]
pub struct Room(Option<Arc<dyn Fn(usize) -> bool + Send + Sync>>);

/// There is no more room at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no room in memory for this answer at the moment: ask for less, or try again")]
pub struct NoRoom;

impl Room {
    /// As much as the gateway has: for the gateway's own work.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Takes room with `take`, which returns whether that many bytes were free.
    pub fn of(take: impl Fn(usize) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(take)))
    }

    /// Takes this many bytes.
    ///
    /// # Errors
    /// Fewer bytes are free; nothing was taken.
    pub fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        if self.0.as_ref().is_none_or(|take| take(bytes)) { Ok(()) } else { Err(NoRoom) }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Room").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn clones_take_from_the_same_room() {
        let left = AtomicUsize::new(10);
        let fits = move |bytes| {
            left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes))
                .is_ok()
        };
        let room = Room::of(fits);
        assert_eq!(room.clone().take(6), Ok(()));
        assert_eq!(room.take(5), Err(NoRoom));
        assert_eq!(room.take(4), Ok(()));
        assert_eq!(Room::unlimited().take(usize::MAX), Ok(()));
    }
}
