//! Certifies the key of a CSR by a profile, as Vault's `sign` does.

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
        not_before: i64,
        expiration: i64,
    }
    call.expect(Verb::Write)?;
    let (_, raw) = call.raw_target();
    let profile = path::decode(raw)?;
    let fields = call.fields()?;
    let wanted = wanted(profile, &fields)?;
    fields.known(&WITHOUT_EFFECT);
    let pki = state.secrets.pki(&call.mount()?);
    let issued = pki.sign(&call.context, &call.caller, wanted).await?;
    let above: Vec<String> = issued.chain.iter().skip(1).map(|der| text(der)).collect();
    let signed = Signed {
        certificate: text(&issued.der),
        issuing_ca: above.first().cloned().unwrap_or_default(),
        ca_chain: above,
        serial_number: serial(&issued.serial),
        not_before: issued.not_before.as_second(),
        expiration: issued.not_after.as_second(),
    };
    Ok(envelope::data(call.head(), MOUNT_TYPE, signed))
}

/// What Vault's clients send that means nothing here: the chain has no root, and no key is made.
const WITHOUT_EFFECT: [&str; 2] = ["remove_roots_from_chain", "private_key_format"];

/// What would change the certificate and is not there.
const OTHERS: [&str; 4] = ["exclude_cn_from_sans", "serial_number", "user_ids", "other_sans"];

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
    for other in OTHERS {
        if !fields.is_off(other) {
            return Err(bad(format!("{other} is not available: leave it out")));
        }
    }
    let ttl = fields.span("ttl")?.filter(|ttl| !ttl.is_zero());
    let not_after = given("not_after")?.filter(|text| !text.is_empty());
    let not_after = not_after
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| bad("not_after must be a time such as 2027-01-31T00:00:00Z".to_owned()))?;
    if ttl.is_some() && not_after.is_some() {
        return Err(bad("give ttl or not_after, and not both".to_owned()));
    }
    Ok(Wanted { profile, csr, ttl, not_after })
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
