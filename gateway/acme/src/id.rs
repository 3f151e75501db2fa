//! Identifiers of ACME resources: time-ordered UUIDs (version 7, RFC 9562 §5.7), written as 32
//! lower-case hexadecimal digits in URLs and storage keys. An authorization has the id of its order and
//! four digits for its place in it, so that no index has to lead from one to the other. They are names,
//! not secrets: every request is signed.

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

/// What an [`Id`] can name.
pub mod kind {
    /// Accounts.
    #[derive(Debug)]
    pub enum Account {}
    /// Orders.
    #[derive(Debug)]
    pub enum Order {}
}

/// Names an authorization; its challenges are named by it and their type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AuthorizationId {
    /// That of a name of an order.
    Of {
        /// The order.
        order: OrderId,
        /// The name's place in it, from 0.
        place: u16,
    },
    /// One of an earlier version of the gateway, which had ids of their own.
    Own(Uuid),
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

    /// The id's random part: a number that nobody chose.
    pub(crate) fn lottery(&self) -> u64 {
        self.uuid.as_u64_pair().1
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
        Ok(Self { uuid: uuid(text)?, kind: PhantomData })
    }
}

/// 32 lower-case hexadecimal digits.
fn uuid(text: &str) -> Result<Uuid, InvalidId> {
    if text.len() != 32 || !text.bytes().all(is_digit) {
        return Err(InvalidId);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

impl std::fmt::Display for AuthorizationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Of { order, place } => write!(f, "{order}{place:04x}"),
            Self::Own(uuid) => uuid.simple().fmt(f),
        }
    }
}

impl std::fmt::Debug for AuthorizationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl FromStr for AuthorizationId {
    type Err = InvalidId;

    /// Only the one spelling, as of the other ids.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_at_checked(32) {
            Some((own, "")) => Ok(Self::Own(uuid(own)?)),
            Some((order, place)) if place.len() == 4 && place.bytes().all(is_digit) => {
                let place = u16::from_str_radix(place, 16).map_err(|_| InvalidId)?;
                Ok(Self::Of { order: order.parse()?, place })
            }
            _ => Err(InvalidId),
        }
    }
}

impl TryFrom<String> for AuthorizationId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<AuthorizationId> for String {
    fn from(id: AuthorizationId) -> Self {
        id.to_string()
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

    #[test]
    fn an_authorization_is_named_by_its_order_and_place_or_as_it_was_before() {
        let order = OrderId::new(Timestamp::from_second(1_000).unwrap());
        let id = AuthorizationId::Of { order, place: 99 };
        assert_eq!(id.to_string(), format!("{order}0063"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(order.to_string().parse(), Ok(AuthorizationId::Own(order.uuid)));
        for bad in [
            String::new(),
            format!("{order}0"),
            format!("{order}006"),
            format!("{order}+063"),
            format!("{order}006A"),
            format!("{order}00063"),
            "ä".repeat(16),
            format!("{}ä", "0".repeat(31)),
        ] {
            assert_eq!(bad.parse::<AuthorizationId>(), Err(InvalidId), "{bad}");
        }
    }
}
