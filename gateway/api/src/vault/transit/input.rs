use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_secrets::transit::VersionedText;
use http::StatusCode;
use serde::Serialize;
use zeroize::Zeroizing;

use super::MOUNT_TYPE;
use crate::vault::call::Call;
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;

/// How many inputs one request may have.
const MAX_BATCH: usize = 1000;

/// The inputs of a request: those in `batch_input`, or the request itself.
pub(super) struct Inputs<'f, 'a> {
    whole: &'f Fields<'a>,
    batch: Option<Vec<Fields<'a>>>,
    /// What the client calls each, to tell results apart.
    references: Vec<Option<String>>,
}

impl<'f, 'a> Inputs<'f, 'a> {
    pub(super) fn of(whole: &'f Fields<'a>) -> Result<Self, VaultError> {
        let batch = whole.objects("batch_input")?;
        match &batch {
            Some(inputs) if inputs.is_empty() => return refuse("batch_input is empty"),
            Some(inputs) if inputs.len() > MAX_BATCH => {
                return refuse("batch_input has more than 1000 inputs: send several requests");
            }
            _ => {}
        }
        let mut inputs = Self { whole, batch, references: vec![] };
        inputs.references = inputs.each(|fields| fields.text("reference", "a text"))?;
        Ok(inputs)
    }

    /// What `read` makes of each input.
    pub(super) fn each<T>(
        &self,
        read: impl Fn(&Fields<'a>) -> Result<T, VaultError>,
    ) -> Result<Vec<T>, VaultError> {
        match &self.batch {
            Some(inputs) => inputs.iter().map(read).collect(),
            None => Ok(vec![read(self.whole)?]),
        }
    }

    /// The version of the key that is asked for.
    pub(super) fn key_version(&self) -> Result<Option<u64>, VaultError> {
        Ok(self.whole.count("key_version")?.filter(|version| *version != 0))
    }

    /// Answers with the only result, or with all of those of a batch: with 400 if one of them is an error,
    /// as clients expect, who look at each then.
    pub(super) fn answer<T: Serialize>(
        &self,
        call: &Call,
        all_good: bool,
        results: impl Iterator<Item = T>,
    ) -> Response {
        #[derive(Serialize)]
        struct Referenced<'r, T> {
            #[serde(flatten)]
            result: T,
            #[serde(skip_serializing_if = "Option::is_none")]
            reference: Option<&'r str>,
        }
        #[derive(Serialize)]
        struct Batch<T> {
            batch_results: Vec<T>,
        }
        let results = results.zip(self.references.iter().map(Option::as_deref));
        let mut results: Vec<_> =
            results.map(|(result, reference)| Referenced { result, reference }).collect();
        if self.batch.is_none()
            && let Some(only) = results.pop()
        {
            return envelope::data(call.id(), MOUNT_TYPE, only);
        }
        let status = if all_good { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        envelope::data_with(status, call.id(), MOUNT_TYPE, Batch { batch_results: results })
    }
}

/// A member in base64; none if it is missing.
pub(super) fn bytes(
    fields: &Fields<'_>,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let text = fields.secret_text(name, "a text in base64")?;
    let decode = |text: Zeroizing<String>| STANDARD.decode(text.as_bytes()).map(Zeroizing::new);
    text.map(decode).transpose().map_err(|_| {
        VaultError::BadRequest(format!("{name} must be base64 (RFC 4648 section 4)").into())
    })
}

/// A member in base64 that has to be there; it may be empty.
pub(super) fn needed(fields: &Fields<'_>, name: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    bytes(fields, name)?.ok_or_else(|| missing(name))
}

/// What a key made, as `vault:v1:…`.
pub(super) fn made(fields: &Fields<'_>, name: &str) -> Result<VersionedText, VaultError> {
    let text = fields.text(name, "a text")?.ok_or_else(|| missing(name))?;
    text.parse().map_err(|error| VaultError::BadRequest(format!("{name}: {error}").into()))
}

/// Refuses what is part of Vault's API and not of ours, unless it is off or empty: heeding it half would
/// be worse.
pub(super) fn without(fields: &Fields<'_>, names: &[&str]) -> Result<(), VaultError> {
    match names.iter().find(|name| !fields.is_off(name)) {
        Some(name) => refuse(format!("{name} is not available here: leave it out")),
        None => Ok(()),
    }
}

pub(super) fn missing(name: &str) -> VaultError {
    VaultError::BadRequest(format!("{name} is missing").into())
}

fn refuse<T>(why: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, VaultError> {
    Err(VaultError::BadRequest(why.into()))
}
