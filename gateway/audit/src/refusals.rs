//! How many lines one client's refused requests have: callers must not decide how long the log is either.
//!
//! This is for requests that anybody can send without end and that come to nothing before an operation begins, and for
//! nothing that was allowed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// What clients have had lately. Each kind has a table of its own, which the others cannot fill: anybody with an IPv6
/// network can come from many, and only certificates and tokens of this installation make clients known.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    ipv4: Mutex<Counts<IpNet>>,
    ipv6: Mutex<Counts<IpNet>>,
    known: Mutex<Counts<Known>>,
    /// How many had no line that no line of their own client will tell of.
    of_others: AtomicU64,
}

/// How many had no line, as the next one tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Of the same client, since its last line.
    pub(crate) own: u64,
    /// Of clients that are not counted any more, or never were, since the last line of anybody.
    pub(crate) of_others: u64,
}

/// Who is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Known {
    /// By a certificate or a token.
    Identity(Identity),
    /// By a certificate that names nobody, or does not count any more.
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

/// What becomes of a refusal.
#[derive(Debug, Default)]
struct Turn {
    /// How many of the client had no line since its last, if it has room for one more.
    line: Option<u64>,
    /// How many the client, or those that are forgotten now, cannot tell of.
    untold: u64,
}

impl Refusals {
    /// Whether the client has room for one more line, and how many had none.
    pub(crate) fn one_more(&self, context: &RequestContext, now: Timestamp) -> Option<LeftOut> {
        let turn = if let Some(known) = Known::of(context) {
            take_turn(&self.known, known, MOST_OF_KNOWN, now)
        } else {
            match context.address.map(client_network) {
                Some(client @ IpNet::V4(_)) => take_turn(&self.ipv4, client, MOST_OF_NETWORK, now),
                Some(client @ IpNet::V6(_)) => take_turn(&self.ipv6, client, MOST_OF_NETWORK, now),
                None => Turn { line: None, untold: 1 },
            }
        };
        self.add(turn.untold);
        let own = turn.line?;
        Some(LeftOut { own, of_others: self.of_others.swap(0, Ordering::Relaxed) })
    }

    /// The line that was to tell of these could not be written.
    pub(crate) fn untold(&self, LeftOut { own, of_others }: LeftOut) {
        self.add(own.saturating_add(of_others));
    }

    fn add(&self, count: u64) {
        if count > 0 {
            self.of_others.fetch_add(count, Ordering::Relaxed);
        }
    }
}

fn take_turn<C: Eq + Hash>(
    counts: &Mutex<Counts<C>>,
    client: C,
    most: u32,
    now: Timestamp,
) -> Turn {
    counts.lock().unwrap_or_else(PoisonError::into_inner).one_more(client, most, now)
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
    fn one_more(&mut self, client: C, most: u32, now: Timestamp) -> Turn {
        let untold = match self.make_room(&client, now) {
            Ok(forgotten) => forgotten,
            Err(forgotten) => return Turn { line: None, untold: forgotten.saturating_add(1) },
        };
        let fresh = || Count { until: now + HOUR, lines: 0, left_out: 0 };
        let count = self.0.entry(client).or_insert_with(fresh);
        if count.until <= now {
            (count.until, count.lines) = (now + HOUR, 0);
        }
        if count.lines >= most {
            count.left_out = count.left_out.saturating_add(1);
            return Turn { line: None, untold };
        }
        count.lines = count.lines.saturating_add(1);
        Turn { line: Some(std::mem::take(&mut count.left_out)), untold }
    }

    /// Forgets those whose hour is over if there is no room for this client otherwise. Says how many had no line that
    /// the forgotten ones would have told of; it is an error if there is no room still.
    fn make_room(&mut self, client: &C, now: Timestamp) -> Result<u64, u64> {
        let Self(counts) = self;
        if counts.len() < CLIENTS || counts.contains_key(client) {
            return Ok(0);
        }
        let mut forgotten = 0_u64;
        counts.retain(|_, count| {
            let stays = count.until > now;
            if !stays {
                forgotten = forgotten.saturating_add(count.left_out);
            }
            stays
        });
        if counts.len() < CLIENTS { Ok(forgotten) } else { Err(forgotten) }
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

    fn own(own: u64) -> LeftOut {
        LeftOut { own, of_others: 0 }
    }

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
            assert_eq!(refusals.one_more(&client, START), Some(own(0)));
        }
        assert_eq!(refusals.one_more(&client, START), None);
        assert_eq!(refusals.one_more(&from("2001:db8::2"), START), None, "of one network");
        assert_eq!(refusals.one_more(&from("192.0.2.1"), START), Some(own(0)));
        assert_eq!(refusals.one_more(&client, START + HOUR), Some(own(2)));
        assert_eq!(refusals.one_more(&client, START + HOUR), Some(own(0)));
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
            assert_eq!(refusals.one_more(&bearer(&address), START), Some(own(0)));
        }
        assert_eq!(refusals.one_more(&bearer("192.0.2.2"), START), None);
        assert_eq!(refusals.one_more(&from("192.0.2.2"), START), Some(own(0)));
    }

    fn network(number: usize) -> RequestContext {
        from(&format!("2001:db8:{number:x}::1"))
    }

    #[test]
    fn strangers_that_fill_their_table_silence_nobody_of_another_kind() {
        let refusals = Refusals::default();
        for number in 0..CLIENTS {
            assert_eq!(refusals.one_more(&network(number), START), Some(own(0)));
        }
        for more in 0..3 {
            assert_eq!(refusals.one_more(&network(CLIENTS + more), START), None);
        }
        let all = Some(LeftOut { own: 0, of_others: 3 });
        assert_eq!(refusals.one_more(&from("192.0.2.1"), START), all, "the next line tells");
        assert_eq!(refusals.one_more(&from("192.0.2.1"), START), Some(own(0)));
        assert_eq!(refusals.one_more(&network(CLIENTS), START + HOUR), Some(own(0)));
    }

    #[test]
    fn what_no_line_of_its_client_tells_of_the_next_line_of_another_does() {
        let refusals = Refusals::default();
        let client = network(0);
        for _ in 0..MOST_OF_NETWORK + 5 {
            let _ = refusals.one_more(&client, START);
        }
        let nowhere = RequestContext { address: None, ..client };
        assert_eq!(refusals.one_more(&nowhere, START), None);
        for number in 1..CLIENTS {
            let left_out = LeftOut { own: 0, of_others: u64::from(number == 1) };
            assert_eq!(refusals.one_more(&network(number), START), Some(left_out));
        }
        // The others are forgotten, and the first with five that had none.
        let left_out = LeftOut { own: 0, of_others: 5 };
        assert_eq!(refusals.one_more(&network(CLIENTS), START + HOUR), Some(left_out));
        refusals.untold(left_out);
        assert_eq!(refusals.one_more(&network(CLIENTS), START + HOUR), Some(left_out));
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
                if let Some(left_out) = counts.one_more(*client, 5, now).line {
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
