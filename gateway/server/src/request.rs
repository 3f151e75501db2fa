//! Keys that the gateway makes itself, and the certificates for them.

use anyhow::{Context, Result};
use chancery_identity::{RequestContext, TenantId};
use chancery_issuance::{IssuanceRequest, IssuedCertificate, Requester, ValidatedName};
use chancery_keys::software::{self, SoftwareSigner};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_x509::{CertificateRequest, GeneralName, RequestTemplate};
use zeroize::Zeroizing;

use crate::gateway::Gateway;

/// What the gateway has certified for itself, or for whoever operates it.
pub(crate) struct Wanted<'a> {
    /// Who the policies see as the requester: `internal:REQUESTER`.
    pub(crate) requester: &'static str,
    pub(crate) profile: &'a str,
    pub(crate) names: &'a [GeneralName],
    /// How it is known that the names are the requester's.
    pub(crate) method: &'a str,
}

/// A fresh P-256 key with its certificate.
pub(crate) struct Certified {
    /// PKCS#8, DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) issued: IssuedCertificate,
}

/// Makes a key and has it certified. Policy, lint, inventory and audit see it like every other request.
///
/// # Errors
/// Policy denies it, or the certificate cannot be made.
pub(crate) async fn certified(gateway: &Gateway, wanted: Wanted<'_>) -> Result<Certified> {
    let Wanted { requester, profile, names, method } = wanted;
    let (key, csr) = signed_request(names.to_vec()).await?;
    let validated =
        |name: &GeneralName| ValidatedName { name: name.clone(), method: method.to_owned() };
    let request = IssuanceRequest {
        context: RequestContext::internal(TenantId::default_tenant(), gateway.clock.now()),
        requester: Requester::Internal(requester),
        csr,
        profile: Some(profile.to_owned()),
        validated: names.iter().map(validated).collect(),
        not_before: None,
        not_after: None,
    };
    Ok(Certified { key, issued: gateway.issuance.issue(request).await? })
}

/// Makes a key and a request for these names, signed by it.
async fn signed_request(
    names: Vec<GeneralName>,
) -> Result<(Zeroizing<Vec<u8>>, CertificateRequest)> {
    let key_type = KeyType::EcdsaP256;
    let key = software::generate(key_type).context("making a key")?;
    let signer = SoftwareSigner::new();
    let name = "own".parse::<KeyName>()?;
    let public_key = signer.insert_pkcs8(name.clone(), key.clone())?;
    let algorithm = key_type.default_algorithm();
    let unsigned =
        RequestTemplate { public_key, common_name: None, names }.to_be_signed(algorithm)?;
    let signature = signer.sign(&name, algorithm, unsigned.der()).await?;
    Ok((key, CertificateRequest::from_der(&unsigned.assemble(&signature)?)?))
}
