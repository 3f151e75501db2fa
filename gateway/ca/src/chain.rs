//! Chains of CA certificates: that they hold, and that verifiers take them.

use chancery_x509::{
    ExtendedKeyUsage, GeneralName, KeyUsage, NameConstraints, ParsedCertificate,
    UnjudgedConstraints,
};
use jiff::Timestamp;

use crate::OpenError;

/// Extensions that `rustls-webpki` understands in every certificate: key usage, alternative names, basic
/// constraints, name constraints, CRL locations, extended key usage.
const UNDERSTOOD: [&str; 6] =
    ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.37"];

/// What `openssl` understands beyond these, and a verifier that trusts a root does not look at: policies.
const OF_ROOTS: [&str; 4] = ["2.5.29.32", "2.5.29.33", "2.5.29.36", "2.5.29.54"];

const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// Why verifiers would refuse what is below a certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// It does not sign certificates.
    #[error("its key usage does not include signing certificates (keyCertSign, RFC 5280 §4.2.1.3)")]
    KeyUsage,
    /// It has ended, or not begun.
    #[error("it is valid from {not_before} to {not_after} only")]
    Validity {
        /// When it begins.
        not_before: Timestamp,
        /// When it ends.
        not_after: Timestamp,
    },
    /// It names another certificate as its issuer's than the one above it.
    #[error(
        "its authority key identifier is not that of the certificate above it: it was issued below \
         another one of the same CA (RFC 5280 §4.2.1.1)"
    )]
    OtherIssuer,
    /// It has a name that a CA above it does not permit.
    #[error("its name {0} is not permitted by the name constraints above it (RFC 5280 §4.2.1.10)")]
    NotPermitted(GeneralName),
    /// It has constraints that are not judged.
    #[error(transparent)]
    Constraints(UnjudgedConstraints),
    /// It has a critical extension that is not known.
    #[error("it has a critical extension that verifiers do not know: {0} (RFC 5280 §4.2)")]
    Critical(String),
}

/// What is worth knowing of a chain that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainNotice {
    /// The CA above chose another key identifier.
    #[error(
        "the certificate has the subject key identifier {found}, and not {asked} as the request asked \
         for: another certificate for this key, such as one below another root, has to have {found} \
         too, since what is issued names its issuer so"
    )]
    OtherKeyIdentifier {
        /// What the request asked for, in hex.
        asked: String,
        /// What the certificate has, in hex.
        found: String,
    },
    /// Not everything can be issued below it.
    #[error(
        "the certificate `{certificate}` limits what is below it (extended key usage): no certificate \
         for {purpose} is accepted"
    )]
    Purpose {
        /// Its name.
        certificate: String,
        /// What is left out.
        purpose: &'static str,
    },
}

/// How many certificates a chain may have, the root included: clients take seven beside a leaf.
const LONGEST_CHAIN: usize = 8;

/// That it is one chain and no collection: not too long, nothing twice, and not upside down. Asked when it is
/// installed; one that is installed is used as it is.
pub(crate) fn check_shape(chain: &[&ParsedCertificate]) -> Result<(), OpenError> {
    if chain.len() > LONGEST_CHAIN {
        return Err(OpenError::Mismatch(
            "the chain has more than eight certificates: give the CA's and those above it, up to one root, and no \
             others",
        ));
    }
    for (at, certificate) in chain.iter().enumerate() {
        if chain.iter().take(at).any(|earlier| earlier.der() == certificate.der()) {
            return Err(OpenError::Mismatch("a certificate is twice in the chain"));
        }
    }
    let is_root = |one: &ParsedCertificate| one.subject_der() == one.issuer_der();
    match chain {
        [first, .., last] if is_root(first) && !is_root(last) => Err(OpenError::Mismatch(
            "the chain begins with a root: give the CA's own certificate first, and the root last",
        )),
        _ => Ok(()),
    }
}

/// That each certificate is signed by the next one and the last one by itself, and that all but the last
/// may be below what follows.
pub(crate) fn check_chain(chain: &[&ParsedCertificate]) -> Result<(), OpenError> {
    for (below, certificate) in chain.iter().enumerate() {
        let above = chain.get(below + 1).unwrap_or(certificate);
        let key = above.public_key().map_err(|_| {
            OpenError::Mismatch("a key in the chain is not of a kind that is supported here")
        })?;
        if certificate.issuer_der() != above.subject_der()
            || certificate.verify_signed_by(key).is_err()
        {
            return Err(OpenError::Mismatch(
                "a certificate of the chain is not signed by the one above it; the last has to be a \
                 root, signed by itself",
            ));
        }
        if !certificate.is_ca() {
            return Err(OpenError::Mismatch("a certificate of the chain is not a CA's"));
        }
        // RFC 5280 §4.2.1.9: so many CAs may stand between it and a leaf.
        if certificate.path_length().is_some_and(|room| below > usize::from(room)) {
            return Err(OpenError::Mismatch("the path length of a certificate is exceeded"));
        }
    }
    Ok(())
}

/// That verifiers accept what will be issued below a chain that [holds](check_chain): what `openssl verify`
/// and `rustls-webpki` look at in the certificates of CAs.
///
/// # Errors
/// The name of the first certificate that they refuse, and why.
pub(crate) fn check_acceptance(
    chain: &[&ParsedCertificate],
    now: Timestamp,
) -> Result<(), (String, ChainFault)> {
    for (at, certificate) in chain.iter().enumerate() {
        let is_root = at + 1 == chain.len();
        let above = chain.get(at + 1..).unwrap_or_default();
        acceptable(certificate, above, is_root, now)
            .map_err(|fault| (shown(certificate), fault))?;
    }
    Ok(())
}

fn acceptable(
    certificate: &ParsedCertificate,
    above: &[&ParsedCertificate],
    is_root: bool,
    now: Timestamp,
) -> Result<(), ChainFault> {
    if !certificate.key_usages().is_none_or(|usages| usages.contains(KeyUsage::KeyCertSign)) {
        return Err(ChainFault::KeyUsage);
    }
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    if !(not_before..=not_after).contains(&now) {
        return Err(ChainFault::Validity { not_before, not_after });
    }
    let issuer = above.first().unwrap_or(&certificate);
    if !certificate.names_as_issuer(issuer) {
        return Err(ChainFault::OtherIssuer);
    }
    NameConstraints::check_judged(certificate).map_err(ChainFault::Constraints)?;
    for other in above {
        // What is malformed in it is told for itself.
        let constraints = NameConstraints::of(other).unwrap_or_default();
        if let Some(name) = certificate.names().iter().find(|name| !constraints.allow(name)) {
            return Err(ChainFault::NotPermitted(name.clone()));
        }
    }
    let is_known = |oid: &str| UNDERSTOOD.contains(&oid) || is_root && OF_ROOTS.contains(&oid);
    match certificate.critical_extensions().find(|oid| !is_known(oid)) {
        Some(oid) => Err(ChainFault::Critical(oid)),
        None => Ok(()),
    }
}

/// What certificates below the chain, without its root, cannot be for.
pub(crate) fn left_out(chain: &[&ParsedCertificate]) -> Vec<ChainNotice> {
    let below_the_root = chain.split_last().map_or(&[][..], |(_, below)| below);
    let limited = below_the_root.iter().filter(|one| one.extension(EXTENDED_KEY_USAGE).is_some());
    let wanted = [
        (ExtendedKeyUsage::ServerAuth, "TLS servers"),
        (ExtendedKeyUsage::ClientAuth, "TLS clients"),
    ];
    limited
        .flat_map(|one| {
            let missing =
                wanted.iter().filter(|(usage, _)| !one.extended_key_usages().contains(usage));
            missing.map(|(_, purpose)| ChainNotice::Purpose { certificate: shown(one), purpose })
        })
        .collect()
}

fn shown(certificate: &ParsedCertificate) -> String {
    certificate
        .subject_common_name()
        .map_or_else(|| certificate.serial().to_string(), ToOwned::to_owned)
}
