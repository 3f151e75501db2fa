//! Getting tokens back that cannot be used.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::TokenPool;
use crate::pkcs11::{OpenError, Stop};

/// How soon a token is tried again, and how late at most: the pause doubles.
const SOON: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(2);

/// Reaches the tokens for the first time. One of them has to be there, at the latest when the patience
/// ends or somebody says stop; a login that is to be tried once more is, whatever the patience.
pub(crate) fn first(
    pools: &[Arc<TokenPool>],
    patience: Duration,
    stop: &Stop,
) -> Result<(), OpenError> {
    let until = Instant::now() + patience;
    loop {
        let (mut failure, mut again) = (None, None);
        for pool in pools.iter().filter(|pool| !pool.health.is_up()) {
            match pool.bring_up() {
                Ok(()) => {}
                // A mistake in the configuration, or a PIN that must not be tried again: somebody has to
                // know that now.
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => {
                    pool.health.down(error.to_string());
                    if let OpenError::LoginUnclear { pause, .. } = error {
                        again = Some(pause);
                    }
                    failure = Some(error);
                }
            }
        }
        let Some(failure) = failure else { return Ok(()) };
        if pools.iter().any(|pool| pool.health.is_up()) {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        let pause = match again {
            Some(pause) => pause,
            None if left.is_zero() => return Err(failure),
            None => SOON.min(left),
        };
        tracing::warn!(%failure, "waiting for the token");
        for pool in pools {
            if again.is_none() {
                pool.token.module().reinitialise();
            }
        }
        if !stop.pause(pause) {
            return Err(OpenError::Stopped);
        }
    }
}

/// Starts the thread that gets the token back whenever it is down. It ends with the pool.
pub(crate) fn start(of: &Arc<TokenPool>) -> io::Result<()> {
    let (health, pool) = (Arc::clone(&of.health), Arc::downgrade(of));
    let attend = move || {
        while health.wait_for_trouble() {
            let mut pause = SOON;
            while !health.is_up() {
                if !health.pause(pause) {
                    return;
                }
                pause = (pause * 2).min(LATE);
                let Some(pool) = Weak::upgrade(&pool) else { return };
                attempt(&pool);
            }
        }
    };
    of.threads.start("pkcs11-recovery".to_owned(), attend)
}

fn attempt(pool: &TokenPool) {
    let Err(error) = pool.bring_up() else { return };
    // A login that is to be tried once more needs nothing but its pause.
    if !error.may_pass() || matches!(error, OpenError::LoginUnclear { .. }) {
        pool.health.down(error.to_string());
        return;
    }
    // Some modules look for tokens when they are initialised only.
    let again = if pool.token.module().reinitialise() { pool.bring_up() } else { Err(error) };
    if let Err(error) = again {
        pool.health.down(error.to_string());
    }
}
