//! One sealed value: a header that says how to open it, the ciphertext, the tag.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use chancery_store::Key;
use zeroize::Zeroizing;

/// First byte: AES-256-GCM, with the fields of [`Envelope`] in their order.
const FORMAT: u8 = 1;

const TAG_LEN: usize = 16;

const KEY_ID_LEN: usize = 4;

const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// The length of the keys that seal.
pub(crate) const KEY_LEN: usize = 32;

/// A key with its number, ready for use.
pub(crate) struct SealingKey {
    id: u32,
    key: LessSafeKey,
}

/// A sealed value, taken apart.
pub(crate) struct Envelope<'a> {
    /// Number of the key that it is under.
    pub(crate) key_id: u32,
    nonce: [u8; NONCE_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

/// Why a sealed value gives no plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0} bytes are too few for a sealed record: it was cut short or is not sealed")]
    TooShort(usize),
    #[error("its format is {0}, which this release does not know: it was changed or is not sealed")]
    Format(u8),
    #[error("it is under key {0} of its tenant, which does not exist")]
    NoSuchKey(u32),
    #[error(
        "it does not open under key {0} of its tenant: it was changed, cut short, or put in the \
         place of another record"
    )]
    NotAuthentic(u32),
    #[error("it should hold a key of {KEY_LEN} bytes")]
    NoKey,
}

/// The system gave no randomness, or the value is too long for the cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value could not be encrypted")]
pub(crate) struct NotSealed;

impl SealingKey {
    /// The key number `id`.
    pub(crate) fn new(id: u32, key: &[u8; KEY_LEN]) -> Result<Self, NotSealed> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| NotSealed)?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Seals `plaintext` for the record `at`. The nonce is random; a key may seal 2^32 values before
    /// two of its nonces are likelier to be the same than NIST SP 800-38D §8.3 allows.
    pub(crate) fn seal(&self, at: &Key, plaintext: &[u8]) -> Result<Bytes, NotSealed> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| NotSealed)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
        sealed.push(FORMAT);
        sealed.extend(self.id.to_be_bytes());
        sealed.extend(nonce);
        sealed.extend(plaintext);
        let Some(body) = sealed.get_mut(HEADER_LEN..) else { return Err(NotSealed) };
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(at.as_bytes()));
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, body).map_err(|_| NotSealed)?;
        sealed.extend(tag.as_ref());
        Ok(sealed.into())
    }

    /// The plaintext of what was sealed with this key for the record `at`.
    pub(crate) fn open(
        &self,
        at: &Key,
        envelope: &Envelope<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let mut plaintext = Zeroizing::new(vec![0; envelope.ciphertext.len()]);
        self.key
            .open_separate_gather(
                Nonce::assume_unique_for_key(envelope.nonce),
                Aad::from(at.as_bytes()),
                envelope.ciphertext,
                envelope.tag,
                &mut plaintext,
            )
            .map_err(|_| Refused::NotAuthentic(self.id))?;
        Ok(plaintext)
    }
}

impl<'a> Envelope<'a> {
    /// Takes a sealed value apart, without telling yet whether it is authentic.
    pub(crate) fn parse(sealed: &'a [u8]) -> Result<Self, Refused> {
        let too_short = Refused::TooShort(sealed.len());
        let (&format, rest) = sealed.split_first().ok_or(too_short)?;
        if format != FORMAT {
            return Err(Refused::Format(format));
        }
        let (key_id, rest) = rest.split_first_chunk::<KEY_ID_LEN>().ok_or(too_short)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(too_short)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(too_short)?;
        Ok(Self { key_id: u32::from_be_bytes(*key_id), nonce: *nonce, ciphertext, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn open(with: &SealingKey, at: &str, sealed: &[u8]) -> Result<Vec<u8>, Refused> {
        let opened = with.open(&key(at), &Envelope::parse(sealed)?)?;
        Ok(opened.to_vec())
    }

    #[test]
    fn opens_only_with_its_key_at_its_place() {
        let (one, other) =
            (SealingKey::new(7, &[1; 32]).unwrap(), SealingKey::new(7, &[2; 32]).unwrap());
        for plaintext in [&b""[..], b"x", b"a secret"] {
            let sealed = one.seal(&key("t/a"), plaintext).unwrap();
            assert_eq!(Envelope::parse(&sealed).unwrap().key_id, 7);
            assert_eq!(open(&one, "t/a", &sealed).unwrap(), plaintext);
            assert_eq!(open(&one, "t/b", &sealed), Err(Refused::NotAuthentic(7)));
            assert_eq!(open(&other, "t/a", &sealed), Err(Refused::NotAuthentic(7)));
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_the_same_way() {
        let sealing = SealingKey::new(1, &[1; 32]).unwrap();
        let sealed: std::collections::BTreeSet<_> =
            (0..100).map(|_| sealing.seal(&key("t/a"), b"x").unwrap()).collect();
        assert_eq!(sealed.len(), 100);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let sealing = SealingKey::new(1, &[1; 32]).unwrap();
        let sealed = sealing.seal(&key("t/a"), b"a secret").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // The key's number is no part of what is sealed: another number means another key.
            let number = Envelope::parse(&flipped).map(|envelope| envelope.key_id);
            assert!(
                number.is_ok_and(|number| number != 1) || open(&sealing, "t/a", &flipped).is_err(),
                "bit {bit}"
            );
        }
        for len in 0..sealed.len() {
            open(&sealing, "t/a", &sealed[..len]).unwrap_err();
        }
        open(&sealing, "t/a", &[&sealed[..], b"x"].concat()).unwrap_err();
    }

    /// The format, written down, with a ciphertext that another implementation made (OpenSSL's):
    /// what is stored must be readable for ever.
    #[test]
    fn opens_what_was_sealed_before() {
        let sealed = "01000000010102030405060708090a0b0c\
                      7dfce2d6392d87235c1236e2810f6d73f161e62ab8074da4";
        let sealing = SealingKey::new(1, &[9; 32]).unwrap();
        let sealed = hex::decode(sealed).unwrap();
        assert_eq!(open(&sealing, "t/a", &sealed).unwrap(), b"a secret");
    }
}
