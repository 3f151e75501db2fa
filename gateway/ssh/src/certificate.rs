//! Builds OpenSSH certificates: the content to sign, and the finished line.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_x509::SignatureAlgorithm;
use jiff::Timestamp;

use crate::options::{is_visible, shown};
use crate::signature::{self, algorithm_for};
use crate::wire::put_string;
use crate::{CertificateError, InvalidSignature, Kind, Options, SshPublicKey};

/// What a certificate shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The key that is certified.
    pub public_key: SshPublicKey,
    /// Its serial number, by which it can be revoked.
    pub serial: u64,
    /// For whom it is.
    pub kind: Kind,
    /// What hosts write into their logs.
    pub key_id: String,
    /// The names of users or hosts that it is good for, at least one.
    pub principals: Vec<String>,
    /// First moment of validity, in whole seconds.
    pub valid_after: Timestamp,
    /// The moment at which it is valid no more, in whole seconds.
    pub valid_before: Timestamp,
    /// What it allows and demands.
    pub options: Options,
}

/// A certificate up to its signature. The bytes cannot change any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToBeSigned {
    content: Vec<u8>,
    name: &'static str,
    algorithm: SignatureAlgorithm,
}

impl Certificate {
    /// The certificate up to its signature by this CA; `nonce` is random, 16 bytes or more.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn build(&self, nonce: &[u8], ca: &SshPublicKey) -> Result<ToBeSigned, CertificateError> {
        self.check()?;
        let seconds = |moment: Timestamp| {
            u64::try_from(moment.as_second()).map_err(|_| CertificateError::Validity)
        };
        let name = self.public_key.certificate_name();
        let mut out = Vec::with_capacity(1024);
        put_string(&mut out, name.as_bytes());
        put_string(&mut out, nonce);
        out.extend_from_slice(self.public_key.fields());
        out.extend_from_slice(&self.serial.to_be_bytes());
        let kind: u32 = match self.kind {
            Kind::User => 1,
            Kind::Host => 2,
        };
        out.extend_from_slice(&kind.to_be_bytes());
        put_string(&mut out, self.key_id.as_bytes());
        let mut principals = Vec::new();
        for principal in &self.principals {
            put_string(&mut principals, principal.as_bytes());
        }
        put_string(&mut out, &principals);
        out.extend_from_slice(&seconds(self.valid_after)?.to_be_bytes());
        out.extend_from_slice(&seconds(self.valid_before)?.to_be_bytes());
        put_string(&mut out, &options(&self.options.critical));
        put_string(&mut out, &options(&self.options.extensions));
        // Reserved.
        put_string(&mut out, b"");
        put_string(&mut out, ca.blob());
        Ok(ToBeSigned { content: out, name, algorithm: algorithm_for(ca.key().algorithm()) })
    }

    fn check(&self) -> Result<(), CertificateError> {
        check_principals(&self.principals)?;
        if self.valid_after >= self.valid_before {
            return Err(CertificateError::Validity);
        }
        self.options.check(self.kind)
    }
}

/// That hosts read the names as they are written, and people too.
///
/// # Errors
/// There is none, or one has a character that is not printable, white space, a comma, or too many.
pub fn check_principals(principals: &[String]) -> Result<(), CertificateError> {
    if principals.is_empty() {
        return Err(CertificateError::NoPrincipals);
    }
    let plain = |c: char| is_visible(c) && !c.is_whitespace() && c != ',';
    let is_one = |name: &String| (1..=255).contains(&name.len()) && name.chars().all(plain);
    match principals.iter().find(|name| !is_one(name)) {
        Some(name) => Err(CertificateError::Principal(shown(name))),
        None => Ok(()),
    }
}

/// Names with their values, in the order of their names; a value is a string in a string.
fn options(list: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in list {
        put_string(&mut out, name.as_bytes());
        let mut data = Vec::new();
        if !value.is_empty() {
            put_string(&mut data, value.as_bytes());
        }
        put_string(&mut out, &data);
    }
    out
}

impl ToBeSigned {
    /// The bytes to sign.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The algorithm to sign with.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The certificate as one line, as in `-cert.pub` files.
    ///
    /// # Errors
    /// The signature is none of the algorithm.
    pub fn assemble(&self, signature: &[u8]) -> Result<String, InvalidSignature> {
        let mut whole = self.content.clone();
        put_string(&mut whole, &signature::encode(self.algorithm, signature)?);
        Ok(format!("{} {}", self.name, STANDARD.encode(whole)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Certificate {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTHOzJXwcRU40IcVq3BQwNX7SyAjOeQYVSQPTnqGqbW";
        Certificate {
            public_key: SshPublicKey::parse(key).unwrap(),
            serial: 7,
            kind: Kind::User,
            key_id: "spiffe://a/b".to_owned(),
            principals: vec!["alice".to_owned()],
            valid_after: Timestamp::from_second(1_800_000_000).unwrap(),
            valid_before: Timestamp::from_second(1_800_003_600).unwrap(),
            options: Options::default(),
        }
    }

    fn error_after(change: impl FnOnce(&mut Certificate)) -> CertificateError {
        let mut certificate = certificate();
        change(&mut certificate);
        let ca = certificate.public_key.clone();
        certificate.build(&[0; 32], &ca).unwrap_err()
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused() {
        assert_eq!(error_after(|c| c.principals.clear()), CertificateError::NoPrincipals);
        let bidirectional = ["\u{202e}a", "a\u{2066}b", "\u{200f}", "a\u{200b}", "\u{feff}a"];
        let others = ["", "a b", "a,b", "a\n", "a\0", "\u{7f}", &"x".repeat(256)];
        for bad in others.into_iter().chain(bidirectional) {
            let error = error_after(|c| c.principals.push(bad.to_owned()));
            assert!(matches!(error, CertificateError::Principal(_)), "{bad:?}");
        }
        let after = certificate().valid_after;
        assert_eq!(error_after(|c| c.valid_before = after), CertificateError::Validity);
        let option = || ("permit-everything".to_owned(), String::new());
        let error = error_after(|c| c.options.extensions.extend([option()]));
        assert_eq!(error, CertificateError::Option("permit-everything".to_owned()));
        let error = error_after(|c| {
            c.kind = Kind::Host;
            c.options.extensions.insert("permit-pty".to_owned(), String::new());
        });
        assert_eq!(error, CertificateError::OptionsOfHost);
    }
}
