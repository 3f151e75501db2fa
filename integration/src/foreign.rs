//! A certificate authority that the gateway has never heard of.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::http::Credential;

/// A certificate authority of the test's own.
pub struct ForeignCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl ForeignCa {
    /// A self-signed authority whose subject is `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        Self {
            issuer: CertifiedIssuer::self_signed(parameters, key)
                .expect("a certificate can be made"),
        }
    }

    /// Its certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server certificate for an address, and its key, as PEM.
    #[must_use]
    pub fn server(&self, address: IpAddr) -> (String, String) {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![SanType::IpAddress(address)];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate =
            parameters.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// A client certificate with a URI as its identity.
    #[must_use]
    pub fn client(&self, uri: &str) -> Credential {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate =
            parameters.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Credential::from_pem(&certificate.pem(), &key.serialize_pem())
    }
}
