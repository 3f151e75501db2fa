//! Serves the CA's certificates and CRL to everybody, in DER, PEM and JSON.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chancery_identity::RequestContext;
use chancery_secrets::MountKind;
use chancery_secrets::pki::{Authority, certificate_pem, crl_pem};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::MOUNT_TYPE;
use crate::vault::call::context_of;
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::public_resource::PublicResource;
use crate::vault::state::VaultState;

/// What everybody may have of the CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The issuing CA's certificate.
    Issuing,
    /// That and the root's.
    Chain,
    /// The issuing CA's complete CRL.
    Crl,
}

/// The form that it is asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Der,
    Pem,
    /// PEM in the JSON of every other answer.
    Json,
}

/// `GET /v1/MOUNT/ca`, `ca_chain` and `crl`, `MOUNT/cert/` with each of them, and their forms as Vault has them: the
/// CA's certificates and its CRL. As in Vault, they need no certificate of the client: they are what it is to verify
/// certificates with.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    request: Request,
) -> Result<Response, VaultError> {
    let asked = asked(request.uri().path());
    let found = PublicResource::find(state.clone(), request, MountKind::Pki, asked).await?;
    let ((what, form), mount, request) = match found {
        PublicResource::Found(asked, mount, request) => (asked, mount, request),
        PublicResource::NotFound(answer) => return Ok(answer),
    };
    let context = context_of(request.extensions())?;
    let authority = state.secrets.pki(&mount).authority().ok_or(VaultError::NoRoute)?;
    Ok(answer(&context, what, form, authority))
}

fn answer(context: &RequestContext, what: What, form: Form, authority: Authority) -> Response {
    #[derive(Serialize)]
    struct Public {
        certificate: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        ca_chain: Option<String>,
        revocation_time: i64,
        revocation_time_rfc3339: &'static str,
    }
    let pem = |authority: &Authority| match what {
        What::Issuing => certificate_pem(&authority.issuing),
        What::Chain => certificate_pem(&authority.issuing) + &certificate_pem(&authority.root),
        What::Crl => crl_pem(&authority.crl),
    };
    let raw = |of: &'static str, content: Bytes| ([(CONTENT_TYPE, of)], content).into_response();
    match (form, what) {
        (Form::Json, _) => {
            let certificate = pem(&authority);
            let ca_chain = (what == What::Chain).then(|| certificate.clone());
            let public =
                Public { certificate, ca_chain, revocation_time: 0, revocation_time_rfc3339: "" };
            envelope::data(context.id, MOUNT_TYPE, public)
        }
        (Form::Der, What::Crl) => raw("application/pkix-crl", authority.crl),
        (Form::Der, What::Issuing) => raw("application/pkix-cert", authority.issuing.into()),
        (_, What::Crl) => raw("application/x-pem-file", pem(&authority).into()),
        (_, What::Issuing | What::Chain) => {
            raw("application/pem-certificate-chain", pem(&authority).into())
        }
    }
}

/// What a path asks for, behind `/v1/MOUNT/`.
fn asked(path: &str) -> Option<(What, Form)> {
    Some(match path.splitn(4, '/').nth(3)? {
        "ca" | "cert/ca/raw" => (What::Issuing, Form::Der),
        "ca/pem" | "cert/ca/raw/pem" => (What::Issuing, Form::Pem),
        "ca_chain" => (What::Chain, Form::Pem),
        "crl" | "cert/crl/raw" => (What::Crl, Form::Der),
        "crl/pem" | "cert/crl/raw/pem" => (What::Crl, Form::Pem),
        "cert/ca" => (What::Issuing, Form::Json),
        "cert/ca_chain" => (What::Chain, Form::Json),
        "cert/crl" => (What::Crl, Form::Json),
        _ => return None,
    })
}
