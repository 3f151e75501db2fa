use chancery_identity::{CertificateNames, Fingerprint, IdentityRules, PeerCertificate};
use chancery_x509::{CertificateError, GeneralName, ParsedCertificate};

/// The facts about a client certificate that the handshake has verified.
pub(crate) fn facts(
    der: &[u8],
    rules: &IdentityRules,
) -> Result<PeerCertificate, CertificateError> {
    let certificate = ParsedCertificate::from_der(der)?;
    let fingerprint = Fingerprint::of_certificate(der);
    let identity = rules.resolve(fingerprint, &names(&certificate));
    Ok(PeerCertificate {
        der: der.to_vec(),
        fingerprint,
        serial: certificate.serial().to_string(),
        authority_key_id: certificate.authority_key_id().unwrap_or_default().to_owned(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        identity,
    })
}

fn names(certificate: &ParsedCertificate) -> CertificateNames {
    let mut names = CertificateNames::default();
    for name in certificate.names() {
        match name {
            GeneralName::Uri(uri) => names.uris.push(uri.clone()),
            GeneralName::Dns(dns) => names.dns.push(dns.clone()),
            GeneralName::Ip(_) | GeneralName::Email(_) => {}
        }
    }
    names
}
