//! Which certificates of a presented chain lead to a client CA. A stranger sends what he likes, so this
//! is settled with few signatures, each verified with the key of a CA that is trusted already: from the
//! anchors down. Of certificates that a stranger has made up, none takes part in anything that follows.

use chancery_x509::ParsedCertificate;
use rustls::CertificateError;

use crate::refusal::Refusal;

/// The certificates of a presented chain, the client's among them.
pub(crate) const LONGEST: usize = 8;
/// Signatures verified for a chain. One that is honest needs as many as it has certificates.
const MOST_SIGNATURES: usize = 12;
/// Paths tried. A CA that several others have certified makes several.
const MOST_PATHS: usize = 8;

/// A certificate of the chain by its place; the client's is 0.
type Place = usize;

/// What of a chain is signed by a client CA, or by another CA of which that is so.
pub(crate) struct Paths<'a> {
    chain: &'a [ParsedCertificate],
    /// For each certificate, who has signed it.
    signers: Vec<Vec<Signer>>,
    signatures_left: usize,
    /// Whether a signature was none of the CA that the certificate names.
    forged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signer {
    Anchor,
    Ca(Place),
}

impl<'a> Paths<'a> {
    /// Verifies the signatures of this chain, the client's certificate first, from these anchors on.
    pub(crate) fn of(anchors: &[ParsedCertificate], chain: &'a [ParsedCertificate]) -> Self {
        let mut paths = Self {
            chain,
            signers: vec![vec![]; chain.len()],
            signatures_left: MOST_SIGNATURES,
            forged: false,
        };
        let anchors: Vec<_> = anchors.iter().map(|anchor| (Signer::Anchor, anchor)).collect();
        paths.verify(&anchors);
        // Each certificate becomes an issuer once, so this ends.
        let mut done = vec![];
        while let Some(place) = paths.next_issuer(&done) {
            done.push(place);
            let issuer = chain.get(place).map(|issuer| (Signer::Ca(place), issuer));
            paths.verify(issuer.as_slice());
        }
        paths
    }

    /// A certificate that was signed and that was not yet looked at as an issuer.
    fn next_issuer(&self, done: &[Place]) -> Option<Place> {
        let signed = |place: &Place| self.signers.get(*place).is_some_and(|all| !all.is_empty());
        (1..self.chain.len()).find(|place| signed(place) && !done.contains(place))
    }

    /// Finds what these have signed. Of several with one name, those come first that the certificate
    /// names by their key identifier; the others only if none of these has signed it.
    fn verify(&mut self, issuers: &[(Signer, &ParsedCertificate)]) {
        for (place, certificate) in self.chain.iter().enumerate() {
            let mut named: Vec<_> = issuers
                .iter()
                .filter(|(signer, issuer)| {
                    *signer != Signer::Ca(place) && issuer.subject_der() == certificate.issuer_der()
                })
                .map(|(signer, issuer)| (!certificate.names_as_issuer(issuer), *signer, issuer))
                .collect();
            named.sort_by_key(|(other_key, ..)| *other_key);
            let mut signed = false;
            for (other_key, signer, issuer) in named {
                if other_key && signed {
                    break;
                }
                let Some(left) = self.signatures_left.checked_sub(1) else { return };
                self.signatures_left = left;
                let key = issuer.public_key();
                if key.is_ok_and(|key| certificate.verify_signed_by(key).is_ok()) {
                    signed = true;
                    if let Some(signers) = self.signers.get_mut(place) {
                        signers.push(signer);
                    }
                }
            }
            self.forged |= !signed && certificate_is_named(issuers, certificate);
        }
    }

    /// The ways from the client's certificate to an anchor: the places of the CAs between, the issuer's
    /// first.
    ///
    /// # Errors
    /// There is none, and why.
    pub(crate) fn all(&self) -> Result<Vec<Vec<Place>>, CertificateError> {
        let mut found = vec![];
        self.climb(0, &mut vec![], &mut found);
        if !found.is_empty() {
            Ok(found)
        } else if self.signatures_left == 0 {
            Err(Refusal::TOO_MUCH_WORK.into())
        } else if self.forged {
            Err(CertificateError::BadSignature)
        } else {
            Err(CertificateError::UnknownIssuer)
        }
    }

    fn climb(&self, at: Place, path: &mut Vec<Place>, found: &mut Vec<Vec<Place>>) {
        for signer in self.signers.get(at).into_iter().flatten() {
            if found.len() == MOST_PATHS {
                return;
            }
            match *signer {
                // Several anchors with the name are one path: who verifies it tries each.
                Signer::Anchor if found.contains(path) => {}
                Signer::Anchor => found.push(path.clone()),
                // No CA stands above itself (RFC 4158 §5.2).
                Signer::Ca(place) if path.iter().any(|other| self.same_ca(*other, place)) => {}
                Signer::Ca(place) => {
                    path.push(place);
                    self.climb(place, path, found);
                    path.pop();
                }
            }
        }
    }

    /// Whether two certificates are of one CA, which is a name and a key.
    fn same_ca(&self, one: Place, other: Place) -> bool {
        let ca = |place: Place| {
            let certificate = self.chain.get(place)?;
            let key = certificate.public_key().ok()?;
            Some((certificate.subject_der(), key.spki_der()))
        };
        one == other || ca(one) == ca(other)
    }
}

fn certificate_is_named(
    issuers: &[(Signer, &ParsedCertificate)],
    certificate: &ParsedCertificate,
) -> bool {
    issuers.iter().any(|(_, issuer)| {
        issuer.subject_der() == certificate.issuer_der() && issuer.der() != certificate.der()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    };

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    /// A certificate of `name` and `of`, signed by `by` in the name of `issuer`.
    fn made(name: &str, of: &KeyPair, issuer: &str, by: &KeyPair) -> ParsedCertificate {
        let der = params(name).signed_by(of, &Issuer::new(params(issuer), by)).unwrap();
        ParsedCertificate::from_der(der.der()).unwrap()
    }

    #[test]
    fn what_a_stranger_makes_up_costs_no_more_than_the_signatures_of_anchors() {
        let (ca, own) = (key(), key());
        let anchor = made("CA", &ca, "CA", &ca);
        // Each is, by its name, above each of the others, and one of them below the anchor.
        let mut chain = vec![made("leaf", &own, "X", &own)];
        chain.extend((0..6).map(|_| made("X", &key(), "X", &own)));
        chain.push(made("X", &key(), "CA", &own));
        let paths = Paths::of(std::slice::from_ref(&anchor), &chain);
        assert_eq!(paths.signatures_left, MOST_SIGNATURES - 1);
        assert_eq!(paths.all().unwrap_err(), CertificateError::BadSignature);
        // All of them below the anchor, by their names: each is looked at once.
        let chain: Vec<_> = (0..LONGEST).map(|_| made("CA", &key(), "CA", &own)).collect();
        let paths = Paths::of(&[anchor], &chain);
        assert_eq!(paths.signatures_left, MOST_SIGNATURES - LONGEST);
        assert_eq!(paths.all().unwrap_err(), CertificateError::BadSignature);
        // However many anchors have the name.
        let anchors: Vec<_> = (0..4).map(|_| key()).map(|ca| made("CA", &ca, "CA", &ca)).collect();
        let paths = Paths::of(&anchors, &chain);
        assert_eq!(paths.signatures_left, 0);
        assert!(matches!(paths.all().unwrap_err(), CertificateError::Other(_)));
    }

    #[test]
    fn even_a_ca_that_is_trusted_makes_no_more_than_so_many_paths() {
        let (ca, leaf) = (key(), key());
        let anchor = made("CA", &ca, "CA", &ca);
        let (one, two) = (key(), key());
        // Seven certificates of two CAs make 3 * 4 paths.
        let mut chain = vec![made("leaf", &leaf, "one", &one)];
        chain.extend((0..3).map(|_| made("one", &one, "two", &two)));
        chain.extend((0..4).map(|_| made("two", &two, "CA", &ca)));
        let paths = Paths::of(std::slice::from_ref(&anchor), &chain);
        let found = paths.all();
        assert!(found.is_err() || found.is_ok_and(|found| found.len() <= MOST_PATHS));
    }

    #[test]
    fn an_honest_chain_is_one_path_in_any_order() {
        let (ca, one, two, leaf) = (key(), key(), key(), key());
        let anchor = made("CA", &ca, "CA", &ca);
        let own = || made("leaf", &leaf, "two", &two);
        let (upper, lower) = (|| made("one", &one, "CA", &ca), || made("two", &two, "one", &one));
        let chain = [own(), lower(), upper(), anchor.clone()];
        let paths = Paths::of(std::slice::from_ref(&anchor), &chain);
        assert_eq!(paths.all().unwrap().first(), Some(&vec![1, 2]));
        let chain = [own(), upper(), lower()];
        assert_eq!(Paths::of(&[anchor], &chain).all().unwrap(), [vec![2, 1]]);
    }
}
