//! How many sessions a token admits.

use crate::pkcs11::OpenError;

/// Sessions beside the workers': the one that keeps the login, and one for administration.
const OTHER_SESSIONS: u64 = 2;

/// How many worker sessions a token gets: as many as `wanted`, if its limit admits them.
pub(super) fn admitted(wanted: usize, limit: Option<u64>) -> Result<usize, OpenError> {
    let Some(limit) = limit else { return Ok(wanted) };
    let room = limit.saturating_sub(OTHER_SESSIONS);
    if room == 0 {
        return Err(OpenError::TooFewSessions { limit });
    }
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            wanted,
            admitted = room,
            "fewer sessions than configured: the token's limit"
        );
    }
    Ok(wanted.min(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_room_for_login_and_administration() {
        assert_eq!(admitted(4, None).unwrap(), 4);
        assert_eq!(admitted(4, Some(16)).unwrap(), 4);
        assert_eq!(admitted(20, Some(16)).unwrap(), 14);
        assert!(matches!(admitted(1, Some(2)), Err(OpenError::TooFewSessions { limit: 2 })));
    }
}
