//! Reads the facts, the names and the chain of CAs from a verified client certificate.

use chancery_identity::{CaId, CertificateNames, Fingerprint, Lineage, Link, PeerCertificate};
use chancery_x509::{CertificateError, GeneralName, ParsedCertificate, PublicKey};

use crate::ClientTrust;
use crate::client_path::ClientPath;

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
        lineage: lineage(&certificate, trust, path)?,
        identity: trust.identity(path.ca, fingerprint, &names),
    };
    Ok((facts, names))
}

/// The way from the certificate to the trusted CA; none if that is trusted no more.
fn lineage(
    certificate: &ParsedCertificate,
    trust: &ClientTrust,
    path: &ClientPath,
) -> Result<Option<Lineage>, CertificateError> {
    let Some(anchor) = trust.find(path.ca) else { return Ok(None) };
    let above = path.intermediates.iter().map(|der| ParsedCertificate::from_der(der));
    let above = above.collect::<Result<Vec<_>, _>>()?;
    let issuers = above.iter().map(id).chain([anchor.id()]);
    let mut links = vec![];
    for (at, (issued, issuer)) in
        std::iter::once(certificate).chain(&above).zip(issuers).enumerate()
    {
        let link =
            Link { issuer, serial: issued.serial().to_string(), is_ca: at > 0, crl_points: vec![] };
        links.push(link.with_crl_points(issued.crl_urls()));
    }
    Ok(Some(Lineage { ca: anchor.id(), links }))
}

/// A CA by its name and key; the key as far as it can be read, since of another kind it signs nothing that is
/// verified here.
fn id(certificate: &ParsedCertificate) -> CaId {
    let key = certificate.public_key().map(PublicKey::spki_der).unwrap_or_default();
    CaId::new(certificate.subject_der(), key)
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
