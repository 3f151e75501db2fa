//! When certificates begin and end. The last second counts (RFC 5280 §4.1.2.5: notAfter is inclusive).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{IssuanceRequest, IssueError};

/// How far before now certificates begin unless a beginning was asked for, because clocks differ.
const BACKDATE: Duration = Duration::from_mins(1);
/// How far in the past a beginning may be that was asked for.
const OLDEST_START: SignedDuration = SignedDuration::from_mins(5);

/// Whether dates that are asked for are possible at all.
pub(crate) fn check(
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), IssueError> {
    if not_before.is_some_and(|start| now.duration_since(start) > OLDEST_START) {
        return Err(IssueError::Dates("it would begin in the past"));
    }
    let Some(end) = not_after else { return Ok(()) };
    if end <= now || not_before.is_some_and(|start| end < start) {
        return Err(IssueError::Dates("it would end before it begins, or has ended"));
    }
    Ok(())
}

/// The length of validity asked for, both ends included.
pub(crate) fn requested(
    request: &IssuanceRequest,
    now: Timestamp,
) -> Result<Option<Duration>, IssueError> {
    check(request.not_before, request.not_after, now)?;
    let Some(end) = request.not_after else { return Ok(None) };
    let length = match request.not_before {
        Some(start) => end.as_second().saturating_sub(start.as_second()),
        // Counted from now itself and not from the second that began before it: who may ask for 90 days, and
        // does, would be told otherwise that this is a second too much.
        None => end.duration_since(now).as_secs(),
    };
    let length = u64::try_from(length).unwrap_or_default().saturating_add(1);
    Ok(Some(Duration::from_secs(length)))
}

/// The first and last second: `validity`, which policy allows, or `requested`, whichever is shorter.
pub(crate) fn of(
    validity: Duration,
    request: &IssuanceRequest,
    requested: Option<Duration>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), IssueError> {
    check(request.not_before, request.not_after, now)?;
    if let (None, Some(end), Some(asked)) = (request.not_before, request.not_after, requested)
        && let Some(spare) = validity.checked_sub(asked)
    {
        // All that was asked for is allowed: it ends then, and begins as early as what is left allows.
        let start = now.checked_sub(spare.min(BACKDATE)).map_err(too_far)?;
        return Ok((whole(start)?, whole(end)?));
    }
    let not_before = match request.not_before {
        Some(start) => start,
        None => now.checked_sub(BACKDATE).map_err(too_far)?,
    };
    let not_before = whole(not_before)?;
    let length = validity.min(requested.unwrap_or(Duration::MAX)).as_secs();
    let Some(length) = length.checked_sub(1) else {
        return Err(IssueError::Template("its validity is shorter than a second".to_owned()));
    };
    let length = SignedDuration::from_secs(i64::try_from(length).unwrap_or(i64::MAX));
    // A requester that asked for a beginning can ask for another one.
    let asked = request.not_before.is_some();
    let not_after = match not_before.checked_add(length) {
        Err(_) if asked => return Err(IssueError::Dates("it would end beyond the calendar")),
        not_after => not_after.map_err(too_far)?,
    };
    if not_after <= now {
        return Err(if asked {
            IssueError::Dates("it would have ended when it is issued")
        } else {
            IssueError::Template("it would be expired when it is issued".to_owned())
        });
    }
    let not_after = request.not_after.map_or(not_after, |asked| not_after.min(asked));
    Ok((not_before, not_after))
}

/// Certificates have whole seconds.
fn whole(time: Timestamp) -> Result<Timestamp, IssueError> {
    Timestamp::from_second(time.as_second()).map_err(too_far)
}

fn too_far(_: jiff::Error) -> IssueError {
    IssueError::Template("its validity ends beyond the calendar".to_owned())
}
