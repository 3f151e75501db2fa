//! Keys that the gateway makes itself, and the certificates for them.

use anyhow::{Context, Result};
use chancery_identity::{RequestContext, TenantId};
use chancery_issuance::{IssuanceRequest, IssueError, IssuedCertificate, Requester, ValidatedName};
use chancery_keys::software::{self, SoftwareSigner};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_x509::{CertificateRequest, GeneralName, RequestTemplate, SignatureAlgorithm};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::gateway::Gateway;

/// What the gateway has certified for itself, or for its operator.
pub(crate) struct Wanted<'a> {
    /// Whose policies decide, and in whose inventory it is.
    pub(crate) tenant: TenantId,
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
    let key = software::generate(KeyType::EcdsaP256).context("making a key")?;
    let signer = SoftwareSigner::new();
    let name = "own".parse::<KeyName>()?;
    signer.insert_pkcs8(name.clone(), key.clone())?;
    Ok(Certified { key, issued: certified_held(gateway, wanted, &signer, &name).await? })
}

/// The same for a key that somebody holds, and that may have been certified before.
///
/// # Errors
/// As for [`certified`].
pub(crate) async fn certified_held(
    gateway: &Gateway,
    wanted: Wanted<'_>,
    signer: &dyn Signer,
    key: &KeyName,
) -> Result<IssuedCertificate> {
    let request = wanted.request(signer, key, gateway.clock.now()).await?;
    let issued = gateway.issuance.issue(request).await;
    issued.map_err(|error| match &error {
        IssueError::Gate(refused) if refused.denied().is_some() => {
            let denied = format!("denied by policy ({})", refused.code());
            anyhow::Error::new(error).context(denied)
        }
        _ => error.into(),
    })
}

impl Wanted<'_> {
    /// The request for it, for a key that somebody holds.
    ///
    /// # Errors
    /// The holder of the key cannot sign.
    pub(crate) async fn request(
        self,
        signer: &dyn Signer,
        key: &KeyName,
        now: Timestamp,
    ) -> Result<IssuanceRequest> {
        let Self { tenant, requester, profile, names, method } = self;
        let csr = signed_request(names.to_vec(), signer, key).await?;
        let validated =
            |name: &GeneralName| ValidatedName { name: name.clone(), method: method.to_owned() };
        Ok(IssuanceRequest {
            context: RequestContext::internal(tenant, now),
            requester: Requester::Internal(requester),
            csr,
            profile: Some(profile.to_owned()),
            validated: names.iter().map(validated).collect(),
            order: None,
            not_before: None,
            not_after: None,
        })
    }
}

/// A request for these names, signed with the key.
///
/// # Errors
/// The holder of the key cannot sign.
pub(crate) async fn signed_request(
    names: Vec<GeneralName>,
    signer: &dyn Signer,
    key: &KeyName,
) -> Result<CertificateRequest> {
    let public_key = signer.public_key(key)?;
    let algorithm = SignatureAlgorithm::default_for(public_key.algorithm());
    let unsigned = RequestTemplate { public_key, common_name: None, names, key_identifier: false }
        .to_be_signed(algorithm)?;
    let signature = signer.sign(key, algorithm, unsigned.der()).await?;
    Ok(CertificateRequest::from_der(&unsigned.assemble(&signature)?)?)
}
