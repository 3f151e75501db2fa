//! Chooses the token for an operation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::{Lane, Operation, Outcome};
use crate::SignError;

/// A token that could do an operation, with the operation.
type Able<'a> = (&'a Arc<Lane>, Operation);

/// Has one of the tokens that hold the key do the operation: the one with the least to do, and if it
/// fails, the next one in the remaining time. `operation` makes the operation for a token, or says why
/// the token cannot do it.
pub(super) async fn operate(
    lanes: &[Arc<Lane>],
    deadline: Duration,
    operation: impl Fn(&Lane) -> Result<Operation, SignError>,
) -> Result<Outcome, SignError> {
    let until = Instant::now() + deadline;
    let mut able = Vec::with_capacity(lanes.len());
    let mut failed = None;
    for lane in lanes {
        match operation(lane) {
            Ok(operation) => able.push((lane, operation)),
            Err(error) => failed = Some(unless_away(lanes, error)),
        }
    }
    while let Some((lane, operation)) = take_idlest(&mut able) {
        // A token that hangs must not use up the time of the others.
        let left = until.saturating_duration_since(Instant::now());
        let others = able.iter().filter(|(lane, _)| lane.is_usable()).count();
        let share = left / u32::try_from(others + 1).unwrap_or(u32::MAX);
        let outcome = lane.submit(operation, share).await;
        // A token that was down a moment ago may be up by now.
        let another = able.iter().any(|(lane, _)| lane.is_usable());
        match outcome {
            Ok(Err(fault)) if another && fault.may_do_elsewhere() => {
                tracing::info!(token = %lane.token.selector(), %fault, "trying another token");
                failed = Some(SignError::Unavailable { reason: fault.to_string() });
            }
            Err(error) if another && Instant::now() < until => failed = Some(error),
            // The whole time has passed, not only the last share of it.
            Err(SignError::Timeout { .. }) => return Err(SignError::Timeout { after: deadline }),
            done => return done,
        }
    }
    // The able tokens were down all the time. That says more than that the others do not have the key.
    let trouble = able.iter().find_map(|(lane, _)| lane.trouble());
    let away = trouble.map(|reason| SignError::Unavailable { reason });
    let nobody = || SignError::Unavailable { reason: "no token holds the key".to_owned() };
    Err(away.or(failed).unwrap_or_else(nobody))
}

/// The error if no token has the key: while a token cannot be used, the key may be in it.
pub(super) fn unless_away(lanes: &[Arc<Lane>], error: SignError) -> SignError {
    let away = lanes.iter().find(|lane| lane.keys.len() == 0);
    match (error, away.and_then(|lane| lane.trouble())) {
        (SignError::UnknownKey { .. }, Some(reason)) => SignError::Unavailable { reason },
        (error, _) => error,
    }
}

/// Takes the token with the least to do out of those that can be used now.
fn take_idlest<'a>(able: &mut Vec<Able<'a>>) -> Option<Able<'a>> {
    let up = able.iter().enumerate().filter(|(_, (lane, _))| lane.is_usable());
    let (at, _) = up.min_by_key(|(_, (lane, _))| lane.outstanding())?;
    Some(able.swap_remove(at))
}
