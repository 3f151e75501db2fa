//! Identifiers of ACME resources: time-ordered UUIDs (version 7, RFC 9562 §5.7), written as 32
//! lower-case hexadecimal digits in URLs and storage keys. They are names, not secrets: every
//! request is signed.

use std::marker::PhantomData;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of one kind of resource.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String", bound = "")]
pub struct Id<Kind> {
    uuid: Uuid,
    kind: PhantomData<fn() -> Kind>,
}

/// Names an account.
pub type AccountId = Id<kind::Account>;
/// Names an order.
pub type OrderId = Id<kind::Order>;
/// Names an authorization; its challenges are named by it and their type.
pub type AuthorizationId = Id<kind::Authorization>;

/// What an [`Id`] can name.
pub mod kind {
    /// Accounts.
    #[derive(Debug)]
    pub enum Account {}
    /// Orders.
    #[derive(Debug)]
    pub enum Order {}
    /// Authorizations.
    #[derive(Debug)]
    pub enum Authorization {}
}

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 32 lower-case hexadecimal digits")]
pub struct InvalidId;

impl<Kind> Id<Kind> {
    /// A fresh id that sorts after those of earlier milliseconds.
    pub fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
        Self { uuid: Uuid::new_v7(time), kind: PhantomData }
    }

    /// The smallest id of the given time: a bound for scans, not a name.
    pub fn first_of(time: Timestamp) -> Self {
        let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
        Self { uuid, kind: PhantomData }
    }
}

impl<Kind> std::fmt::Display for Id<Kind> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uuid.simple().fmt(f)
    }
}

impl<Kind> std::fmt::Debug for Id<Kind> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uuid.simple().fmt(f)
    }
}

impl<Kind> FromStr for Id<Kind> {
    type Err = InvalidId;

    /// Only the one spelling that [`Display`](std::fmt::Display) writes, so that a resource has one
    /// URL.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let own = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(own) {
            return Err(InvalidId);
        }
        let uuid = Uuid::try_parse(text).map_err(|_| InvalidId)?;
        Ok(Self { uuid, kind: PhantomData })
    }
}

impl<Kind> TryFrom<String> for Id<Kind> {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl<Kind> From<Id<Kind>> for String {
    fn from(id: Id<Kind>) -> Self {
        id.to_string()
    }
}

impl<Kind> Clone for Id<Kind> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Kind> Copy for Id<Kind> {}
impl<Kind> PartialEq for Id<Kind> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<Kind> Eq for Id<Kind> {}
impl<Kind> PartialOrd for Id<Kind> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<Kind> Ord for Id<Kind> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<Kind> std::hash::Hash for Id<Kind> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_time_and_has_one_spelling() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (early, late) = (OrderId::new(at(1_000)), OrderId::new(at(2_000)));
        assert!(early.to_string() < late.to_string());
        assert!(OrderId::first_of(at(1_000)) <= early && early < OrderId::first_of(at(1_001)));
        assert_eq!(early.to_string().parse(), Ok(early));
        let upper = early.to_string().to_uppercase();
        let hyphens = early.uuid.to_string();
        for bad in ["", "..", "x", &upper, &hyphens, &format!("{early}0")] {
            assert_eq!(bad.parse::<OrderId>(), Err(InvalidId), "{bad}");
        }
    }
}
