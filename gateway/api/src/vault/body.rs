//! The body of a request: how long it may be, and that it is tame JSON.

use axum::body::Body;
use chancery_secrets::MountName;
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use super::error::VaultError;
use super::fields::{Fields, Unread};
use super::json;
use crate::BodyError;

/// The longest request body, in bytes: of a secret, and of everything else that names no other limit.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The longest request body for a mount that holds keys: what is encrypted or signed there comes in
/// batches, and clients rely on the 32 MiB that Vault takes.
pub(super) const MAX_BODY_BYTES_FOR_KEYS: usize = 32 * 1024 * 1024;

/// The first buffer for a body, whatever its client says about its length.
const FIRST_ROOM: usize = 64 * 1024;

/// A text as long as this is looked through on a thread that may block.
const LONG: usize = 256 * 1024;

/// The longest body of a request for a path, in bytes.
pub(super) fn limit(path: &str, holds_keys: impl Fn(&MountName) -> bool) -> usize {
    let mount = path.split('/').nth(2).and_then(|name| name.parse().ok());
    if mount.is_some_and(|mount| holds_keys(&mount)) {
        MAX_BODY_BYTES_FOR_KEYS
    } else {
        MAX_BODY_BYTES
    }
}

/// A request body; wiped when dropped.
pub(super) struct JsonBody {
    text: Zeroizing<Vec<u8>>,
    unread: Unread,
}

impl JsonBody {
    /// The body of a request that has none.
    pub(super) fn empty() -> Self {
        Self { text: Zeroizing::default(), unread: Unread::default() }
    }

    /// Reads a body of at most `limit` bytes and checks that it is tame JSON. The content type is not
    /// looked at: half of the clients send JSON as a form.
    ///
    /// Where a body is too long the rest of it is not read here; the listener sees to it that the answer
    /// arrives all the same.
    pub(super) async fn read(
        body: Body,
        announced: Option<usize>,
        limit: usize,
    ) -> Result<Self, VaultError> {
        let too_large = VaultError::TooLarge { limit };
        let room = announced.unwrap_or(4096);
        if room > limit {
            return Err(too_large);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.min(FIRST_ROOM)));
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken_off(&error))?;
            let Some(part) = frame.data_ref() else { continue };
            if bytes.len().saturating_add(part.len()) > limit {
                return Err(too_large);
            }
            append(&mut bytes, part);
        }
        if !bytes.trim_ascii().is_empty() {
            bytes = checked(bytes).await?;
        }
        Ok(Self { text: bytes, unread: Unread::default() })
    }

    /// The members of the object that the body is; none for an empty body and for `null`.
    pub(super) fn fields(&self) -> Result<Fields<'_>, VaultError> {
        Fields::of_body(&self.text, &self.unread)
    }

    /// What of it nobody has looked for, as a warning.
    pub(super) fn warning(&self) -> Option<String> {
        if !self.unread.has_begun() {
            // What is no object has no members.
            drop(self.fields());
        }
        self.unread.warning()
    }
}

/// Appends, and wipes what is left behind when the buffer has to grow.
fn append(bytes: &mut Zeroizing<Vec<u8>>, part: &[u8]) {
    let needed = bytes.len().saturating_add(part.len());
    if needed > bytes.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.saturating_mul(2)));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
    bytes.extend_from_slice(part);
}

/// Tame JSON, or what is wrong with it.
async fn checked(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let is_long = bytes.len() >= LONG;
    let check = move || json::check(&bytes).map(|()| bytes);
    let checked = if is_long {
        let checking = tokio::task::spawn_blocking(check);
        checking.await.map_err(|_| VaultError::Internal("a check of JSON panicked"))?
    } else {
        check()
    };
    checked.map_err(|why| VaultError::BadRequest(why.into()))
}

fn broken_off(error: &axum::Error) -> VaultError {
    match BodyError::behind(error) {
        Some(error) => VaultError::Body(error),
        None => VaultError::BadRequest("the request body broke off".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_with_keys_take_long_bodies() {
        let limit = |path| limit(path, |mount| mount.as_str() == "transit");
        assert_eq!(limit("/v1/transit/encrypt/a"), 32 << 20);
        assert_eq!(limit("/v1/transit"), 32 << 20);
        for other in ["/v1/secret/data/transit", "/v1/sys/transit", "/v1/transit%2f/a", "/v1", "/"]
        {
            assert_eq!(limit(other), 1 << 20, "{other}");
        }
    }

    #[test]
    fn a_buffer_grows_to_whatever_is_needed() {
        let mut bytes = Zeroizing::new(Vec::new());
        for part in [0_usize, 1, 3, 5000, 100_000] {
            append(&mut bytes, &vec![7; part]);
        }
        assert_eq!(bytes.len(), 105_004);
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}
