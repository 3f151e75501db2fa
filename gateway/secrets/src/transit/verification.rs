//! The ways to verify a signature, including those that keys here do not sign with.

use chancery_keys::KeyType;
use chancery_x509::{PssSalt, PublicKey, Sha2, SignatureAlgorithm};

use super::cost::Work;
use super::{Padding, Signing, TransitError, TransitKey, TransitKeyType};

/// How signatures are verified. This is more than is signed here, since keys are brought in with what they
/// signed elsewhere: Vault takes a salt that is as long as it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verification {
    /// With the algorithm of the key.
    Own(SignatureAlgorithm),
    /// ECDSA, or RSASSA-PKCS1-v1_5, with this hash.
    Hashed(Sha2),
    /// RSASSA-PSS.
    Pss(Sha2, PssSalt),
}

impl Verification {
    /// What is asked for.
    ///
    /// # Errors
    /// [`TransitError::Refused`] if keys of this type do not sign.
    pub(super) fn of(key_type: TransitKeyType, how: Signing) -> Result<Self, TransitError> {
        let TransitKeyType::Pair(pair) = key_type else {
            let why = format!("keys of type {key_type} do not sign");
            return Err(TransitError::Refused(why.into()));
        };
        let own = Self::Own(pair.default_algorithm());
        Ok(match pair {
            KeyType::EcdsaP256 | KeyType::EcdsaP384 | KeyType::EcdsaP521 => {
                how.hash.map_or(own, Self::Hashed)
            }
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
                let hash = how.hash.unwrap_or(Sha2::Sha256);
                match how.padding.unwrap_or(Padding::Pss) {
                    Padding::Pss => Self::Pss(hash, how.salt),
                    Padding::Pkcs1v15 => Self::Hashed(hash),
                }
            }
            // They have their own.
            KeyType::Ed25519 | KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => own,
        })
    }

    /// Whether it is a signature of the message.
    pub(super) fn holds(self, public: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Own(algorithm) => public.verify(algorithm, message, signature),
            Self::Hashed(hash) => public.verify_hashed(hash, message, signature),
            Self::Pss(hash, salt) => public.verify_pss(hash, salt, message, signature),
        };
        verified.is_ok()
    }

    /// What it takes.
    pub(super) fn work(self) -> Work {
        match self {
            Self::Pss(_, PssSalt::Any) => Work::Unsalting,
            Self::Own(_) | Self::Hashed(_) | Self::Pss(..) => Work::Public,
        }
    }

    /// As policies are told, of this key.
    pub(super) fn name(self, key: &TransitKey) -> String {
        let bits = |hash| match hash {
            Sha2::Sha256 => "256",
            Sha2::Sha384 => "384",
            Sha2::Sha512 => "512",
        };
        match self {
            Self::Own(algorithm) => algorithm.as_str().to_owned(),
            Self::Hashed(hash) if key.key_type.is_rsa() => format!("rsa-pkcs1-sha{}", bits(hash)),
            Self::Hashed(hash) => format!("{}-sha{}", key.key_type, bits(hash)),
            Self::Pss(hash, _) => format!("rsa-pss-sha{}", bits(hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_verified_than_signed() {
        let of = |pair, how| Verification::of(TransitKeyType::Pair(pair), how).unwrap();
        let how = Signing::default();
        let with = |hash| Signing { hash: Some(hash), ..how };
        assert_eq!(
            of(KeyType::EcdsaP384, how),
            Verification::Own(SignatureAlgorithm::EcdsaP384Sha384)
        );
        assert_eq!(of(KeyType::EcdsaP384, with(Sha2::Sha256)), Verification::Hashed(Sha2::Sha256));
        assert_eq!(of(KeyType::Rsa2048, how), Verification::Pss(Sha2::Sha256, PssSalt::Any));
        let pss = Signing { salt: PssSalt::Bytes(20), ..with(Sha2::Sha512) };
        let expected = Verification::Pss(Sha2::Sha512, PssSalt::Bytes(20));
        assert_eq!(of(KeyType::Rsa3072, pss), expected);
        let pkcs1 = Signing { padding: Some(Padding::Pkcs1v15), ..pss };
        assert_eq!(of(KeyType::Rsa4096, pkcs1), Verification::Hashed(Sha2::Sha512));
        assert_eq!(
            of(KeyType::Ed25519, with(Sha2::Sha512)),
            Verification::Own(SignatureAlgorithm::Ed25519)
        );
        assert!(Verification::of(TransitKeyType::Hmac, how).is_err());
    }
}
