//! Reads one issued certificate by its serial number.

use axum::extract::State;
use axum::response::Response;

use super::view::CertificateView;
use super::{MOUNT_TYPE, serial};
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;
use crate::vault::{envelope, path};

/// `GET /v1/MOUNT/cert/SERIAL`: a certificate in PEM with what is known of it.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Get)?;
    let pki = state.secrets.pki(&call.mount()?);
    let (_, raw) = call.raw_target();
    let asked = path::decode(raw)?;
    let entry = pki.read(&call.context, &call.caller, &serial(&asked)?).await?;
    Ok(envelope::data(call.head(), MOUNT_TYPE, CertificateView::with_certificate(&entry)))
}
