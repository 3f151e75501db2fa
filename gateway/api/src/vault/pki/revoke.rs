//! Revokes one certificate, or all that match a search.

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::pki::{PkiError, RevocationReason, serial_in};
use serde::Serialize;

use super::view::{CertificateView, serial as shown};
use super::{MOUNT_TYPE, search, serial};
use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;

/// `POST /v1/MOUNT/revoke`: revokes the certificate with the `serial_number`, or the one given in PEM as
/// `certificate`, for a `reason`. A second time it answers as the first time.
pub(in crate::vault) async fn one(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Revoked {
        revocation_time: i64,
        revocation_time_rfc3339: String,
        state: &'static str,
    }
    call.expect(Verb::Write)?;
    let fields = call.fields()?;
    let by_serial = fields.named("serial_number", "a text")?;
    let by_certificate = fields.named("certificate", "a certificate in PEM")?;
    let serial = match (by_serial, by_certificate) {
        (Some(text), None) => serial(&text)?,
        (None, Some(pem)) => serial_in(&pem).ok_or_else(|| {
            VaultError::BadRequest("certificate must be a certificate in PEM".into())
        })?,
        _ => {
            return Err(VaultError::BadRequest(
                "give exactly one of serial_number and certificate".into(),
            ));
        }
    };
    let reason = reason(&fields)?;
    let pki = state.secrets.pki(&call.mount()?);
    let entry = match pki.revoke(&call.context, &call.caller, serial, reason).await {
        // As in Vault: to revoke what is not there is a mistake, and not a place without anything in it.
        Err(PkiError::NotFound) => {
            let said = format!("there is no certificate with the serial number {}", shown(&serial));
            return Err(VaultError::BadRequest(said.into()));
        }
        entry => entry?,
    };
    let view = CertificateView::of(&entry);
    let revoked = Revoked {
        revocation_time: view.revocation_time,
        revocation_time_rfc3339: view.revocation_time_rfc3339,
        state: "revoked",
    };
    Ok(envelope::data(call.head(), MOUNT_TYPE, revoked))
}

/// `POST /v1/MOUNT/revoke-matching`: revokes every certificate that fits. Vault has no such resource.
pub(in crate::vault) async fn matching(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Outcome {
        revoked: u64,
        refused: u64,
        failed: u64,
    }
    call.expect(Verb::Write)?;
    let fields = call.fields()?;
    let search = search::read(state.clock.now(), |name| fields.named(name, "a text"))?;
    let reason = reason(&fields)?;
    let pki = state.secrets.pki(&call.mount()?);
    let outcome = pki.revoke_matching(&call.context, &call.caller, search, reason).await?;
    let outcome =
        Outcome { revoked: outcome.revoked, refused: outcome.refused, failed: outcome.failed };
    Ok(envelope::data(call.head(), MOUNT_TYPE, outcome))
}

fn reason(fields: &Fields<'_>) -> Result<RevocationReason, VaultError> {
    let given = fields.named("reason", "a revocation reason as RFC 5280 names it")?;
    given.map_or(Ok(RevocationReason::Unspecified), |text| {
        text.parse().map_err(|error| VaultError::BadRequest(format!("reason: {error}").into()))
    })
}
