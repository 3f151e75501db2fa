//! A certificate authority that the gateway does not know, or knows only by configuration.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::UnixTime;

use crate::http::Credential;

/// Whom a client certificate is for, and how it is odd.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    names: Vec<SanType>,
    common_name: Option<String>,
    lifetime: Option<Duration>,
    server: bool,
    anything: bool,
}

impl Holder {
    /// Somebody with a URI.
    #[must_use]
    pub fn uri(uri: &str) -> Self {
        Self::default().and_uri(uri)
    }

    /// Somebody with a DNS name.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        let name = SanType::DnsName(name.try_into().expect("ASCII"));
        Self { names: vec![name], ..Self::default() }
    }

    /// Somebody with a common name and nothing else.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { common_name: Some(name.to_owned()), ..Self::default() }
    }

    /// A further URI.
    #[must_use]
    pub fn and_uri(mut self, uri: &str) -> Self {
        self.names.push(SanType::URI(uri.try_into().expect("ASCII")));
        self
    }

    /// The certificate expires soon.
    #[must_use]
    pub fn for_seconds(self, seconds: u64) -> Self {
        Self { lifetime: Some(Duration::from_secs(seconds)), ..self }
    }

    /// The certificate does not say what it is for.
    #[must_use]
    pub fn for_anything(self) -> Self {
        Self { anything: true, ..self }
    }

    /// The certificate is for TLS servers.
    #[must_use]
    pub fn for_servers(self) -> Self {
        Self { server: true, ..self }
    }
}

/// A certificate authority of the test's own.
#[derive(Debug)]
pub struct ForeignCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl ForeignCa {
    /// A self-signed authority with this common name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = parameters.self_signed(&key).expect("a certificate can be made");
        Self { pem: certificate.pem(), issuer: Issuer::new(parameters, key) }
    }

    /// Somebody who signs with a certificate (PEM) that is not an authority's, and its key (PEM).
    #[must_use]
    pub fn posing_as(certificate: &str, key: &str) -> Self {
        let key = KeyPair::from_pem(key).expect("a key as PEM");
        let issuer = Issuer::from_ca_cert_pem(certificate, key).expect("a certificate");
        Self { issuer, pem: certificate.to_owned() }
    }

    /// Its certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.pem.clone()
    }

    /// Its own certificate and key, as if they were a client's.
    #[must_use]
    pub fn itself(&self) -> Credential {
        Credential::from_pem(&self.pem(), &self.issuer.key().serialize_pem())
    }

    /// A client certificate.
    #[must_use]
    pub fn client(&self, holder: &Holder) -> Credential {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        if let Some(name) = &holder.common_name {
            parameters.distinguished_name.push(DnType::CommonName, name);
        }
        parameters.subject_alt_names.clone_from(&holder.names);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let usage = if holder.server {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        };
        parameters.extended_key_usages = if holder.anything { vec![] } else { vec![usage] };
        if let Some(lifetime) = holder.lifetime {
            let now = Duration::from_secs(UnixTime::now().as_secs());
            // The end is set from the start, of which only the epoch can be named without a further
            // dependency.
            let epoch = rcgen::date_time_ymd(1970, 1, 1);
            parameters.not_before = epoch + now.saturating_sub(Duration::from_mins(1));
            parameters.not_after = epoch + (now + lifetime);
        }
        let key = KeyPair::generate().expect("a key can be made");
        let certificate =
            parameters.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        Credential::from_pem(&certificate.pem(), &key.serialize_pem())
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
}
