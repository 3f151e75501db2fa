//! Reads and writes OpenSSH public keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_x509::{KeyAlgorithm, PublicKey};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::{AnyRef, BitStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::wire::{put_mpint, put_string, take_string};

/// A public key as OpenSSH writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshPublicKey {
    kind: SshKind,
    /// The whole key, from its type on.
    blob: Vec<u8>,
    key: PublicKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SshKind {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Rsa,
    /// A key in a FIDO authenticator.
    SkEd25519,
    SkEcdsaP256,
}

/// The text is no public key that can be certified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not a line as `ssh-keygen` writes it.
    #[error("the key is not one line of an OpenSSH public key: TYPE BASE64 [COMMENT]")]
    Malformed,
    /// A kind that is not certified here.
    #[error(
        "keys of the type `{0}` are not certified: use ssh-ed25519, ecdsa-sha2-nistp256, \
         ecdsa-sha2-nistp384, ecdsa-sha2-nistp521, ssh-rsa, or one of an authenticator (sk-…)"
    )]
    Kind(String),
    /// What is in it is no such key.
    #[error("the key is damaged: {0}")]
    Key(String),
}

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl SshKind {
    const ALL: [Self; 7] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa,
        Self::SkEd25519,
        Self::SkEcdsaP256,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn certificate_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519-cert-v01@openssh.com",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
            Self::Rsa => "ssh-rsa-cert-v01@openssh.com",
            Self::SkEd25519 => "sk-ssh-ed25519-cert-v01@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        }
    }
}

impl SshPublicKey {
    /// Reads one line as `ssh-keygen` writes it into `.pub` files; a comment is not heeded.
    ///
    /// # Errors
    /// It is none, or one of a kind that is not certified here. RSA keys below 2,048 bits are refused here,
    /// other weak keys by [`PublicKey::check_strength`] of [`key`](Self::key).
    pub fn parse(line: &str) -> Result<Self, InvalidKey> {
        let mut words = line.split_ascii_whitespace();
        let (Some(named), Some(text)) = (words.next(), words.next()) else {
            return Err(InvalidKey::Malformed);
        };
        if line.trim().contains('\n') || text.len() > 16 * 1024 {
            return Err(InvalidKey::Malformed);
        }
        let kind = SshKind::ALL.into_iter().find(|kind| kind.name() == named).ok_or_else(|| {
            InvalidKey::Kind(named.chars().take(60).flat_map(char::escape_debug).collect())
        })?;
        let blob = STANDARD.decode(text).map_err(|_| InvalidKey::Malformed)?;
        let mut rest = blob.as_slice();
        if take_string(&mut rest) != Some(kind.name().as_bytes()) {
            return Err(InvalidKey::Malformed);
        }
        let spki = spki(kind, &mut rest).ok_or(InvalidKey::Malformed)?;
        if !rest.is_empty() {
            return Err(InvalidKey::Malformed);
        }
        let key = PublicKey::from_spki_der(&spki).map_err(|e| InvalidKey::Key(e.to_string()))?;
        Ok(Self { kind, blob, key })
    }

    /// A key of a CA as OpenSSH writes it; none if it is of a kind that signs no certificates there.
    pub fn of(key: &PublicKey) -> Option<Self> {
        let mut blob = Vec::new();
        let kind = match key.algorithm() {
            KeyAlgorithm::Ed25519 => SshKind::Ed25519,
            KeyAlgorithm::EcdsaP256 => SshKind::EcdsaP256,
            KeyAlgorithm::EcdsaP384 => SshKind::EcdsaP384,
            KeyAlgorithm::EcdsaP521 => SshKind::EcdsaP521,
            KeyAlgorithm::Rsa { .. } => SshKind::Rsa,
            KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => return None,
        };
        put_string(&mut blob, kind.name().as_bytes());
        match kind {
            SshKind::EcdsaP256 => put_string(&mut blob, b"nistp256"),
            SshKind::EcdsaP384 => put_string(&mut blob, b"nistp384"),
            SshKind::EcdsaP521 => put_string(&mut blob, b"nistp521"),
            _ => {}
        }
        if kind == SshKind::Rsa {
            let rsa = RsaPublicKey::from_der(key.key_bits()).ok()?;
            put_mpint(&mut blob, rsa.exponent.as_bytes());
            put_mpint(&mut blob, rsa.modulus.as_bytes());
        } else {
            put_string(&mut blob, key.key_bits());
        }
        Some(Self { kind, blob, key: key.clone() })
    }

    /// The key itself, whatever stands around it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// One line without a comment, as in `.pub` files and `authorized_keys`.
    pub fn line(&self) -> String {
        format!("{} {}", self.kind.name(), STANDARD.encode(&self.blob))
    }

    /// The whole key, from its type on.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What stands in a certificate: all but the type.
    pub(crate) fn fields(&self) -> &[u8] {
        self.blob.get(4 + self.kind.name().len()..).unwrap_or_default()
    }

    pub(crate) fn certificate_name(&self) -> &'static str {
        self.kind.certificate_name()
    }
}

/// The key as a DER `SubjectPublicKeyInfo`.
fn spki(kind: SshKind, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let of = |algorithm: ObjectIdentifier, curve: Option<ObjectIdentifier>, bits: &[u8]| {
        let curve = curve.map(|curve| curve.to_der().ok());
        let parameters = match &curve {
            None => None,
            Some(der) => Some(AnyRef::from_der(der.as_deref()?).ok()?),
        };
        let algorithm = AlgorithmIdentifierRef { oid: algorithm, parameters };
        let subject_public_key = BitStringRef::from_bytes(bits).ok()?;
        SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().ok()
    };
    let mut on_curve = |name: &[u8], curve| {
        (take_string(rest)? == name).then_some(())?;
        of(rfc5912::ID_EC_PUBLIC_KEY, Some(curve), take_string(rest)?)
    };
    match kind {
        SshKind::Ed25519 => of(rfc8410::ID_ED_25519, None, take_string(rest)?),
        SshKind::EcdsaP256 => on_curve(b"nistp256", rfc5912::SECP_256_R_1),
        SshKind::EcdsaP384 => on_curve(b"nistp384", rfc5912::SECP_384_R_1),
        SshKind::EcdsaP521 => on_curve(b"nistp521", rfc5912::SECP_521_R_1),
        SshKind::Rsa => {
            let (exponent, modulus) = (take_string(rest)?, take_string(rest)?);
            let number = |bytes| UintRef::new(bytes).ok();
            let key = RsaPublicKey { modulus: number(modulus)?, exponent: number(exponent)? };
            let null = [0x05, 0x00];
            let algorithm = AlgorithmIdentifierRef {
                oid: rfc5912::RSA_ENCRYPTION,
                parameters: Some(AnyRef::from_der(&null).ok()?),
            };
            let bits = key.to_der().ok()?;
            let subject_public_key = BitStringRef::from_bytes(&bits).ok()?;
            SubjectPublicKeyInfoRef { algorithm, subject_public_key }.to_der().ok()
        }
        SshKind::SkEd25519 => {
            let key = of(rfc8410::ID_ED_25519, None, take_string(rest)?);
            take_string(rest)?;
            key
        }
        SshKind::SkEcdsaP256 => {
            let key = on_curve(b"nistp256", rfc5912::SECP_256_R_1);
            take_string(rest)?;
            key
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTHOzJXwcRU40IcVq3BQwNX7SyAjOeQYVSQPTnqGqbW a@b";

    #[test]
    fn a_key_is_the_same_in_either_form() {
        let parsed = SshPublicKey::parse(ED25519).unwrap();
        assert_eq!(parsed.line(), ED25519.rsplit_once(' ').unwrap().0);
        assert_eq!(SshPublicKey::of(parsed.key()).unwrap(), parsed);
        assert_eq!(parsed.fields().len(), 36);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (kind, rest) = ED25519.split_once(' ').unwrap();
        for bad in [
            "",
            kind,
            rest,
            "ssh-dss AAAAB3NzaC1kc3MAAACB",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIBTHOzJXwcRU40IcVq3BQwNX7SyAjOeQYVSQPTnqGqbW",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTHOzJXwcRU40IcVq3BQwNX7SyAjOeQYVSQPTnqGg==",
            &format!("{ED25519}\n{ED25519}"),
            &format!("{kind} !{rest}"),
        ] {
            assert!(SshPublicKey::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(blob in proptest::collection::vec(any::<u8>(), 0..80), at in 0_usize..7) {
            let kind = SshKind::ALL[at];
            let mut whole = vec![];
            put_string(&mut whole, kind.name().as_bytes());
            whole.extend(blob);
            let _ = SshPublicKey::parse(&format!("{} {}", kind.name(), STANDARD.encode(whole)));
        }
    }
}
