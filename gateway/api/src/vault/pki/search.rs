//! Reads the criteria of a certificate search from query parameters or members of the body.

use chancery_secrets::pki::{GeneralName, Search};
use jiff::Timestamp;

use crate::vault::duration::ApiDuration;
use crate::vault::error::VaultError;
use crate::vault::fields;

/// What certificates are looked for, of members or query parameters by name.
pub(super) fn read(
    now: Timestamp,
    given: impl Fn(&str) -> Result<Option<String>, VaultError>,
) -> Result<Search, VaultError> {
    let mut search = Search {
        name: given("name")?.map(|text| general_name(&text)).transpose()?,
        domain: given("domain")?.map(|text| domain(&text)).transpose()?,
        requester: given("requester")?,
        spki_sha256: given("key")?.map(|text| fingerprint(&text)).transpose()?,
        issuer: given("issuer")?,
        expires_from: given("expires_from")?.map(|t| moment("expires_from", &t)).transpose()?,
        expires_until: given("expires_until")?.map(|t| moment("expires_until", &t)).transpose()?,
        revoked: given("revoked")?.map(|text| truth("revoked", &text)).transpose()?,
        replaced: given("replaced")?.map(|text| truth("replaced", &text)).transpose()?,
    };
    if let Some(text) = given("expires_within")? {
        let within = ApiDuration::parse(&text).filter(|within| !within.negative);
        let within = within.ok_or_else(|| bad("expires_within", "a duration such as 7d"))?;
        search.expires_from = Some(now);
        search.expires_until = Some(now.checked_add(within.length).unwrap_or(Timestamp::MAX));
    }
    Ok(search)
}

/// `dns:a.example` and the like; without a kind, a DNS name.
fn general_name(text: &str) -> Result<GeneralName, VaultError> {
    let name = text.parse().or_else(|error| match text.split_once(':') {
        None => GeneralName::dns(text),
        Some(_) => Err(error),
    });
    name.map_err(|error| VaultError::BadRequest(error.to_string().into()))
}

fn domain(text: &str) -> Result<String, VaultError> {
    match GeneralName::dns(text) {
        Ok(GeneralName::Dns(name)) if !name.starts_with('*') => Ok(name),
        _ => Err(bad("domain", "a DNS name without a wildcard: what is below it is found too")),
    }
}

fn fingerprint(text: &str) -> Result<String, VaultError> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let is_sha256 = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_sha256 {
        Ok(digits.to_ascii_lowercase())
    } else {
        Err(bad("key", "the SHA-256 of the SubjectPublicKeyInfo, 64 hex digits"))
    }
}

fn moment(field: &str, text: &str) -> Result<Timestamp, VaultError> {
    text.parse().map_err(|_| bad(field, "a time such as 2027-01-31T00:00:00Z"))
}

fn truth(field: &str, text: &str) -> Result<bool, VaultError> {
    fields::truth(text).ok_or_else(|| bad(field, "true or false"))
}

fn bad(field: &str, expected: &str) -> VaultError {
    VaultError::BadRequest(format!("{field} must be {expected}").into())
}
