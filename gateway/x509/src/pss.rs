//! Signatures of RSASSA-PSS (RFC 8017 §8.1) with salts of any length. An unusual length is found by undoing
//! the padding; whether the signature verifies is for the library to say, which has to know the length.

use std::sync::OnceLock;

use aws_lc_rs::digest::{self, Context};
use aws_lc_rs::signature::{
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPssSaltLength, UnparsedPublicKey,
};
use num_bigint::BigUint;

use crate::{InvalidSignature, Sha2};

/// How long the salt of a signature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PssSalt {
    /// As long as it is.
    #[default]
    Any,
    /// As long as the hash, which RFC 4055 §3.1 recommends.
    Hash,
    /// So many bytes.
    Bytes(u16),
}

/// The longest salt: in a signature of 8,192 bits with SHA-256.
const MAX_SALT: usize = 1024 - 32 - 2;

/// The library wants its parameters to live for ever.
type Table = [OnceLock<RsaParameters>; MAX_SALT + 1];

fn digest(hash: Sha2) -> &'static digest::Algorithm {
    match hash {
        Sha2::Sha256 => &digest::SHA256,
        Sha2::Sha384 => &digest::SHA384,
        Sha2::Sha512 => &digest::SHA512,
    }
}

/// How the library verifies with a salt of this length; none if no key has such signatures.
fn verification(hash: Sha2, salt: u16) -> Option<&'static RsaParameters> {
    static SHA256: Table = [const { OnceLock::new() }; MAX_SALT + 1];
    static SHA384: Table = [const { OnceLock::new() }; MAX_SALT + 1];
    static SHA512: Table = [const { OnceLock::new() }; MAX_SALT + 1];
    let (table, usual): (&'static Table, fn() -> RsaParameters) = match hash {
        Sha2::Sha256 => (&SHA256, || RSA_PSS_2048_8192_SHA256),
        Sha2::Sha384 => (&SHA384, || RSA_PSS_2048_8192_SHA384),
        Sha2::Sha512 => (&SHA512, || RSA_PSS_2048_8192_SHA512),
    };
    let length = RsaPssSaltLength::Custom(salt);
    let of_length = table.get(usize::from(salt))?;
    Some(of_length.get_or_init(|| usual().with_pss_salt_length(length)))
}

/// Verifies a signature of `message` by the RSA key with these bits, modulus and exponent.
pub(crate) fn verify(
    (bits, modulus, exponent): (&[u8], &[u8], &[u8]),
    hash: Sha2,
    salt: PssSalt,
    message: &[u8],
    signature: &[u8],
) -> Result<(), InvalidSignature> {
    let verifies = |salt: u16| {
        let how = verification(hash, salt).ok_or(InvalidSignature)?;
        UnparsedPublicKey::new(how, bits).verify(message, signature).map_err(|_| InvalidSignature)
    };
    let usual = u16::try_from(digest(hash).output_len()).map_err(|_| InvalidSignature)?;
    match salt {
        PssSalt::Bytes(length) => verifies(length),
        PssSalt::Hash => verifies(usual),
        PssSalt::Any => {
            // What almost all signatures have; to find another takes ten times as long as to verify.
            let longest = u16::try_from(modulus.len()).ok().and_then(|n| n.checked_sub(usual + 2));
            let likely = [Some(usual), longest].into_iter().flatten();
            if likely.clone().any(|salt| verifies(salt).is_ok()) {
                return Ok(());
            }
            match salt_length(modulus, exponent, hash, signature) {
                Some(salt) if !likely.clone().any(|tried| tried == salt) => verifies(salt),
                _ => Err(InvalidSignature),
            }
        }
    }
}

/// The length of the salt in what may be a signature (RFC 8017 §9.1.2, steps 5 to 10).
fn salt_length(modulus: &[u8], exponent: &[u8], hash: Sha2, signature: &[u8]) -> Option<u16> {
    // What a key must have that is certified or kept here; others would take for ever.
    if signature.len() != modulus.len() || exponent.len() > 5 {
        return None;
    }
    let (n, s) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(signature));
    if s >= n {
        return None;
    }
    let encoded_bits = n.bits().checked_sub(1)?;
    let encoded_length = usize::try_from(encoded_bits.div_ceil(8)).ok()?;
    let message = s.modpow(&BigUint::from_bytes_be(exponent), &n).to_bytes_be();
    let zeros = encoded_length.checked_sub(message.len())?;
    let encoded = [vec![0; zeros], message].concat();
    let masked = encoded.strip_suffix(&[0xbc])?;
    let hash_length = digest(hash).output_len();
    let (masked, seed) = masked.split_at(masked.len().checked_sub(hash_length)?);
    let mut data: Vec<u8> =
        masked.iter().zip(mask(hash, seed)).map(|(masked, mask)| masked ^ mask).collect();
    let unused = 8 * encoded_length as u64 - encoded_bits;
    if let Some(first) = data.first_mut() {
        *first &= 0xff_u8.checked_shr(u32::try_from(unused).ok()?)?;
    }
    let start = data.iter().position(|byte| *byte != 0)?;
    let salt = data.get(start..)?.strip_prefix(&[1])?;
    u16::try_from(salt.len()).ok()
}

/// MGF1 (RFC 8017 §B.2.1), without an end.
fn mask(hash: Sha2, seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| {
        let mut context = Context::new(digest(hash));
        context.update(seed);
        context.update(&counter.to_be_bytes());
        context.finish().as_ref().to_vec()
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{
        KeyPair as _, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaSignatureEncoding,
    };

    use super::*;
    use crate::PublicKey;

    const MESSAGE: &[u8] = b"hello";

    fn sign(pair: &KeyPair, how: &'static RsaSignatureEncoding) -> Vec<u8> {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(how, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        signature
    }

    fn public(pair: &KeyPair) -> PublicKey {
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        PublicKey::from_spki_der(der.as_ref()).unwrap()
    }

    macro_rules! with_salt {
        ($how:ident, $length:expr) => {
            (&const { $how.with_pss_salt_length($length) }) as &'static RsaSignatureEncoding
        };
    }

    #[test]
    fn a_salt_of_any_length_verifies_and_no_other_length_than_asked_for() {
        use RsaPssSaltLength::{Custom, Max};
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let key = public(&pair);
        for (hash, how, salt) in [
            (Sha2::Sha256, with_salt!(RSA_PSS_SHA256, Custom(0)), 0),
            (Sha2::Sha256, with_salt!(RSA_PSS_SHA256, Custom(1)), 1),
            (Sha2::Sha256, with_salt!(RSA_PSS_SHA256, Custom(20)), 20),
            (Sha2::Sha256, with_salt!(RSA_PSS_SHA256, Custom(32)), 32),
            (Sha2::Sha256, with_salt!(RSA_PSS_SHA256, Max), 222),
            (Sha2::Sha384, with_salt!(RSA_PSS_SHA384, Custom(48)), 48),
            (Sha2::Sha384, with_salt!(RSA_PSS_SHA384, Max), 206),
            (Sha2::Sha512, with_salt!(RSA_PSS_SHA512, Custom(64)), 64),
            (Sha2::Sha512, with_salt!(RSA_PSS_SHA512, Max), 190),
        ] {
            let signature = sign(&pair, how);
            let verifies = |salt| key.verify_pss(hash, salt, MESSAGE, &signature).is_ok();
            assert!(verifies(PssSalt::Any), "{hash:?} {salt}");
            assert!(verifies(PssSalt::Bytes(salt)), "{hash:?} {salt}");
            assert!(!verifies(PssSalt::Bytes(salt + 1)), "{hash:?} {salt}");
            let is_usual = usize::from(salt) == digest(hash).output_len();
            assert_eq!(verifies(PssSalt::Hash), is_usual, "{hash:?} {salt}");
            assert!(key.verify_pss(hash, PssSalt::Any, b"hallo", &signature).is_err());
        }
    }

    #[test]
    fn what_is_no_such_signature_does_not_verify() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let key = public(&pair);
        let good = sign(&pair, &RSA_PSS_SHA256);
        for index in [0, 100, 255] {
            let mut bad = good.clone();
            bad[index] ^= 1;
            assert!(key.verify_pss(Sha2::Sha256, PssSalt::Any, MESSAGE, &bad).is_err());
        }
        let pkcs1 = {
            let mut signature = vec![0; 256];
            let how = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
            pair.sign(how, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
            signature
        };
        let longer = [&[0], good.as_slice()].concat();
        for bad in [&[][..], &good[1..], &longer, &pkcs1, &[0xff; 256], &[0; 256]] {
            for salt in [PssSalt::Any, PssSalt::Hash, PssSalt::Bytes(u16::MAX)] {
                assert!(key.verify_pss(Sha2::Sha256, salt, MESSAGE, bad).is_err());
            }
        }
        let other = sign(&pair, &RSA_PSS_SHA512);
        assert!(key.verify_pss(Sha2::Sha256, PssSalt::Any, MESSAGE, &other).is_err());
    }
}
