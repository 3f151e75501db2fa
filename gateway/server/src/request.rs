//! Keys that the gateway makes for itself, and the signing requests for them.

use anyhow::{Context, Result};
use chancery_keys::software::{self, SoftwareSigner};
use chancery_keys::{KeyName, KeyType, Signer};
use chancery_x509::{CertificateRequest, GeneralName, RequestTemplate};
use zeroize::Zeroizing;

/// A fresh P-256 key and a request for it.
pub(crate) struct OwnRequest {
    /// PKCS#8, DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// Signed by that key.
    pub(crate) request: CertificateRequest,
}

/// Makes a key and a request for these names.
pub(crate) async fn signed_request(
    common_name: Option<String>,
    names: Vec<GeneralName>,
) -> Result<OwnRequest> {
    let key_type = KeyType::EcdsaP256;
    let key = software::generate(key_type).context("making a key")?;
    let signer = SoftwareSigner::new();
    let name = "own".parse::<KeyName>()?;
    let public_key = signer.insert_pkcs8(name.clone(), key.clone())?;
    let algorithm = key_type.default_algorithm();
    let unsigned = RequestTemplate { public_key, common_name, names }.to_be_signed(algorithm)?;
    let signature = signer.sign(&name, algorithm, unsigned.der()).await?;
    let request = CertificateRequest::from_der(&unsigned.assemble(&signature)?)?;
    Ok(OwnRequest { key, request })
}
