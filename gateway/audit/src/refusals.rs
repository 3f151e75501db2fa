//! How many lines one client's refused requests have: callers must not decide how long the log is either.
//!
//! This is for requests that anybody can send without end and that come to nothing before an operation begins, and for
//! nothing that was allowed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chancery_identity::{Fingerprint, Identity, RequestContext, Sender, client_network};
use ipnet::IpNet;
use jiff::Timestamp;

/// How many lines a client has in an [`HOUR`] that is known by nothing but its address.
const MOST_OF_NETWORK: u32 = 100;
/// How many one has that is known by a certificate or a bearer token.
const MOST_OF_KNOWN: u32 = 1000;
/// The time in which they are counted.
const HOUR: Duration = Duration::from_hours(1);
/// How many clients are counted at once, of each kind; with more, the lines of new ones are left out.
const CLIENTS: usize = 4096;

/// What clients have had lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Apart from the others, since anybody can come from many networks.
    networks: Mutex<Counts<IpNet>>,
    known: Mutex<Counts<Known>>,
}

/// Who is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Known {
    /// By a certificate or a token.
    Identity(Identity),
    /// By a certificate that names nobody, or does not count.
    Certificate(Fingerprint),
}

/// The lines of clients of one kind.
#[derive(Debug)]
struct Counts<C>(HashMap<C, Count>);

#[derive(Debug)]
struct Count {
    until: Timestamp,
    lines: u32,
    /// Refused since the last line.
    left_out: u64,
}

impl Refusals {
    /// Whether the client has room for one more line, and how many had none since the last.
    pub(crate) fn one_more(&self, context: &RequestContext, now: Timestamp) -> Option<u64> {
        if let Some(known) = Known::of(context) {
            let mut counts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            return counts.one_more(known, MOST_OF_KNOWN, now);
        }
        let client = client_network(context.address?);
        let mut counts = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        counts.one_more(client, MOST_OF_NETWORK, now)
    }
}

impl Known {
    fn of(context: &RequestContext) -> Option<Self> {
        if let Some(evidence) = &context.evidence {
            let identity = evidence.check().ok().and_then(|shown| shown.identity.as_ref().ok());
            let certificate = || Self::Certificate(evidence.fingerprint());
            return Some(identity.cloned().map_or_else(certificate, Self::Identity));
        }
        match context.trail.sender() {
            Some(Sender::Bearer { identity, .. }) => Some(Self::Identity(identity.clone())),
            // Accounts cost nothing.
            Some(Sender::Account(_)) | None => None,
        }
    }
}

impl<C: Eq + Hash> Counts<C> {
    fn one_more(&mut self, client: C, most: u32, now: Timestamp) -> Option<u64> {
        let Self(counts) = self;
        if counts.len() >= CLIENTS && !counts.contains_key(&client) {
            counts.retain(|_, count| count.until > now);
            if counts.len() >= CLIENTS {
                return None;
            }
        }
        let fresh = || Count { until: now + HOUR, lines: 0, left_out: 0 };
        let count = counts.entry(client).or_insert_with(fresh);
        if count.until <= now {
            (count.until, count.lines) = (now + HOUR, 0);
        }
        if count.lines >= most {
            count.left_out = count.left_out.saturating_add(1);
            return None;
        }
        count.lines = count.lines.saturating_add(1);
        Some(std::mem::take(&mut count.left_out))
    }
}

impl<C> Default for Counts<C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use chancery_identity::TenantId;
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn from(address: &str) -> RequestContext {
        let mut context = RequestContext::internal(TenantId::default_tenant(), START);
        context.address = Some(address.parse().unwrap());
        context
    }

    #[test]
    fn a_client_has_so_many_lines_and_the_next_tells_what_was_left_out() {
        let refusals = Refusals::default();
        let client = from("2001:db8::1");
        for _ in 0..MOST_OF_NETWORK {
            assert_eq!(refusals.one_more(&client, START), Some(0));
        }
        assert_eq!(refusals.one_more(&client, START), None);
        assert_eq!(refusals.one_more(&from("2001:db8::2"), START), None, "of one network");
        assert_eq!(refusals.one_more(&from("192.0.2.1"), START), Some(0));
        assert_eq!(refusals.one_more(&client, START + HOUR), Some(2));
        assert_eq!(refusals.one_more(&client, START + HOUR), Some(0));
    }

    #[test]
    fn who_is_known_has_lines_of_their_own_from_wherever_they_ask() {
        let refusals = Refusals::default();
        let bearer = |address: &str| {
            let context = from(address);
            let name = "spiffe://test/app".parse().unwrap();
            let name = chancery_identity::IdentityName::Spiffe(name);
            let identity = Identity { tenant: TenantId::default_tenant(), name };
            context.trail.name(|| Sender::Bearer { identity, accessor: "a".to_owned() });
            context
        };
        for _ in 0..=MOST_OF_NETWORK {
            let _ = refusals.one_more(&from("192.0.2.1"), START);
        }
        assert_eq!(refusals.one_more(&from("192.0.2.1"), START), None);
        for number in 0..MOST_OF_KNOWN {
            let address = std::net::Ipv4Addr::from(number).to_string();
            assert_eq!(refusals.one_more(&bearer(&address), START), Some(0));
        }
        assert_eq!(refusals.one_more(&bearer("192.0.2.2"), START), None);
        assert_eq!(refusals.one_more(&from("192.0.2.2"), START), Some(0));
    }

    #[test]
    fn clients_are_counted_within_a_bound() {
        let refusals = Refusals::default();
        let mut context = from("192.0.2.1");
        for number in 0..=u32::try_from(CLIENTS).unwrap() {
            context.address = Some(std::net::Ipv4Addr::from(number).into());
            let has_room = refusals.one_more(&context, START).is_some();
            assert_eq!(has_room, number < u32::try_from(CLIENTS).unwrap());
        }
        assert_eq!(refusals.one_more(&context, START + HOUR), Some(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn every_refusal_has_a_line_or_is_counted_in_a_later_one(
            asked in proptest::collection::vec((0..3_u8, 0..900_u32), 0..400),
        ) {
            let mut counts = Counts::default();
            let (mut now, mut lines) = (START, HashMap::<u8, Vec<(Timestamp, u64)>>::new());
            for (client, later) in &asked {
                now += Duration::from_secs(u64::from(*later));
                if let Some(left_out) = counts.one_more(*client, 5, now) {
                    lines.entry(*client).or_default().push((now, left_out));
                }
            }
            for (client, lines) in &lines {
                let all = asked.iter().filter(|(one, _)| one == client).count() as u64;
                let told: u64 = lines.iter().map(|(_, left_out)| left_out + 1).sum();
                prop_assert_eq!(told + counts.0[client].left_out, all);
                // Two hours may touch each other.
                let crowded = lines.windows(11).any(|some| some[10].0 < some[0].0 + HOUR);
                prop_assert!(!crowded, "{:?}", lines);
            }
        }
    }
}
