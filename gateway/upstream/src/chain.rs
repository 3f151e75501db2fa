//! Checks the certificate chain from an upstream against the key and names that were ordered.

use std::collections::BTreeSet;

use chancery_x509::pem::{self, CERTIFICATE};
use chancery_x509::{GeneralName, ParsedCertificate, PublicKey};

/// A certificate from an upstream, checked against what was asked for.
#[derive(Debug, Clone)]
pub struct UpstreamChain {
    leaf: ParsedCertificate,
    chain: Vec<Vec<u8>>,
}

/// Why a certificate from an upstream is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// It is for another key.
    #[error("it is for another public key than the request's")]
    OtherKey,
    /// It is for other names.
    #[error("it is for {found} instead of {wanted}")]
    OtherNames {
        /// The names in the certificate.
        found: String,
        /// The names that were asked for.
        wanted: String,
    },
    /// It is a CA's.
    #[error("it is a CA certificate")]
    IsCa,
    /// A certificate in the chain did not issue the one before it.
    #[error("certificate number {0} in the chain was not issued by the next one")]
    BrokenChain(usize),
}

impl UpstreamChain {
    /// Reads a PEM chain (RFC 8555 §9.1) and checks that its first certificate is for this key and
    /// exactly these names, and that each certificate was issued by the next. A root at the end is
    /// left out.
    pub(crate) fn check(
        text: &str,
        key: &PublicKey,
        names: &BTreeSet<GeneralName>,
    ) -> Result<Self, BadCertificate> {
        let malformed =
            |error: &dyn std::fmt::Display| BadCertificate::Malformed(error.to_string());
        let mut chain = pem::decode(CERTIFICATE, text).map_err(|error| malformed(&error))?;
        let mut parsed = chain
            .iter()
            .map(|der| ParsedCertificate::from_der(der).map_err(|error| malformed(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        for (index, pair) in parsed.windows(2).enumerate() {
            let [issued, issuer] = pair else { continue };
            let signed = issuer.public_key().is_ok_and(|key| issued.verify_signed_by(key).is_ok());
            if issued.issuer_der() != issuer.subject_der() || !signed {
                return Err(BadCertificate::BrokenChain(index + 1));
            }
        }
        if parsed.len() > 1
            && parsed.last().is_some_and(|last| last.issuer_der() == last.subject_der())
        {
            chain.pop();
        }
        let leaf = parsed.swap_remove(0);
        if leaf.is_ca() {
            return Err(BadCertificate::IsCa);
        }
        if leaf.public_key().ok().map(PublicKey::spki_der) != Some(key.spki_der()) {
            return Err(BadCertificate::OtherKey);
        }
        let found: BTreeSet<GeneralName> = leaf.names().iter().cloned().collect();
        if found != *names || leaf.other_names() > 0 {
            return Err(BadCertificate::OtherNames { found: list(&found), wanted: list(names) });
        }
        Ok(Self { leaf, chain })
    }

    /// The certificate.
    pub fn leaf(&self) -> &ParsedCertificate {
        &self.leaf
    }

    /// DER of the certificate and those above it, without the root.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
}

fn list(names: &BTreeSet<GeneralName>) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if names.is_empty() { "no names".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_x509::CertificateRequest;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    struct World {
        root: rcgen::Certificate,
        intermediate: rcgen::Certificate,
        issuer: Issuer<'static, KeyPair>,
        key: KeyPair,
    }

    fn ca(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn world() -> World {
        let root_key = KeyPair::generate().unwrap();
        let root = ca("root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(ca("root"), root_key);
        let key = KeyPair::generate().unwrap();
        let intermediate = ca("intermediate").signed_by(&key, &root_issuer).unwrap();
        let issuer = Issuer::new(ca("intermediate"), key);
        World { root, intermediate, issuer, key: KeyPair::generate().unwrap() }
    }

    fn leaf(world: &World, names: &[&str]) -> rcgen::Certificate {
        params(names).signed_by(&world.key, &world.issuer).unwrap()
    }

    fn params(names: &[&str]) -> CertificateParams {
        CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
            .unwrap()
    }

    /// Checks a chain against a request for the world's key and the name `a.example`.
    fn check(
        world: &World,
        chain: &[&rcgen::Certificate],
    ) -> Result<UpstreamChain, BadCertificate> {
        let request = params(&["a.example"]).serialize_request(&world.key).unwrap();
        let request = CertificateRequest::from_der(request.der()).unwrap();
        let text: String = chain.iter().map(|certificate| certificate.pem()).collect();
        let names = request.names().iter().cloned().collect();
        UpstreamChain::check(&text, request.public_key(), &names)
    }

    #[test]
    fn a_fitting_chain_is_taken_without_its_root() {
        let world = world();
        let leaf = leaf(&world, &["a.example"]);
        let chain = check(&world, &[&leaf, &world.intermediate, &world.root]).unwrap();
        assert_eq!(chain.chain(), [leaf.der().to_vec(), world.intermediate.der().to_vec()]);
        assert_eq!(chain.leaf().der(), leaf.der().as_ref());
        assert_eq!(check(&world, &[&leaf]).unwrap().chain().len(), 1);
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let world = world();
        let other = KeyPair::generate().unwrap();
        let leaf = params(&["a.example"]).signed_by(&other, &world.issuer).unwrap();
        assert_eq!(check(&world, &[&leaf]).unwrap_err(), BadCertificate::OtherKey);
    }

    #[test]
    fn more_fewer_and_other_names_are_refused() {
        let world = world();
        for names in [&["a.example", "b.example"][..], &[], &["b.example"], &["*.example"]] {
            let refused = check(&world, &[&leaf(&world, names)]).unwrap_err();
            assert!(matches!(refused, BadCertificate::OtherNames { .. }), "{names:?}: {refused}");
        }
    }

    #[test]
    fn a_ca_certificate_is_refused() {
        let world = world();
        let mut params = params(&["a.example"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let leaf = params.signed_by(&world.key, &world.issuer).unwrap();
        assert_eq!(check(&world, &[&leaf]).unwrap_err(), BadCertificate::IsCa);
    }

    #[test]
    fn a_chain_that_does_not_hang_together_is_refused() {
        let world = world();
        let leaf = leaf(&world, &["a.example"]);
        let skipped = check(&world, &[&leaf, &world.root]).unwrap_err();
        assert_eq!(skipped, BadCertificate::BrokenChain(1));
        // Same names, other keys.
        let elsewhere = self::world();
        let foreign = check(&world, &[&leaf, &elsewhere.intermediate]).unwrap_err();
        assert_eq!(foreign, BadCertificate::BrokenChain(1));
        let foreign = check(&world, &[&leaf, &world.intermediate, &elsewhere.root]).unwrap_err();
        assert_eq!(foreign, BadCertificate::BrokenChain(2));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let key = world().key;
        let request = params(&["a.example"]).serialize_request(&key).unwrap();
        let request = CertificateRequest::from_der(request.der()).unwrap();
        let damaged = pem::encode(CERTIFICATE, b"\x30\x03\x02\x01\x01");
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n", &damaged] {
            let refused = UpstreamChain::check(text, request.public_key(), &BTreeSet::new());
            assert!(matches!(refused, Err(BadCertificate::Malformed(_))), "{text}");
        }
    }
}
