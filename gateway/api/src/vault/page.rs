//! Parts of lists, as OpenBao has them: `after` and `limit` in the query of a list.

use chancery_secrets::Page;

use super::call::Call;
use super::error::VaultError;

/// What the query of a list asks for.
pub(super) fn of(call: &Call) -> Result<Page, VaultError> {
    let after = call.query("after").filter(|after| !after.is_empty());
    Ok(Page { after, limit: limit(call)? })
}

/// So many entries at most; none for all, which numbers say that are not above 0.
pub(super) fn limit(call: &Call) -> Result<Option<usize>, VaultError> {
    let Some(text) = call.query("limit").filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(limit) if limit > 0 => Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX))),
        Ok(_) => Ok(None),
        Err(_) => Err(VaultError::BadRequest("limit must be a whole number".into())),
    }
}
