//! Chooses the token for an operation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::SignError;
use crate::pkcs11::{
    operations::{Operation, Outcome},
    pool::TokenPool,
};

/// A token that could do an operation, with the operation.
type Able<'a> = (&'a Arc<TokenPool>, Operation);

/// Has one of the tokens that hold the key do the operation: the one with the least to do, and if it
/// fails, the next one in the remaining time. `operation` makes the operation for a token, or says why
/// the token cannot do it.
pub(crate) async fn operate(
    pools: &[Arc<TokenPool>],
    deadline: Duration,
    operation: impl Fn(&TokenPool) -> Result<Operation, SignError>,
) -> Result<Outcome, SignError> {
    let until = Instant::now() + deadline;
    let mut able = Vec::with_capacity(pools.len());
    let mut failed = None;
    for pool in pools {
        match operation(pool) {
            Ok(operation) => able.push((pool, operation)),
            Err(error) => failed = Some(unless_away(pools, error)),
        }
    }
    while let Some((pool, operation)) = take_idlest(&mut able) {
        // A token that hangs must not use up the time of the others.
        let left = until.saturating_duration_since(Instant::now());
        let others = able.iter().filter(|(pool, _)| pool.is_usable()).count();
        let share = left / u32::try_from(others + 1).unwrap_or(u32::MAX);
        let outcome = pool.submit(operation, share).await;
        // A token that was down a moment ago may be up by now.
        let another = able.iter().any(|(pool, _)| pool.is_usable());
        match outcome {
            Ok(Err(fault)) if another && fault.may_do_elsewhere() => {
                tracing::info!(token = %pool.token.selector(), %fault, "trying another token");
                failed = Some(SignError::Unavailable { reason: fault.to_string() });
            }
            Err(error) if another && Instant::now() < until => failed = Some(error),
            // The whole time has passed, not only the last share of it.
            Err(SignError::Timeout { .. }) => return Err(SignError::Timeout { after: deadline }),
            done => return done,
        }
    }
    // The able tokens were down all the time. That says more than that the others do not have the key.
    let trouble = able.iter().find_map(|(pool, _)| pool.trouble());
    let away = trouble.map(|reason| SignError::Unavailable { reason });
    let nobody = || SignError::Unavailable { reason: "no token holds the key".to_owned() };
    Err(away.or(failed).unwrap_or_else(nobody))
}

/// The error if no token has the key: while a token cannot be used, the key may be in it.
pub(crate) fn unless_away(pools: &[Arc<TokenPool>], error: SignError) -> SignError {
    let away = pools.iter().find(|pool| pool.keys.len() == 0);
    match (error, away.and_then(|pool| pool.trouble())) {
        (SignError::UnknownKey { .. }, Some(reason)) => SignError::Unavailable { reason },
        (error, _) => error,
    }
}

/// Takes the token with the least to do out of those that can be used now.
fn take_idlest<'a>(able: &mut Vec<Able<'a>>) -> Option<Able<'a>> {
    let up = able.iter().enumerate().filter(|(_, (pool, _))| pool.is_usable());
    let (at, _) = up.min_by_key(|(_, (pool, _))| pool.outstanding())?;
    Some(able.swap_remove(at))
}
