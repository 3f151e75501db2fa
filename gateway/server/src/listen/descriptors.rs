//! File descriptors: as many as the system allows, and enough of them kept from connections that the
//! gateway can do its own work when every place is taken. A validation that cannot open a socket would
//! make a client's challenge invalid.

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::places::Sizes;

/// What the store, the audit log, policies, logs, listeners and signals need.
const OWN: u64 = 128;

/// How many connections the ports may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    /// The TLS port.
    pub(crate) tls: usize,
    /// The plain port.
    pub(crate) plain: usize,
}

impl Connections {
    /// The sockets for them, with those that wait for a place.
    fn sockets(self) -> u64 {
        let of = |connections| Sizes::without_reserve(connections).sockets() as u64;
        of(self.tls) + of(self.plain)
    }
}

/// Raises the limit of this process to what the system allows it. The limit that holds then; none if
/// there is none.
///
/// # Errors
/// The system refuses what it said it would allow.
pub(crate) fn raise_limit() -> Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return Ok(current);
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("raising the limit of open files (RLIMIT_NOFILE)")?;
    Ok(maximum)
}

/// The connections that leave what the gateway needs itself: `wanted`, or less where the limit is low.
/// `outgoing` is how many sockets of its own the gateway may have at once.
///
/// # Errors
/// The limit leaves no room for connections.
pub(crate) fn fit(limit: Option<u64>, wanted: Connections, outgoing: usize) -> Result<Connections> {
    let Some(limit) = limit else { return Ok(wanted) };
    let reserve = OWN + outgoing as u64;
    // A limit so low that the reserve would take most of it is halved: both sides have to get along.
    let room = limit.saturating_sub(reserve).max(limit / 2);
    if wanted.sockets() <= room {
        return Ok(wanted);
    }
    // Beside each eight connections, one socket waits for a place or is being closed.
    let room = room.saturating_sub(8) / 9 * 8;
    let sum = (wanted.tls + wanted.plain) as u64;
    let part = |connections: usize| {
        let part = u128::from(room) * connections as u128 / u128::from(sum);
        usize::try_from(part).unwrap_or(connections)
    };
    let fitting = Connections { tls: part(wanted.tls), plain: part(wanted.plain) };
    ensure!(
        fitting.tls > 0 && fitting.plain > 0,
        "the system allows this process {limit} open files, which leaves none for connections: raise \
         RLIMIT_NOFILE (LimitNOFILE= of systemd)"
    );
    Ok(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Connections = Connections { tls: 10_000, plain: 2_000 };

    #[test]
    fn a_high_limit_changes_nothing() {
        for limit in [None, Some(1_048_576), Some(12_128 + OWN + 500)] {
            assert_eq!(fit(limit, WANTED, 500).unwrap(), WANTED, "{limit:?}");
        }
    }

    #[test]
    fn a_low_limit_shrinks_both_tables_alike_and_keeps_the_reserve() {
        for limit in [256_u64, 1024, 4096, 12_000] {
            let fitting = fit(Some(limit), WANTED, 500).unwrap();
            let Connections { tls, plain } = fitting;
            let left = limit - fitting.sockets();
            assert!(left >= (OWN + 500).min(limit / 2), "{limit}: {tls} + {plain}");
            assert!(tls.abs_diff(5 * plain) <= 5, "{limit}: {tls} + {plain}");
        }
    }

    #[test]
    fn a_limit_that_leaves_nothing_is_an_error_that_says_what_to_do() {
        let error = fit(Some(8), WANTED, 500).unwrap_err().to_string();
        assert!(error.contains("RLIMIT_NOFILE"), "{error}");
    }

    #[test]
    fn the_limit_can_be_raised_and_stays_raised() {
        let limit = raise_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, limit);
        assert_eq!(raise_limit().unwrap(), limit);
    }
}
