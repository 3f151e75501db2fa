//! What the listener and the handlers agree on about request bodies: why reading one can fail, and what
//! a request holds until it is handled.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

/// Why the listener broke off the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The client sent it too slowly.
    #[error("the request body came too slowly")]
    TooSlow,
    /// This client, or all clients together, used up the memory for bodies.
    #[error("there is no room for the request body at the moment: try again")]
    NoRoom,
}

impl BodyError {
    /// Its HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The reason behind a body's error, if it is one of these.
    pub(crate) fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut layer = Some(error);
        while let Some(error) = layer {
            if let Some(reason) = error.downcast_ref() {
                return Some(*reason);
            }
            layer = error.source();
        }
        None
    }
}

/// What a request holds (memory for its body) until this and its clones are dropped. It is in the
/// request's extensions; a handler that moves a request to a task of its own keeps it there.
#[derive(Clone)]
pub struct Held(
    #[expect(dead_code, reason = "what counts is when it is dropped")] Arc<dyn Any + Send + Sync>,
);

impl Held {
    /// Holds this.
    pub fn new(held: Arc<dyn Any + Send + Sync>) -> Self {
        Self(held)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").finish_non_exhaustive()
    }
}

/// Marks a response whose body is in memory anyway, whether the client reads it or not. It is in the
/// response's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Shared;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_behind_other_errors() {
        let wrapped = axum::Error::new(axum::Error::new(BodyError::NoRoom));
        assert_eq!(BodyError::behind(&wrapped), Some(BodyError::NoRoom));
        assert_eq!(BodyError::behind(&axum::Error::new(fmt::Error)), None);
    }
}
