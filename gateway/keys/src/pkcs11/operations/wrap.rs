//! Wraps, unwraps and decrypts in a session.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use zeroize::Zeroizing;

use crate::pkcs11::fault::Fault;
use crate::software::OaepHash;
use crate::wrapped::{self, NONCE};

/// Encrypts with a key in the token, bound to `aad`.
pub(crate) fn wrap(
    session: &Session,
    handle: ObjectHandle,
    plaintext: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; NONCE];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Fault::Closed("the system gives no randomness".to_owned()))?;
    let used = nonce;
    let parameters = GcmParams::new(&mut nonce, aad, tag_bits())?;
    let sealed = session.encrypt(&Mechanism::AesGcm(parameters), handle, plaintext)?;
    Ok(wrapped::join(&used, &sealed))
}

/// Undoes [`wrap`].
pub(crate) fn unwrap(
    session: &Session,
    handle: ObjectHandle,
    bytes: &[u8],
    aad: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let Some((nonce, sealed)) = wrapped::parts(bytes) else { return Err(Fault::NotAuthentic) };
    let mut nonce = *nonce;
    let parameters = GcmParams::new(&mut nonce, aad, tag_bits())?;
    match session.decrypt(&Mechanism::AesGcm(parameters), handle, sealed) {
        Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
        Err(error) if blames_the_text(&error) => Err(Fault::NotAuthentic),
        Err(error) => Err(error.into()),
    }
}

/// Decrypts with an RSA key in the token (RFC 8017 §7.1.2).
pub(crate) fn decrypt(
    session: &Session,
    handle: ObjectHandle,
    hash: OaepHash,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    match session.decrypt(&oaep(hash), handle, ciphertext) {
        Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
        Err(error) if blames_the_text(&error) => Err(Fault::NotAuthentic),
        Err(error) => Err(error.into()),
    }
}

/// RSAES-OAEP with an empty label, the same hash for the label and the mask.
pub(crate) fn oaep(hash: OaepHash) -> Mechanism<'static> {
    let (hash, mgf) = match hash {
        OaepHash::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        OaepHash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        OaepHash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        OaepHash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
    };
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()))
}

fn tag_bits() -> cryptoki::types::Ulong {
    128.into()
}

/// The standard's code is `CKR_ENCRYPTED_DATA_INVALID`; SoftHSM says `CKR_GENERAL_ERROR`.
fn blames_the_text(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
            Function::Decrypt
        )
    )
}
