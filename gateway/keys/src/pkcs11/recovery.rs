//! Getting tokens back that cannot be used.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::{OpenError, Stop};

/// How soon a token is tried again, and how late at most: the pause doubles.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(2);

/// Reaches the tokens for the first time. One of them has to be there, at the latest when the patience
/// ends or somebody says stop; a login that is to be tried once more is, whatever the patience.
pub(super) fn first(lanes: &[Arc<Lane>], patience: Duration, stop: &Stop) -> Result<(), OpenError> {
    let until = Instant::now() + patience;
    loop {
        let (mut failure, mut again) = (None, None);
        for lane in lanes.iter().filter(|lane| !lane.health.is_up()) {
            match lane.bring_up() {
                Ok(()) => {}
                // A mistake in the configuration, or a PIN that must not be tried again: somebody has to
                // know that now.
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => {
                    lane.health.down(error.to_string());
                    if let OpenError::LoginUnclear { pause, .. } = error {
                        again = Some(pause);
                    }
                    failure = Some(error);
                }
            }
        }
        let Some(failure) = failure else { return Ok(()) };
        if lanes.iter().any(|lane| lane.health.is_up()) {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        let pause = match again {
            Some(pause) => pause,
            None if left.is_zero() => return Err(failure),
            None => SOON.min(left),
        };
        tracing::warn!(%failure, "waiting for the token");
        for lane in lanes {
            if again.is_none() {
                lane.token.module().reinitialise();
            }
        }
        if !stop.pause(pause) {
            return Err(OpenError::Stopped);
        }
    }
}

/// Starts the thread that gets the token back whenever it is down. It ends with the lane.
pub(super) fn start(of: &Arc<Lane>) -> io::Result<()> {
    let (health, lane) = (Arc::clone(&of.health), Arc::downgrade(of));
    let attend = move || {
        while health.wait_for_trouble() {
            let mut pause = SOON;
            while !health.is_up() {
                if !health.pause(pause) {
                    return;
                }
                pause = (pause * 2).min(LATE);
                let Some(lane) = Weak::upgrade(&lane) else { return };
                attempt(&lane);
            }
        }
    };
    of.threads.start("pkcs11-recovery".to_owned(), attend)
}

fn attempt(lane: &Lane) {
    let Err(error) = lane.bring_up() else { return };
    // A login that is to be tried once more needs nothing but its pause.
    if !error.may_pass() || matches!(error, OpenError::LoginUnclear { .. }) {
        lane.health.down(error.to_string());
        return;
    }
    // Some modules look for tokens when they are initialised only.
    let again = if lane.token.module().reinitialise() { lane.bring_up() } else { Err(error) };
    if let Err(error) = again {
        lane.health.down(error.to_string());
    }
}
