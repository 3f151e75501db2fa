//! OpenSSH public keys and certificates (`PROTOCOL.certkeys` of OpenSSH, RFC 4251 §5, RFC 8332, RFC 8709): no
//! private keys, no I/O.
//!
//! The keys of users and hosts are parsed, turned into [`chancery_x509::PublicKey`] so that the same weak
//! keys are refused, and copied into certificates byte for byte. A certificate is built up to its signature.
//! The holder of the CA's key signs exactly these bytes.

mod certificate;
mod error;
mod kind;
mod options;
mod public_key;
mod signature;
mod wire;

pub use certificate::{Certificate, ToBeSigned, check_principals};
pub use error::CertificateError;
pub use kind::Kind;
pub use options::Options;
pub use public_key::{InvalidKey, SshPublicKey};
pub use signature::{InvalidSignature, algorithm_for};
