use axum::extract::State;
use axum::response::Response;
use chancery_secrets::pki::{certificate_pem, crl_pem};
use serde::Serialize;

use super::view::CertificateView;
use super::{MOUNT_TYPE, serial};
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;
use crate::vault::{envelope, path};

/// `GET /v1/MOUNT/cert/SERIAL`: a certificate in PEM with what is known of it. In place of a serial number,
/// `ca` is the issuing CA's certificate, `ca_chain` that and the root's, and `crl` the complete CRL.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Public {
        certificate: String,
        revocation_time: i64,
        revocation_time_rfc3339: &'static str,
    }
    call.expect(Verb::Get)?;
    let pki = state.secrets.pki(&call.mount()?);
    let (_, raw) = call.raw_target();
    let asked = path::decode(raw)?;
    if !matches!(asked.as_str(), "ca" | "ca_chain" | "crl") {
        let entry = pki.read(&call.context, &call.caller, &serial(&asked)?).await?;
        let found = CertificateView::with_certificate(&entry);
        return Ok(envelope::data(call.id(), MOUNT_TYPE, found));
    }
    let authority = pki.authority(&call.context, &call.caller).await?;
    let certificate = match asked.as_str() {
        "ca" => certificate_pem(&authority.issuing),
        "ca_chain" => certificate_pem(&authority.issuing) + &certificate_pem(&authority.root),
        _ => crl_pem(&authority.crl),
    };
    let found = Public { certificate, revocation_time: 0, revocation_time_rfc3339: "" };
    Ok(envelope::data(call.id(), MOUNT_TYPE, found))
}
