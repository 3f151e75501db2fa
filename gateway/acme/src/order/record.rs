//! How an order is stored. What earlier versions of the gateway wrote can be read: the first kept its
//! authorizations apart, and a list of those that were valid; later ones kept apart those that were valid.

use std::collections::BTreeMap;

use chancery_records::Recorded;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::compact::{Name, Proved};
use super::state::{In, Invalid, Pending, Processing, Ready, Valid, Validated};
use super::{Authorizations, Facts, Order, PutOff, TokenKey};
use crate::authorization::Progress;
use crate::failure::Failure;
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;
use crate::quota::SeatName;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    status: Status,
    id: OrderId,
    account: AccountId,
    #[serde(default)]
    names: Vec<Name>,
    /// What version 0 has in the place of `names`.
    #[serde(default, skip_serializing)]
    identifiers: Vec<Identifier>,
    /// Of the challenges' tokens, if the authorizations are within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<TokenKey>,
    /// If they are apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    authorizations: Vec<AuthorizationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    created: Timestamp,
    expires: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seats: Vec<SeatName>,
    /// Of the names that are proved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proved: Vec<Proved>,
    /// By place, of the other names that are not open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    progress: BTreeMap<u16, Progress>,
    /// What the first versions had in the place of `progress`.
    #[serde(default, skip_serializing)]
    validated: Option<Earlier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    csr: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    put_off: Option<PutOff>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rejected: Option<Failure>,
}

/// Version 1 has names and proofs in short.
impl Recorded for Order {
    const VERSION: u8 = 1;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// Of a pending order by authorization, and a list of one that was not.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Earlier {
    ById(BTreeMap<AuthorizationId, Validated>),
    List(Vec<Validated>),
}

impl Earlier {
    fn names(self) -> Vec<Validated> {
        match self {
            Self::ById(names) => names.into_values().collect(),
            Self::List(names) => names,
        }
    }
}

impl TryFrom<Record> for Order {
    type Error = &'static str;

    fn try_from(record: Record) -> Result<Self, Self::Error> {
        let mut identifiers = record.identifiers;
        identifiers.extend(record.names.into_iter().map(Identifier::from));
        let authorizations = match record.tokens {
            Some(key) => Authorizations::Within(key),
            None if record.authorizations.len() == identifiers.len() => {
                Authorizations::Apart(record.authorizations)
            }
            None => return Err("an order has an authorization for each name"),
        };
        let mut come_so_far = record.progress;
        for proved in &record.proved {
            come_so_far.extend([proved.progress()?]);
        }
        let validated = record.validated.map(Earlier::names).unwrap_or_default();
        let progress = (0..).zip(&identifiers).map(|(place, name)| {
            let apart = || validated.iter().find(|one| one.identifier == *name);
            come_so_far
                .remove(&place)
                .or_else(|| apart().map(|one| Progress::Apart(one.method)))
                .unwrap_or_default()
        });
        let progress = progress.collect();
        let facts = Facts {
            id: record.id,
            account: record.account,
            identifiers,
            authorizations,
            profile: record.profile,
            not_before: record.not_before,
            not_after: record.not_after,
            created: record.created,
            expires: record.expires,
            seats: record.seats,
        };
        Ok(match record.status {
            Status::Pending => Self::Pending(In { facts, progress, state: Pending }),
            Status::Ready => {
                let state = Ready { rejected: record.rejected };
                Self::Ready(In { facts, progress, state })
            }
            Status::Processing => {
                let csr = record.csr.ok_or("an order in processing has a CSR")?;
                // One of an earlier version is in no queue yet.
                let due = record.due.unwrap_or(facts.expires);
                let state = Processing { csr, put_off: record.put_off, due };
                Self::Processing(In { facts, progress, state })
            }
            Status::Valid => {
                let certificate = record.certificate.ok_or("a valid order has a certificate")?;
                Self::Valid(In { facts, progress, state: Valid { certificate } })
            }
            Status::Invalid => {
                let failure = record.failure.ok_or("an invalid order has a reason")?;
                Self::Invalid(In { facts, progress, state: Invalid { failure } })
            }
        })
    }
}

impl From<Order> for Record {
    fn from(order: Order) -> Self {
        match order {
            Order::Pending(order) => Self::of(Status::Pending, order).0,
            Order::Ready(order) => {
                let (record, Ready { rejected }) = Self::of(Status::Ready, order);
                Self { rejected, ..record }
            }
            Order::Processing(order) => {
                let (record, Processing { csr, put_off, due }) =
                    Self::of(Status::Processing, order);
                Self { csr: Some(csr), put_off, due: Some(due), ..record }
            }
            Order::Valid(order) => {
                let (record, Valid { certificate }) = Self::of(Status::Valid, order);
                Self { certificate: Some(certificate), ..record }
            }
            Order::Invalid(order) => {
                let (record, Invalid { failure }) = Self::of(Status::Invalid, order);
                Self { failure: Some(failure), ..record }
            }
        }
    }
}

impl Serialize for Order {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Record::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Record::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Record {
    fn of<S>(status: Status, order: In<S>) -> (Self, S) {
        let In { facts, progress, state } = order;
        let (tokens, authorizations) = match facts.authorizations {
            Authorizations::Within(key) => (Some(key), Vec::new()),
            Authorizations::Apart(ids) => (None, ids),
        };
        let (mut proved, mut others) = (Vec::new(), BTreeMap::new());
        for (place, one) in (0..).zip(progress) {
            match one {
                Progress::Open => {}
                Progress::Proved(proof) => proved.push(Proved::new(place, &proof)),
                other => drop(others.insert(place, other)),
            }
        }
        let record = Self {
            status,
            id: facts.id,
            account: facts.account,
            names: facts.identifiers.into_iter().map(Name::from).collect(),
            identifiers: Vec::new(),
            tokens,
            authorizations,
            profile: facts.profile,
            not_before: facts.not_before,
            not_after: facts.not_after,
            created: facts.created,
            expires: facts.expires,
            seats: facts.seats,
            proved,
            progress: others,
            validated: None,
            csr: None,
            put_off: None,
            due: None,
            certificate: None,
            failure: None,
            rejected: None,
        };
        (record, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorization::Authorization;
    use crate::challenge::ChallengeType;
    use crate::failure::FailureKind;
    use crate::order::state::tests::{facts, ready};

    #[test]
    fn every_state_survives_storage() {
        let failure = || Failure::new(FailureKind::Dns, "no");
        let two = facts(&["a.example", "*.b.example"]);
        let dns01 = Progress::Validating(ChallengeType::Dns01);
        let trying = Authorization::of(&two, 1, &dns01, None).unwrap();
        let Authorization::Validating(answered) = trying.clone() else { panic!("{trying:?}") };
        let failed = Authorization::Invalid(answered.refuted(failure()));
        let names = ["a.example", "b.example"];
        let valid = ready(&names);
        let valid = Authorization::of(valid.facts(), 1, &valid.progress[1], None).unwrap();
        let Authorization::Valid(valid) = valid else { panic!("{valid:?}") };
        let given_up = Authorization::Deactivated(valid.deactivate());
        let put_off = PutOff { until: Timestamp::UNIX_EPOCH, tries: 3 };
        for order in [
            Order::Pending(In::new(two.clone())),
            Order::Pending(In::new(two.clone())).authorized(1, &trying),
            Order::Pending(In::new(two)).authorized(1, &failed),
            Order::Ready(ready(&names)).authorized(1, &given_up),
            Order::Ready(ready(&names)),
            Order::Ready(
                ready(&names).finalize("AA".into(), Timestamp::UNIX_EPOCH).reject(failure()),
            ),
            Order::Processing(ready(&names).finalize("AA".into(), Timestamp::UNIX_EPOCH)),
            Order::Processing(
                ready(&names).finalize("AA".into(), Timestamp::UNIX_EPOCH).later(put_off),
            ),
            Order::Valid(
                ready(&names).finalize("AA".into(), Timestamp::UNIX_EPOCH).issued("01".into()),
            ),
            Order::Invalid(
                ready(&names).finalize("AA".into(), Timestamp::UNIX_EPOCH).fail(failure()),
            ),
        ] {
            let stored = order.to_bytes().unwrap();
            assert_eq!(Order::from_bytes(&stored).unwrap(), order);
        }
    }

    const ID: &str = "019c2a00000070008000000000000001";
    const FIRST: &str = "019c2a00000070008000000000000009";
    const SECOND: &str = "019c2a00000070008000000000000002";

    /// An order as the version before stored it.
    fn earlier(status: &str, more: &str) -> Order {
        let text = format!(
            r#"{{"status":"{status}","id":"{ID}","account":"{ID}","identifiers":[
            {{"type":"dns","value":"a.example"}},{{"type":"dns","value":"b.example"}}],
            "authorizations":["{FIRST}","{SECOND}"],"profile":"tls-server","not_before":null,
            "not_after":null,"created":"2026-03-01T12:00:00Z","expires":"2026-03-08T12:00:00Z",
            {more}}}"#
        );
        Order::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn orders_of_earlier_versions_can_be_read() {
        let validated = |name: &str, method: &str| {
            format!(
                r#"{{"identifier":{{"type":"dns","value":"{name}.example"}},"method":"{method}"}}"#
            )
        };
        let (a, b) = (validated("a", "http-01"), validated("b", "dns-01"));
        let pending = earlier("pending", &format!(r#""validated":{{"{SECOND}":{b}}}"#));
        assert_eq!(pending.progress(), [Progress::Open, Progress::Apart(ChallengeType::Dns01)]);
        assert_eq!(pending.facts().authorizations()[1], SECOND.parse().unwrap());
        assert_eq!(pending.facts().place_of(SECOND.parse().unwrap()), Some(1));
        // The list is in the order of the ids, and not of the names.
        let list = format!(r#""validated":[{b},{a}]"#);
        let proved =
            [Progress::Apart(ChallengeType::Http01), Progress::Apart(ChallengeType::Dns01)];
        assert_eq!(earlier("ready", &list).progress(), proved);
        let processing = earlier("processing", &format!(r#"{list},"csr":"AA""#));
        let Order::Processing(order) = &processing else { panic!("{processing:?}") };
        let names: Vec<_> = order.validated().map(|one| one.identifier.to_string()).collect();
        assert_eq!((order.csr(), names), ("AA", vec!["a.example".into(), "b.example".into()]));
        let valid = earlier("valid", r#""certificate":"01""#);
        assert_eq!(valid.status(), "valid");
        let invalid = earlier("invalid", r#""failure":{"kind":"dns","detail":"no"}"#);
        assert_eq!(invalid.status(), "invalid");
        for order in [pending, processing, valid, invalid] {
            let stored = order.to_bytes().unwrap();
            assert_eq!(Order::from_bytes(&stored).unwrap(), order);
        }
    }

    /// Version 0 had the names in objects, and apart how and when they were proved.
    #[test]
    fn version_0_can_be_read_and_is_written_in_short() {
        let text = format!(
            r#"{{"status":"ready","id":"{ID}","account":"{ID}","identifiers":[
            {{"type":"dns","value":"a.example"}},{{"type":"ip","value":"192.0.2.1"}}],
            "tokens":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","created":"2026-03-01T12:00:00Z",
            "expires":"2026-03-08T12:00:00Z",
            "progress":{{"0":{{"proved":"http-01"}},"1":{{"proved":"tls-alpn-01"}}}}}}"#
        );
        let order = Order::from_bytes(text.as_bytes()).unwrap();
        let apart = [ChallengeType::Http01, ChallengeType::TlsAlpn01].map(Progress::Apart);
        assert_eq!((order.status(), order.progress()), ("ready", &apart[..]));
        let names: Vec<_> =
            order.facts().identifiers.iter().map(|name| (name.kind(), name.value())).collect();
        assert_eq!(names, [("dns", "a.example".into()), ("ip", "192.0.2.1".into())]);
        let stored = order.to_bytes().unwrap();
        assert_eq!(stored[..2], [0xff, 1]);
        let stored = std::str::from_utf8(&stored[2..]).unwrap();
        assert!(stored.contains(r#""names":["a.example",{"ip":"192.0.2.1"}],"#), "{stored}");
    }

    #[test]
    fn a_record_that_lacks_something_is_refused() {
        for (status, more) in [("processing", ""), ("valid", ""), ("invalid", "")] {
            let text = format!(
                r#"{{"status":"{status}","id":"{ID}","account":"{ID}","identifiers":[],
                "created":"2026-03-01T12:00:00Z","expires":"2026-03-08T12:00:00Z"{more}}}"#
            );
            assert!(Order::from_bytes(text.as_bytes()).is_err(), "{status}");
        }
    }
}
