use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::AccessError;

const PREFIX: &str = "chs.";
const TIME_BYTES: usize = 6;
const RANDOM_BYTES: usize = 32;

/// A token as its holder keeps it: `chs.` and, in base64url, the time of issue in milliseconds (48
/// bits) and 256 random bits. It is stored nowhere; records are found by its hash. The time is no
/// secret and puts records of one time beside each other in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret {
    text: Zeroizing<String>,
    issued: [u8; TIME_BYTES],
}

impl TokenSecret {
    pub(crate) fn generate(now: Timestamp) -> Result<Self, AccessError> {
        let mut bytes = Zeroizing::new([0; TIME_BYTES + RANDOM_BYTES]);
        let (time, random) = bytes.split_at_mut(TIME_BYTES);
        let millis = now.as_millisecond().to_be_bytes();
        time.copy_from_slice(millis.last_chunk::<TIME_BYTES>().ok_or(AccessError::Random)?);
        aws_lc_rs::rand::fill(random).map_err(|_| AccessError::Random)?;
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Self::parse(&text).ok_or(AccessError::Random)
    }

    /// The token with this text; none if it cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX)?;
        // The decoder wants room for what the text could decode to at most.
        let mut bytes = Zeroizing::new([0; TIME_BYTES + RANDOM_BYTES + 2]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
        let issued = *bytes.first_chunk()?;
        let text = Zeroizing::new(text.to_owned());
        (length == TIME_BYTES + RANDOM_BYTES).then_some(Self { text, issued })
    }

    /// Whether this is the text of a token of ours, known or not.
    pub(crate) fn looks_bound(text: &str) -> bool {
        Self::parse(text).is_some()
    }

    /// The text that the holder sends.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The last part of the record's key.
    pub(crate) fn record_name(&self) -> String {
        let hash = digest(&SHA256, self.text.as_bytes());
        format!("{}-{}", hex::encode(self.issued), hex::encode(hash))
    }
}

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn is_random_and_survives_the_round_trip() {
        let one = TokenSecret::generate(at(1)).unwrap();
        let other = TokenSecret::generate(at(1)).unwrap();
        assert_ne!(one.expose(), other.expose());
        assert_eq!(TokenSecret::parse(one.expose()), Some(one.clone()));
        assert_eq!(format!("{one:?}"), "TokenSecret(..)");
    }

    #[test]
    fn records_stand_in_the_order_of_issue_and_do_not_contain_the_token() {
        let early = TokenSecret::generate(at(1)).unwrap();
        let late = TokenSecret::generate(at(1_000_000)).unwrap();
        assert!(early.record_name() < late.record_name());
        let random = early.expose().strip_prefix("chs.").unwrap().split_at(8).1;
        assert!(!early.record_name().contains(random));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let good = TokenSecret::generate(at(1)).unwrap();
        let good = good.expose();
        let (short, long) = (&good[..good.len() - 1], format!("{good}A"));
        for bad in ["", "chs.", "root", "hvs.AAAA", short, &long, &good[4..], &good.to_lowercase()]
        {
            let parsed = TokenSecret::parse(bad);
            assert!(parsed.is_none() || bad != good, "{bad}");
            if bad != good.to_lowercase() {
                assert!(parsed.is_none(), "{bad}");
            }
        }
    }
}
