//! The text of a token, and the record name and the accessor that are derived from its hash.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_identity::TenantId;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::AccessError;

const BOUND: &str = "chs.";
const BEARER: &str = "chb.";
const TIME_BYTES: usize = 6;
const RANDOM_BYTES: usize = 32;
/// How much of the hash stands in an accessor, in hex digits.
const ACCESSOR_DIGITS: usize = 32;
/// How long an accessor is.
const ACCESSOR: usize = TIME_BYTES * 2 + 1 + ACCESSOR_DIGITS;

/// A token as its holder keeps it: `chs.`, or of a bearer token `chb.TENANT.`, and, in base64url, the time
/// of issue in milliseconds (48 bits) and 256 random bits. It is stored nowhere; records are found by its
/// hash. The time is no secret and puts records of one time beside each other in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret {
    text: Zeroizing<String>,
    issued: [u8; TIME_BYTES],
    bearer_of: Option<TenantId>,
}

impl TokenSecret {
    /// A fresh token; a bearer token if it is to be one of a tenant.
    pub(crate) fn generate(
        now: Timestamp,
        bearer_of: Option<&TenantId>,
    ) -> Result<Self, AccessError> {
        let mut bytes = Zeroizing::new([0; TIME_BYTES + RANDOM_BYTES]);
        let (time, random) = bytes.split_at_mut(TIME_BYTES);
        let millis = now.as_millisecond().to_be_bytes();
        time.copy_from_slice(millis.last_chunk::<TIME_BYTES>().ok_or(AccessError::Random)?);
        aws_lc_rs::rand::fill(random).map_err(|_| AccessError::Random)?;
        let mut text = Zeroizing::new(String::with_capacity(192));
        match bearer_of {
            None => text.push_str(BOUND),
            Some(tenant) => {
                text.push_str(BEARER);
                text.push_str(tenant.as_str());
                text.push('.');
            }
        }
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Self::parse(&text).ok_or(AccessError::Random)
    }

    /// The token with this text; none if it cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (bearer_of, encoded) = match text.strip_prefix(BEARER) {
            Some(rest) => {
                let (tenant, encoded) = rest.split_once('.')?;
                (Some(tenant.parse().ok()?), encoded)
            }
            None => (None, text.strip_prefix(BOUND)?),
        };
        // The decoder wants room for what the text could decode to at most.
        let mut bytes = Zeroizing::new([0; TIME_BYTES + RANDOM_BYTES + 2]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
        let issued = *bytes.first_chunk()?;
        let text = Zeroizing::new(text.to_owned());
        (length == TIME_BYTES + RANDOM_BYTES).then_some(Self { text, issued, bearer_of })
    }

    /// Of a bearer token, the tenant whose it is: there may be no certificate that says so.
    pub(crate) fn bearer_of(&self) -> Option<&TenantId> {
        self.bearer_of.as_ref()
    }

    /// The text that the holder sends.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The last part of the record's key. It begins with the accessor.
    pub(crate) fn record_name(&self) -> String {
        let hash = digest(&SHA256, self.text.as_bytes());
        format!("{}-{}", hex::encode(self.issued), hex::encode(hash))
    }

    /// Names the token where it must not stand itself: enough of the record's key to find it, and of no use
    /// to find the token.
    pub(crate) fn accessor(&self) -> String {
        let mut name = self.record_name();
        name.truncate(ACCESSOR);
        name
    }
}

/// The accessor of the token whose record has this name.
pub(crate) fn accessor_of(record_name: &str) -> Option<String> {
    record_name.get(..ACCESSOR).filter(|text| leads_to_record(text)).map(str::to_owned)
}

/// The second since 1970 at which the token was issued whose record has this name.
pub(super) fn issued_of(record_name: &str) -> Option<u64> {
    let (time, _) =
        record_name.get(..ACCESSOR).filter(|text| leads_to_record(text))?.split_once('-')?;
    u64::from_str_radix(time, 16).ok().map(|millis| millis / 1000)
}

/// Whether records are found by this accessor. Those of tokens of earlier releases were random.
pub(crate) fn leads_to_record(accessor: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    accessor.split_once('-').is_some_and(|(time, hash)| {
        time.len() == TIME_BYTES * 2
            && hash.len() == ACCESSOR_DIGITS
            && is_hex(time)
            && is_hex(hash)
    })
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
        let one = TokenSecret::generate(at(1), None).unwrap();
        let other = TokenSecret::generate(at(1), None).unwrap();
        assert_ne!(one.expose(), other.expose());
        assert_eq!(TokenSecret::parse(one.expose()), Some(one.clone()));
        assert_eq!(format!("{one:?}"), "TokenSecret(..)");
    }

    #[test]
    fn records_stand_in_the_order_of_issue_and_do_not_contain_the_token() {
        let early = TokenSecret::generate(at(1), None).unwrap();
        let late = TokenSecret::generate(at(1_000_000), None).unwrap();
        assert!(early.record_name() < late.record_name());
        assert_eq!(issued_of(&late.record_name()), Some(1_000_000));
        assert_eq!(issued_of("0123456789abcdef"), None);
        let random = early.expose().strip_prefix("chs.").unwrap().split_at(8).1;
        assert!(!early.record_name().contains(random));
    }

    #[test]
    fn a_bearer_token_says_whose_it_is_and_is_another_than_the_bound_one() {
        let tenant: TenantId = "acme-2".parse().unwrap();
        let token = TokenSecret::generate(at(1), Some(&tenant)).unwrap();
        assert!(token.expose().starts_with("chb.acme-2."));
        assert_eq!(TokenSecret::parse(token.expose()), Some(token.clone()));
        assert_eq!(token.bearer_of(), Some(&tenant));
        let renamed = token.expose().replace("acme-2", "acme-3");
        assert_ne!(TokenSecret::parse(&renamed).unwrap().record_name(), token.record_name());
        let bound = format!("chs.{}", token.expose().rsplit('.').next().unwrap());
        let bound = TokenSecret::parse(&bound).unwrap();
        assert_eq!(bound.bearer_of(), None);
        assert_ne!(bound.record_name(), token.record_name());
        for bad in ["chb.AAAA", "chb..AAAA", "chb.Acme.", "chb.acme-2.", "chb.acme-2.AAAA"] {
            assert!(TokenSecret::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_accessor_is_the_beginning_of_the_record_s_name() {
        let token = TokenSecret::generate(at(1), None).unwrap();
        let accessor = token.accessor();
        assert!(token.record_name().starts_with(&accessor) && leads_to_record(&accessor));
        assert!(!token.expose().contains(&accessor));
        for other in ["", "-", "nope", "0123456789abcdef0123456789abcdef", &accessor[1..]] {
            assert!(!leads_to_record(other), "{other}");
        }
        assert!(!leads_to_record(&accessor.to_uppercase().replace('-', "/")));
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let good = TokenSecret::generate(at(1), None).unwrap();
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
