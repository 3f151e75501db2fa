//! Why a connection gets no place.

use std::fmt;

/// Why a connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// Its address has too many.
    Share,
    /// Its address begins too many handshakes.
    Handshakes,
    /// Every place is taken, and so is every place to wait at.
    Full,
}

impl Denied {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Share, Self::Handshakes, Self::Full];

    /// A short word for metrics.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Handshakes => "handshakes",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Share => "its address has too many (server.connections_per_address)",
            Self::Handshakes => {
                "its address begins too many handshakes (server.handshakes_per_address)"
            }
            Self::Full => "every place is taken, and too many wait for one",
        })
    }
}
