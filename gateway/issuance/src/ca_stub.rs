#![allow(missing_docs, dead_code, clippy::all, clippy::pedantic, clippy::todo)]
use chancery_x509::*;
use jiff::Timestamp;
pub struct Ca;
pub struct Prepared;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PrepareError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SignError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct RevokeError;
pub struct ProposedCertificate {
    pub public_key: PublicKey,
    pub common_name: Option<String>,
    pub names: Vec<GeneralName>,
    pub key_usages: KeyUsages,
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}
pub struct Issued {
    pub der: Vec<u8>,
    pub serial: Serial,
    pub chain: Vec<Vec<u8>>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}
impl Prepared {
    pub fn serial(&self) -> &Serial {
        todo!()
    }
}
impl Ca {
    pub fn issuer_id(&self) -> &str {
        ""
    }
    pub fn is_revoked(&self, _: &Serial) -> bool {
        false
    }
    pub fn prepare(&self, _: ProposedCertificate, _: Timestamp) -> Result<Prepared, PrepareError> {
        Err(PrepareError)
    }
    pub async fn sign(&self, _: Prepared) -> Result<Issued, SignError> {
        Err(SignError)
    }
    pub async fn revoke(
        &self,
        _: Serial,
        _: RevocationReason,
        _: Timestamp,
    ) -> Result<(), RevokeError> {
        Err(RevokeError)
    }
}
