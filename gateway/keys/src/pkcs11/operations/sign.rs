//! Signs in a session, and verifies what the token made.

use std::time::Instant;

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use chancery_x509::{SignatureAlgorithm, ecdsa};
use cryptoki::error::Error;
use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use crate::pkcs11::fault::Fault;
use crate::pkcs11::objects::directory::KeyPair;

/// Whether signatures are checked before they leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    Always,
    /// To measure what checking costs.
    Never,
}

/// Has the token sign, and lets the signature out only if it verifies: a fault while signing can
/// betray the private key, and a wrong certificate signature is worse than none.
pub(crate) fn sign(
    session: &Session,
    handle: ObjectHandle,
    key: &KeyPair,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    verify: Verify,
) -> Result<Vec<u8>, Fault> {
    let begun = Instant::now();
    let signature = raw(session, handle, algorithm, message)?;
    key.signing.record(begun.elapsed().as_secs_f64());
    let signature = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        // `CKM_ECDSA` gives r and s side by side.
        | SignatureAlgorithm::EcdsaP521Sha512 => ecdsa::der_from_fixed(&signature).ok_or(Fault::Mismatch)?,
        _ => signature,
    };
    if verify == Verify::Always {
        key.public.verify(algorithm, message, &signature).map_err(|_| Fault::Mismatch)?;
    }
    Ok(signature)
}

/// The message is hashed here, whatever the algorithm: not every token has the combined mechanisms
/// (SoftHSM 2.6.1 has no `CKM_ECDSA_SHA256`), and a digest travels faster than a CRL.
fn raw(
    session: &Session,
    handle: ObjectHandle,
    algorithm: SignatureAlgorithm,
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    let hashed = |hash| digest::digest(hash, message);
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            session.sign(&Mechanism::Ecdsa, handle, hashed(&SHA256).as_ref())
        }
        SignatureAlgorithm::EcdsaP384Sha384 => {
            session.sign(&Mechanism::Ecdsa, handle, hashed(&SHA384).as_ref())
        }
        SignatureAlgorithm::EcdsaP521Sha512 => {
            session.sign(&Mechanism::Ecdsa, handle, hashed(&SHA512).as_ref())
        }
        SignatureAlgorithm::RsaPkcs1Sha256 => {
            let info = [SHA256_INFO, hashed(&SHA256).as_ref()].concat();
            session.sign(&Mechanism::RsaPkcs, handle, &info)
        }
        SignatureAlgorithm::RsaPkcs1Sha384 => {
            let info = [SHA384_INFO, hashed(&SHA384).as_ref()].concat();
            session.sign(&Mechanism::RsaPkcs, handle, &info)
        }
        SignatureAlgorithm::RsaPkcs1Sha512 => {
            let info = [SHA512_INFO, hashed(&SHA512).as_ref()].concat();
            session.sign(&Mechanism::RsaPkcs, handle, &info)
        }
        SignatureAlgorithm::RsaPssSha256 => {
            let parameters = PkcsPssParams {
                hash_alg: MechanismType::SHA256,
                mgf: PkcsMgfType::MGF1_SHA256,
                s_len: 32.into(),
            };
            session.sign(&Mechanism::RsaPkcsPss(parameters), handle, hashed(&SHA256).as_ref())
        }
        SignatureAlgorithm::Ed25519 => {
            let parameters = EddsaParams::new(EddsaSignatureScheme::Ed25519);
            session.sign(&Mechanism::Eddsa(parameters), handle, message)
        }
        SignatureAlgorithm::MlDsa44 | SignatureAlgorithm::MlDsa65 | SignatureAlgorithm::MlDsa87 => {
            let parameters = SignAdditionalContext::new(HedgeType::Preferred, None);
            session.sign(&Mechanism::MlDsa(parameters), handle, message)
        }
    }
}

// The start of a `DigestInfo`, up to the digest (RFC 8017 §9.2 note 1).
const SHA256_INFO: &[u8] =
    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
const SHA384_INFO: &[u8] =
    b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30";
const SHA512_INFO: &[u8] =
    b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40";
