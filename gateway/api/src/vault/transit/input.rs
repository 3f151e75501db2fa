//! Reads the inputs of transit requests, single or in batches, and answers with their results.

use axum::response::Response;
use chancery_secrets::transit::{Each, VersionedText, from_base64};
use http::StatusCode;
use serde::Serialize;
use zeroize::Zeroizing;

use super::MOUNT_TYPE;
use crate::vault::call::Call;
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;

/// What each input of a batch has, and is not looked for beside the batch.
const OF_EACH: [&str; 10] = [
    "associated_data",
    "ciphertext",
    "context",
    "hmac",
    "input",
    "key_version",
    "nonce",
    "plaintext",
    "prehashed",
    "signature",
];

/// How many inputs one request may have.
const MAX_BATCH: usize = 1000;

/// The inputs of a request: those in `batch_input`, or the request itself.
pub(super) struct Inputs<'f, 'a> {
    whole: &'f Fields<'a>,
    batch: Option<Vec<Fields<'a>>>,
    /// What the client calls each, to tell results apart.
    references: Vec<String>,
}

/// Of the inputs of a batch, what is wrong with those that cannot be read.
pub(super) struct Unread(Vec<Option<VaultError>>);

/// The status of a batch of which inputs failed.
#[derive(Clone, Copy)]
pub(super) struct Failures {
    some: StatusCode,
    all: StatusCode,
}

impl Failures {
    /// Each result tells, and the status does not.
    pub(super) const TOLD: Self = Self { some: StatusCode::OK, all: StatusCode::OK };

    /// 400, unless the client has another wish for those of which only some fail.
    pub(super) fn of(fields: &Fields<'_>) -> Result<Self, VaultError> {
        const NAME: &str = "partial_failure_response_code";
        let wish = fields.count(NAME)?.filter(|wish| *wish != 0);
        let status = wish.map_or(Some(StatusCode::BAD_REQUEST), |wish| {
            let wish = u16::try_from(wish).ok().filter(|wish| (200..600).contains(wish))?;
            StatusCode::from_u16(wish).ok()
        });
        match status {
            Some(some) => Ok(Self { some, all: StatusCode::BAD_REQUEST }),
            None => refuse(format!("{NAME} must be a status from 200 to 599")),
        }
    }
}

impl<'f, 'a> Inputs<'f, 'a> {
    pub(super) fn of(whole: &'f Fields<'a>) -> Result<Self, VaultError> {
        let batch = whole.objects("batch_input")?;
        let references = match &batch {
            Some(inputs) if inputs.is_empty() => return refuse("batch_input is empty"),
            Some(inputs) if inputs.len() > MAX_BATCH => {
                return refuse("batch_input has more than 1000 inputs: send several requests");
            }
            Some(inputs) => {
                whole.known(&OF_EACH);
                let reference = |fields: &Fields<'a>| fields.text("reference", "a text");
                let references =
                    inputs.iter().map(|fields| Ok(reference(fields)?.unwrap_or_default()));
                references.collect::<Result<_, VaultError>>()?
            }
            None => vec![],
        };
        Ok(Self { whole, batch, references })
    }

    /// What `read` makes of each input, and what is wrong with the others.
    ///
    /// # Errors
    /// What is wrong with the only input.
    pub(super) fn each<T>(
        &self,
        read: impl Fn(&Fields<'a>) -> Result<T, VaultError>,
    ) -> Result<(Vec<T>, Unread), VaultError> {
        let Some(inputs) = &self.batch else {
            return Ok((vec![read(self.whole)?], Unread(vec![None])));
        };
        let (mut good, mut unread) = (Vec::with_capacity(inputs.len()), vec![]);
        for input in inputs {
            unread.push(read(input).map(|input| good.push(input)).err());
        }
        Ok((good, Unread(unread)))
    }

    /// The version of the key that is asked for, by the request as a whole.
    pub(super) fn key_version(&self) -> Result<Option<u64>, VaultError> {
        version_in(self.whole)
    }

    /// The same by one input, if it asks for one.
    pub(super) fn key_version_of(&self, fields: &Fields<'a>) -> Result<Option<u64>, VaultError> {
        Ok(version_in(fields)?.or(self.key_version()?))
    }

    /// Answers with the only result, or with all of those of a batch, where an error has its text.
    ///
    /// # Errors
    /// That of the only input.
    pub(super) fn answer<R, T: Serialize>(
        &self,
        call: &Call,
        failures: Failures,
        results: Vec<Result<R, VaultError>>,
        show: impl Fn(Result<R, String>) -> T,
    ) -> Result<Response, VaultError> {
        #[derive(Serialize)]
        struct Referenced<'r, T> {
            #[serde(flatten)]
            result: T,
            reference: &'r str,
        }
        #[derive(Serialize)]
        struct Batch<T> {
            batch_results: Vec<T>,
        }
        let mut results = results;
        if self.batch.is_none()
            && let Some(only) = results.pop()
        {
            return Ok(envelope::data(call.head(), MOUNT_TYPE, show(Ok(only?))));
        }
        let failed = results.iter().filter(|result| result.is_err()).count();
        let status = match failed {
            0 => StatusCode::OK,
            failed if failed == results.len() => failures.all,
            _ => failures.some,
        };
        let results = results.into_iter().zip(&self.references).map(|(result, reference)| {
            Referenced { result: show(result.map_err(|error| error.told())), reference }
        });
        let batch = Batch { batch_results: results.collect() };
        Ok(envelope::data_with(status, call.head(), MOUNT_TYPE, batch))
    }
}

impl Unread {
    /// The results of those that could be read among the errors of the others, in the order of the inputs.
    pub(super) fn among<R>(self, results: Each<R>) -> Vec<Result<R, VaultError>> {
        let mut results = results.into_iter();
        let missing = || Err(VaultError::Internal("a result of a batch is missing"));
        let place = |unread: Option<VaultError>| match unread {
            Some(error) => Err(error),
            None => results.next().map_or_else(missing, |result| Ok(result?)),
        };
        self.0.into_iter().map(place).collect()
    }
}

fn version_in(fields: &Fields<'_>) -> Result<Option<u64>, VaultError> {
    Ok(fields.count("key_version")?.filter(|version| *version != 0))
}

/// A member in base64; none if it is missing.
pub(super) fn bytes(
    fields: &Fields<'_>,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    let Some(text) = fields.secret_text(name, "a text in base64")? else { return Ok(None) };
    from_base64(&text).map(Some).ok_or_else(|| {
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
