//! Public keys from a `SubjectPublicKeyInfo`: their identifiers, strength and signature verification.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ParsedPublicKey, UnparsedPublicKey};
use der::Decode;
use spki::SubjectPublicKeyInfoRef;

use crate::algorithm::{self, InvalidSignature, verification};
use crate::key_algorithm::{self, KeyAlgorithm, KeyError, RsaPublicKey, malformed};
use crate::pss::{self, PssSalt};
use crate::weak_key::{self, WeakKey};
use crate::{Sha2, SignatureAlgorithm};

/// A public key that certificates here can carry or be signed with, parsed from a
/// `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7). An elliptic-curve key is a point on its curve. Whether
/// an RSA key is a good one is a question of its own: [`check_strength`](Self::check_strength).
///
/// Cheap to clone. Two keys are equal if their encodings are.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    spki: Vec<u8>,
    bits: Vec<u8>,
    algorithm: KeyAlgorithm,
    /// The key made ready for the algorithm it is mostly used with; none for RSA keys that the
    /// library refuses outright, whose signatures then never verify.
    ready: Option<ParsedPublicKey>,
    /// Looked at when it is first asked for: it takes long, and several ask.
    strength: OnceLock<Result<(), WeakKey>>,
}

impl PublicKey {
    /// Parses a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// The DER is broken, the key is of a kind not supported here, or its point is not on the curve.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(malformed)?;
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| malformed(der::Error::from(der::Tag::BitString.value_error())))?;
        let algorithm = key_algorithm::of(&spki, bits)?;
        let ready = ready(algorithm, bits);
        match algorithm {
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521
                if ready.is_none() =>
            {
                return Err(KeyError::InvalidPoint);
            }
            KeyAlgorithm::Rsa { .. } => {}
            _ if ready.is_none() => return Err(KeyError::InvalidLength),
            _ => {}
        }
        let (spki, bits) = (der.to_vec(), bits.to_vec());
        Ok(Self(Arc::new(Inner { spki, bits, algorithm, ready, strength: OnceLock::new() })))
    }

    /// What kind of key a DER `SubjectPublicKeyInfo` holds, without looking at the key itself.
    pub(crate) fn algorithm_in(der: &[u8]) -> Option<KeyAlgorithm> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).ok()?;
        key_algorithm::of(&spki, spki.subject_public_key.as_bytes()?).ok()
    }

    /// The DER `SubjectPublicKeyInfo`, exactly as it was parsed.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// The contents of the `subjectPublicKey` bit string.
    pub fn key_bits(&self) -> &[u8] {
        &self.0.bits
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm
    }

    /// SHA-256 of the DER `SubjectPublicKeyInfo`: the name of a key in inventories and pins.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.0.spki)
    }

    /// The key identifier for certificates: the leftmost 160 bits of SHA-256 over the key's bit
    /// string (RFC 7093 §2, method 1).
    pub fn key_id(&self) -> [u8; 20] {
        let digest = sha256(&self.0.bits);
        let mut id = [0; 20];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        id
    }

    /// Whether the key resists what is known against bad keys; see [`WeakKey`] for what is looked
    /// at. Takes up to some milliseconds for a large RSA key ([`KeyAlgorithm::is_expensive`]), the first
    /// time; this key and its clones remember the outcome.
    ///
    /// # Errors
    /// The first weakness found.
    pub fn check_strength(&self) -> Result<(), WeakKey> {
        *self.0.strength.get_or_init(|| self.strength())
    }

    fn strength(&self) -> Result<(), WeakKey> {
        match self.0.algorithm {
            KeyAlgorithm::EcdsaP256
            | KeyAlgorithm::EcdsaP384
            | KeyAlgorithm::EcdsaP521
            | KeyAlgorithm::MlDsa44
            | KeyAlgorithm::MlDsa65
            | KeyAlgorithm::MlDsa87 => Ok(()),
            KeyAlgorithm::Ed25519 => weak_key::check_ed25519(&self.0.bits),
            KeyAlgorithm::Rsa { bits } => match RsaPublicKey::from_der(&self.0.bits) {
                Ok(key) => {
                    weak_key::check_rsa(bits, key.modulus.as_bytes(), key.exponent.as_bytes())
                }
                // Cannot happen: it was parsed before. Refusing is the safe answer.
                Err(_) => Err(WeakKey::RsaTooSmall { bits: 0 }),
            },
        }
    }

    /// Verifies a signature of `message`. ECDSA signatures are DER (`Ecdsa-Sig-Value`).
    ///
    /// # Errors
    /// It does not verify, or the algorithm is not one for this kind of key. RSA keys of fewer than
    /// 2,048 or more than 8,192 bits verify nothing.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if !algorithm.fits(self.0.algorithm) {
            return Err(InvalidSignature);
        }
        self.verify_identified(algorithm.algorithm_identifier(), message, signature)
    }

    /// Verifies a signature of RSASSA-PSS (RFC 8017 §8.1.2) with a salt of any length, or of this one. With
    /// any length, a signature that does not verify costs about a millisecond.
    ///
    /// # Errors
    /// It does not verify, or the key is none of RSA with 2,048 to 8,192 bits.
    pub fn verify_pss(
        &self,
        hash: Sha2,
        salt: PssSalt,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let KeyAlgorithm::Rsa { bits } = self.0.algorithm else { return Err(InvalidSignature) };
        weak_key::check_rsa_size(bits).map_err(|_| InvalidSignature)?;
        let key = RsaPublicKey::from_der(&self.0.bits).map_err(|_| InvalidSignature)?;
        let (modulus, exponent) = (key.modulus.as_bytes(), key.exponent.as_bytes());
        pss::verify((&self.0.bits, modulus, exponent), hash, salt, message, signature)
    }

    /// Verifies a signature of ECDSA (DER) or RSASSA-PKCS1-v1_5 with this hash, which need not be the usual
    /// one of the key.
    ///
    /// # Errors
    /// It does not verify, or keys of this kind make no such signatures.
    pub fn verify_hashed(
        &self,
        hash: Sha2,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let identifier = algorithm::hashed(self.0.algorithm, hash).ok_or(InvalidSignature)?;
        self.verify_identified(identifier, message, signature)
    }

    /// Verifies a signature whose algorithm is told by a DER `AlgorithmIdentifier`, as in
    /// certificates and requests of others. Accepts every pairing of a supported key with SHA-256,
    /// SHA-384 or SHA-512.
    ///
    /// # Errors
    /// It does not verify, or the algorithm is not supported for this key.
    pub fn verify_identified(
        &self,
        algorithm_identifier: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let usual = SignatureAlgorithm::default_for(self.0.algorithm).algorithm_identifier();
        if let Some(ready) = self.0.ready.as_ref().filter(|_| usual == algorithm_identifier) {
            return ready.verify_sig(message, signature).map_err(|_| InvalidSignature);
        }
        let how = verification(self.0.algorithm, algorithm_identifier).ok_or(InvalidSignature)?;
        UnparsedPublicKey::new(how, &self.0.bits)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }
}

fn ready(algorithm: KeyAlgorithm, bits: &[u8]) -> Option<ParsedPublicKey> {
    let usual = SignatureAlgorithm::default_for(algorithm);
    let how = verification(algorithm, usual.algorithm_identifier())?;
    ParsedPublicKey::new(how, bits).ok()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.spki.hash(state);
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({}, {})", self.0.algorithm, hex::encode(self.fingerprint()))
    }
}

#[cfg(test)]
mod tests {
    use const_oid::db::{rfc5912, rfc8410};
    use der::asn1::ObjectIdentifier;

    use super::*;
    use crate::testing::{TestKey, p256_spki, rsa_spki, sequence};

    const ALL: [SignatureAlgorithm; 11] = [
        SignatureAlgorithm::EcdsaP256Sha256,
        SignatureAlgorithm::EcdsaP384Sha384,
        SignatureAlgorithm::EcdsaP521Sha512,
        SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::RsaPkcs1Sha384,
        SignatureAlgorithm::RsaPkcs1Sha512,
        SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::MlDsa44,
        SignatureAlgorithm::MlDsa65,
        SignatureAlgorithm::MlDsa87,
    ];

    #[test]
    fn a_signature_verifies_with_its_algorithm_only() {
        for made_with in ALL {
            let key = TestKey::generate(made_with);
            let public = key.public_key();
            let signature = key.sign(b"message");
            for tried in ALL {
                let outcome = public.verify(tried, b"message", &signature);
                assert_eq!(outcome.is_ok(), tried == made_with, "{made_with:?} as {tried:?}");
            }
            assert_eq!(public.verify(made_with, b"massage", &signature), Err(InvalidSignature));
            assert_eq!(public.verify(made_with, b"message", &[]), Err(InvalidSignature));
        }
    }

    #[test]
    fn a_p256_point_not_on_the_curve_is_no_key() {
        let mut point =
            TestKey::generate(SignatureAlgorithm::EcdsaP256Sha256).public_key().key_bits().to_vec();
        assert!(PublicKey::from_spki_der(&p256_spki(&point)).is_ok());
        *point.last_mut().unwrap() ^= 1;
        let refused = PublicKey::from_spki_der(&p256_spki(&point));
        assert_eq!(refused, Err(KeyError::InvalidPoint));
    }

    #[test]
    fn other_spellings_of_points_are_no_keys() {
        let public = TestKey::generate(SignatureAlgorithm::EcdsaP256Sha256).public_key();
        let point = public.key_bits();
        let compressed = [&[2 | (point[64] & 1)], &point[1..33]].concat();
        let hybrid = [&[6 | (point[64] & 1)], &point[1..]].concat();
        for bad in [&[0][..], &[], &[4], &compressed, &hybrid, &point[..64]] {
            let refused = PublicKey::from_spki_der(&p256_spki(bad));
            assert_eq!(refused, Err(KeyError::InvalidPoint), "{}", hex::encode(bad));
        }
    }

    #[test]
    fn unusual_parameters_and_kinds_are_refused() {
        let bits = hex::decode("0302000a").unwrap();
        let with_algorithm = |algorithm: &str| {
            PublicKey::from_spki_der(&sequence(&[&hex::decode(algorithm).unwrap(), &bits]))
        };
        // RSA without NULL, Ed25519 with NULL, EC without a curve, EC on secp256k1, DSA.
        let parameters = |oid| Err(KeyError::Parameters { algorithm: oid });
        assert_eq!(
            with_algorithm("300b06092a864886f70d010101"),
            parameters(rfc5912::RSA_ENCRYPTION)
        );
        assert_eq!(with_algorithm("300706032b65700500"), parameters(rfc8410::ID_ED_25519));
        assert_eq!(with_algorithm("300906072a8648ce3d0201"), parameters(rfc5912::ID_EC_PUBLIC_KEY));
        assert_eq!(
            with_algorithm("301006072a8648ce3d020106052b8104000a"),
            Err(KeyError::Unsupported { algorithm: ObjectIdentifier::new_unwrap("1.3.132.0.10") })
        );
        assert!(matches!(
            with_algorithm("300906072a8648ce380401"),
            Err(KeyError::Unsupported { .. })
        ));
        assert_eq!(with_algorithm("300506032b6570"), Err(KeyError::InvalidLength));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut spki = rsa_spki("00c5", 65_537);
        assert!(PublicKey::from_spki_der(&spki).is_ok());
        spki.push(0);
        assert!(matches!(PublicKey::from_spki_der(&spki), Err(KeyError::Malformed(_))));
    }

    #[test]
    fn the_key_id_is_160_bits_of_sha256_over_the_bit_string() {
        let public = TestKey::generate(SignatureAlgorithm::Ed25519).public_key();
        let digest = digest::digest(&digest::SHA256, public.key_bits());
        assert_eq!(public.key_id(), digest.as_ref()[..20]);
        assert_ne!(public.key_id(), public.fingerprint()[..20]);
    }

    #[test]
    fn debug_output_names_the_key_shortly() {
        let public = TestKey::generate(SignatureAlgorithm::Ed25519).public_key();
        let expected = format!("PublicKey(ed25519, {})", hex::encode(public.fingerprint()));
        assert_eq!(format!("{public:?}"), expected);
    }
}
