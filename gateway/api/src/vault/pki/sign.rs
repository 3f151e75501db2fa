use axum::extract::State;
use axum::response::Response;
use chancery_secrets::pki::{CertificateRequest, GeneralName, Wanted, certificate_pem, csr_in};
use serde::Serialize;

use super::MOUNT_TYPE;
use super::view::serial;
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;
use crate::vault::{envelope, path};

/// `POST /v1/MOUNT/sign/PROFILE`: certifies the key of a `csr` in PEM for the names in it, by a profile of the
/// certificate policies. The names that Vault takes beside the request have to be in it.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Signed {
        certificate: String,
        issuing_ca: String,
        ca_chain: Vec<String>,
        serial_number: String,
        expiration: i64,
    }
    call.expect(Verb::Write)?;
    let (_, raw) = call.raw_target();
    let profile = path::decode(raw)?;
    let wanted = wanted(profile, &call.fields()?)?;
    let pki = state.secrets.pki(&call.mount()?);
    let issued = pki.sign(&call.context, &call.caller, wanted).await?;
    let above: Vec<String> = issued.chain.iter().skip(1).map(|der| text(der)).collect();
    let signed = Signed {
        certificate: text(&issued.der),
        issuing_ca: above.first().cloned().unwrap_or_default(),
        ca_chain: above,
        serial_number: serial(&issued.serial),
        expiration: issued.not_after.as_second(),
    };
    Ok(envelope::data(call.id(), MOUNT_TYPE, signed))
}

fn wanted(profile: String, fields: &Fields<'_>) -> Result<Wanted, VaultError> {
    let bad = |text: String| VaultError::BadRequest(text.into());
    let given = |name: &str| fields.text(name, "a text");
    let csr = given("csr")?.ok_or_else(|| bad("csr is missing: give a request in PEM".into()))?;
    let csr = csr_in(&csr).map_err(|error| bad(format!("csr: {error}")))?;
    match given("format")?.as_deref() {
        None | Some("" | "pem" | "pem_bundle") => {}
        Some(_) => return Err(bad("format: certificates are given in PEM here".into())),
    }
    for (field, kind) in [
        ("common_name", None),
        ("alt_names", None),
        ("uri_sans", Some("uri")),
        ("ip_sans", Some("ip")),
    ] {
        for name in fields.texts(field, "names, in a list or with commas between")? {
            if !has(&csr, kind, &name) {
                return Err(bad(format!(
                    "{field}: put every name into the signing request, it has no {name}"
                )));
            }
        }
    }
    let ttl = fields.span("ttl")?.filter(|ttl| !ttl.is_zero());
    Ok(Wanted { profile, csr, ttl })
}

/// Whether the request has the name, of this kind where it is known.
fn has(csr: &CertificateRequest, kind: Option<&str>, text: &str) -> bool {
    let is = |name: &GeneralName| {
        kind.is_none_or(|kind| name.kind() == kind) && name.value().eq_ignore_ascii_case(text)
    };
    csr.common_name() == Some(text) || csr.names().iter().any(is)
}

fn text(der: &[u8]) -> String {
    certificate_pem(der).trim_end().to_owned()
}
