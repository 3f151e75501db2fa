use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_secrets::transit::VersionedText;
use zeroize::Zeroizing;

use crate::vault::body::Fields;
use crate::vault::error::VaultError;

/// How many inputs one request may have.
const MAX_BATCH: usize = 1000;

/// The inputs of a request: those in `batch_input`, or the request itself.
pub(super) struct Inputs<'a>(Option<Vec<Fields<'a>>>);

impl<'a> Inputs<'a> {
    pub(super) fn of(fields: &Fields<'a>) -> Result<Self, VaultError> {
        let batch = fields.objects("batch_input")?;
        match &batch {
            Some(inputs) if inputs.is_empty() => refuse("batch_input is empty"),
            Some(inputs) if inputs.len() > MAX_BATCH => {
                refuse("batch_input has more than 1000 inputs: send several requests")
            }
            _ => Ok(Self(batch)),
        }
    }

    pub(super) fn is_batch(&self) -> bool {
        self.0.is_some()
    }

    /// What `read` makes of each input.
    pub(super) fn each<T>(
        &self,
        only: &Fields<'a>,
        read: impl Fn(&Fields<'a>) -> Result<T, VaultError>,
    ) -> Result<Vec<T>, VaultError> {
        match &self.0 {
            Some(inputs) => inputs.iter().map(read).collect(),
            None => Ok(vec![read(only)?]),
        }
    }
}

/// A member in base64; none if it is missing.
pub(super) fn bytes(
    fields: &Fields<'_>,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let text = fields.get::<Zeroizing<String>>(name, "a text in base64")?;
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
    let text = fields.get::<String>(name, "a text")?.ok_or_else(|| missing(name))?;
    text.parse().map_err(|error| VaultError::BadRequest(format!("{name}: {error}").into()))
}

/// The version that is asked for.
pub(super) fn key_version(fields: &Fields<'_>) -> Result<Option<u64>, VaultError> {
    Ok(fields.count("key_version")?.filter(|version| *version != 0))
}

/// Refuses what is part of Vault's API and not of ours, unless it is off or empty: heeding it half would
/// be worse.
pub(super) fn without(fields: &Fields<'_>, names: &[&str]) -> Result<(), VaultError> {
    let off = |raw: &str| matches!(raw, "false" | "\"\"" | "0" | "\"false\"" | "[]");
    match names.iter().find(|name| fields.raw(name).is_some_and(|raw| !off(raw))) {
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
