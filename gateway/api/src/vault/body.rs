use axum::body::Body;
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use super::error::VaultError;
use super::fields::Fields;
use super::json;

/// The longest request body, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A request body; wiped when dropped.
pub(super) struct JsonBody(Zeroizing<Vec<u8>>);

impl JsonBody {
    /// The body of a request that has none.
    pub(super) fn empty() -> Self {
        Self(Zeroizing::default())
    }

    /// Reads a body of at most [`MAX_BODY_BYTES`] and checks that it is tame JSON. The content type is
    /// not looked at: half of the clients send JSON as a form.
    pub(super) async fn read(body: Body, announced: Option<usize>) -> Result<Self, VaultError> {
        let too_large = VaultError::TooLarge { limit: MAX_BODY_BYTES };
        let room = announced.unwrap_or(4096);
        if room > MAX_BODY_BYTES {
            return Err(too_large);
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        let mut body = body;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| VaultError::BadRequest("the request body broke off".into()))?;
            let Some(part) = frame.data_ref() else { continue };
            if bytes.len().saturating_add(part.len()) > MAX_BODY_BYTES {
                return Err(too_large);
            }
            bytes.extend_from_slice(part);
        }
        if !bytes.trim_ascii().is_empty() {
            json::check(&bytes).map_err(|why| VaultError::BadRequest(why.into()))?;
        }
        Ok(Self(bytes))
    }

    /// The members of the object that the body is; none for an empty body and for `null`.
    pub(super) fn fields(&self) -> Result<Fields<'_>, VaultError> {
        Fields::parse(&self.0)
    }
}
