//! Getting tokens back that cannot be used.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::OpenError;
use super::lane::Lane;

/// How soon a token is tried again, and how late at most: the pause doubles.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(2);

/// Reaches the tokens for the first time. One of them has to be there, at the latest when the patience
/// ends.
pub(super) fn first(lanes: &[Arc<Lane>], patience: Duration) -> Result<(), OpenError> {
    let until = Instant::now() + patience;
    loop {
        let mut failure = None;
        for lane in lanes.iter().filter(|lane| !lane.health.is_up()) {
            match lane.bring_up() {
                Ok(()) => {}
                // A mistake in the configuration, or a PIN that must not be tried again: somebody has to
                // know that now.
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => {
                    lane.health.down(error.to_string());
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(failure) if lanes.iter().all(|lane| !lane.health.is_up()) => {
                if Instant::now() >= until {
                    return Err(failure);
                }
                tracing::warn!(%failure, "waiting for the token");
                for lane in lanes {
                    lane.token.module().reinitialise();
                    lane.health.pause(SOON.min(until.saturating_duration_since(Instant::now())));
                }
            }
            _ => return Ok(()),
        }
    }
}

/// Starts the thread that gets the token back whenever it is down. It ends with the lane.
pub(super) fn start(lane: &Arc<Lane>) -> io::Result<()> {
    let (health, lane) = (Arc::clone(&lane.health), Arc::downgrade(lane));
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
    thread::Builder::new().name("pkcs11-recovery".to_owned()).spawn(attend).map(drop)
}

fn attempt(lane: &Lane) {
    let Err(error) = lane.bring_up() else { return };
    if !error.may_pass() {
        lane.health.down(error.to_string());
        return;
    }
    // Some modules look for tokens when they are initialised only.
    let again = if lane.token.module().reinitialise() { lane.bring_up() } else { Err(error) };
    if let Err(error) = again {
        lane.health.down(error.to_string());
    }
}
