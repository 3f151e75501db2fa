use chancery_identity::{CertificateNames, Fingerprint, PeerCertificate};
use chancery_x509::{CertificateError, GeneralName, ParsedCertificate};

use crate::ClientTrust;
use crate::verifier::ClientPath;

/// The facts about a client certificate that was verified by this path, and the names in it.
pub(crate) fn facts(
    der: &[u8],
    trust: &ClientTrust,
    path: &ClientPath,
) -> Result<(PeerCertificate, CertificateNames), CertificateError> {
    let certificate = ParsedCertificate::from_der(der)?;
    let fingerprint = Fingerprint::of_certificate(der);
    let names = names(&certificate);
    let facts = PeerCertificate {
        der: der.to_vec(),
        fingerprint,
        serial: certificate.serial().to_string(),
        authority_key_id: certificate.authority_key_id().unwrap_or_default().to_owned(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        identity: trust.identity(path.ca, fingerprint, &names),
    };
    Ok((facts, names))
}

/// The names from which an identity may be taken.
pub(crate) fn names(certificate: &ParsedCertificate) -> CertificateNames {
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
