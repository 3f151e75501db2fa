use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::Body;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::duration::ApiDuration;
use super::error::VaultError;
use super::json;

/// The longest request body, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A request body; wiped when dropped.
pub(super) struct JsonBody(Zeroizing<Vec<u8>>);

/// The members of a request body, each still as text.
pub(super) struct Fields<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl JsonBody {
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

    /// The members of the object that the body is; none for an empty body.
    pub(super) fn fields(&self) -> Result<Fields<'_>, VaultError> {
        if self.0.trim_ascii().is_empty() {
            return Ok(Fields(BTreeMap::new()));
        }
        serde_json::from_slice(&self.0)
            .map(Fields)
            .map_err(|_| VaultError::BadRequest("the request body must be a JSON object".into()))
    }
}

impl<'a> Fields<'a> {
    /// The members of an object within another.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw)
            .map(|members| Some(Self(members)))
            .map_err(|_| VaultError::BadRequest(format!("{name} must be a JSON object").into()))
    }

    /// The objects in an array within this one.
    pub(super) fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let objects: Vec<BTreeMap<Cow<'a, str>, &'a RawValue>> =
            serde_json::from_str(raw).map_err(|_| must_be(name, "an array of JSON objects"))?;
        Ok(Some(objects.into_iter().map(Self).collect()))
    }

    /// The text of a member; none if it is missing or null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get()).filter(|text| *text != "null")
    }

    /// Whether a member is there and null: in a patch, to be taken away.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.get() == "null")
    }

    /// A member of a type; none if it is missing or null. An error says what was `expected` and not
    /// what was there.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw).map(Some).map_err(|_| must_be(name, expected))
    }

    /// A count, as a number or as its digits.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let digits = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
        digits.parse().map(Some).map_err(|_| must_be(name, "a number that is not negative"))
    }

    /// A duration.
    pub(super) fn duration(&self, name: &str) -> Result<Option<ApiDuration>, VaultError> {
        let expected = "a duration such as \"1h30m\" or a number of seconds";
        match self.get::<serde_json::Value>(name, expected)? {
            None => Ok(None),
            Some(value) => {
                ApiDuration::from_json(&value).map(Some).ok_or_else(|| must_be(name, expected))
            }
        }
    }
}

fn must_be(name: &str, expected: &str) -> VaultError {
    VaultError::BadRequest(format!("{name} must be {expected}").into())
}
