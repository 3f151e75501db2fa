use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use zeroize::Zeroizing;

use super::fault::Fault;

/// First byte of what is wrapped: AES-256-GCM, a 12-byte nonce, then ciphertext and tag.
const FORMAT_AES_GCM: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Encrypts with a key in the token, bound to `aad`.
pub(super) fn wrap(
    session: &Session,
    handle: ObjectHandle,
    plaintext: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; NONCE];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Fault::Closed("the system gives no randomness".to_owned()))?;
    let mut out = vec![FORMAT_AES_GCM];
    out.extend_from_slice(&nonce);
    let parameters = GcmParams::new(&mut nonce, aad, tag_bits())?;
    out.extend(session.encrypt(&Mechanism::AesGcm(parameters), handle, plaintext)?);
    Ok(out)
}

/// Undoes [`wrap`].
pub(super) fn unwrap(
    session: &Session,
    handle: ObjectHandle,
    wrapped: &[u8],
    aad: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let Some((nonce, sealed)) = parts(wrapped) else { return Err(Fault::NotAuthentic) };
    let mut nonce = *nonce;
    let parameters = GcmParams::new(&mut nonce, aad, tag_bits())?;
    match session.decrypt(&Mechanism::AesGcm(parameters), handle, sealed) {
        Ok(plaintext) => Ok(Zeroizing::new(plaintext)),
        Err(error) if is_tag_mismatch(&error) => Err(Fault::NotAuthentic),
        Err(error) => Err(error.into()),
    }
}

/// Whether these bytes can have come from [`wrap`].
pub(super) fn is_well_formed(wrapped: &[u8]) -> bool {
    parts(wrapped).is_some()
}

fn parts(wrapped: &[u8]) -> Option<(&[u8; NONCE], &[u8])> {
    let (&FORMAT_AES_GCM, rest) = wrapped.split_first()? else { return None };
    rest.split_first_chunk().filter(|(_, sealed)| sealed.len() >= TAG)
}

fn tag_bits() -> cryptoki::types::Ulong {
    128.into()
}

/// The standard's code is `CKR_ENCRYPTED_DATA_INVALID`; SoftHSM says `CKR_GENERAL_ERROR`.
fn is_tag_mismatch(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
            Function::Decrypt
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_cut_off_bytes_and_other_formats() {
        let mut good = vec![FORMAT_AES_GCM];
        good.extend([7; NONCE + TAG]);
        assert!(is_well_formed(&good));
        assert!(!is_well_formed(&good[..good.len() - 1]));
        good[0] = 2;
        assert!(!is_well_formed(&good));
        assert!(!is_well_formed(&[]));
    }
}
