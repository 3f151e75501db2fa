//! Handshakes at reserved places, for clients that are not known yet.
//!
//! When strangers have all their places, a client that shows its certificate for the first time would find
//! none, although the reserved places are free. So a newcomer may do its handshake at a reserved place,
//! within half of the reserve: known clients need the rest. An attacker with many addresses can take these
//! places as well, but not for long: an address has a trial once in a while, a network has a part of the
//! places, and a handshake that takes long makes room for the next.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use super::recently::Recently;

/// How long an address waits between trials, unless one of its clients is known by then; and how many
/// addresses are remembered for that. The time is shorter than a newcomer waits for a place, so strangers
/// behind the same address do not keep out a client with a certificate.
const BETWEEN: (Duration, usize) = (Duration::from_secs(5), 4096);

/// A trial that has taken this long makes room for another one.
const LONG: Duration = Duration::from_secs(1);

/// A network has at most one part in this many.
const PARTS: usize = 4;

/// The trials that are under way at a port.
#[derive(Debug)]
pub(super) struct Trials {
    most: usize,
    of_network: usize,
    under_way: HashMap<u64, Trial>,
    oldest_first: BTreeSet<(Instant, u64)>,
    networks: HashMap<IpNet, usize>,
    had: Recently,
}

#[derive(Debug)]
struct Trial {
    since: Instant,
    network: IpNet,
}

/// Whether a client may have a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    Yes,
    /// In place of this connection.
    InPlaceOf(u64),
    No,
}

impl Trials {
    /// For a port with this many reserved places.
    pub(super) fn within(reserve: usize) -> Self {
        let most = reserve / 2;
        Self {
            most,
            of_network: most.div_ceil(PARTS),
            under_way: HashMap::new(),
            oldest_first: BTreeSet::new(),
            networks: HashMap::new(),
            had: Recently::new(BETWEEN.0, BETWEEN.1),
        }
    }

    /// Whether a client may have a trial now. `full` says that the port has no free place.
    pub(super) fn admit(&self, client: IpNet, full: bool, now: Instant) -> Admitted {
        let of_network = self.networks.get(&network(client)).copied().unwrap_or(0);
        if of_network >= self.of_network || self.had.contains(client, now) {
            return Admitted::No;
        }
        if !full && self.under_way.len() < self.most {
            return Admitted::Yes;
        }
        match self.oldest_first.first() {
            Some((since, number)) if now.saturating_duration_since(*since) >= LONG => {
                Admitted::InPlaceOf(*number)
            }
            _ => Admitted::No,
        }
    }

    pub(super) fn begin(&mut self, number: u64, client: IpNet, now: Instant) {
        self.end(number);
        let network = network(client);
        *self.networks.entry(network).or_default() += 1;
        self.oldest_first.insert((now, number));
        self.under_way.insert(number, Trial { since: now, network });
        self.had.remember(client, now);
    }

    /// Ends the trial of this connection, if it had one.
    pub(super) fn end(&mut self, number: u64) {
        let Some(trial) = self.under_way.remove(&number) else { return };
        self.oldest_first.remove(&(trial.since, number));
        if let Some(count) = self.networks.get_mut(&trial.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.networks.remove(&trial.network);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.oldest_first.is_empty() && self.networks.is_empty()
    }
}

/// A network that usually has one owner: an IPv4 network (/24) or an IPv6 site (/48, RFC 6177).
fn network(client: IpNet) -> IpNet {
    let address = client.addr();
    let prefix = match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 48,
    };
    IpNet::new(address, prefix).map_or(client, |network| network.trunc())
}

#[cfg(test)]
mod tests {
    use chancery_identity::client_network;

    use super::*;

    fn client(address: &str) -> IpNet {
        client_network(address.parse().unwrap())
    }

    #[test]
    fn half_of_the_reserve_is_for_trials_and_the_oldest_makes_room() {
        let mut trials = Trials::within(5);
        let now = Instant::now();
        assert_eq!(trials.admit(client("192.0.2.1"), false, now), Admitted::Yes);
        trials.begin(7, client("192.0.2.1"), now);
        trials.begin(6, client("198.51.100.1"), now + LONG / 2);
        let next = client("203.0.113.1");
        assert_eq!(trials.admit(next, false, now + LONG / 2), Admitted::No);
        assert_eq!(trials.admit(next, false, now + LONG), Admitted::InPlaceOf(7));
        trials.end(7);
        assert_eq!(trials.admit(next, false, now), Admitted::Yes);
        assert_eq!(trials.admit(next, true, now + LONG), Admitted::No, "no place is free");
        assert_eq!(trials.admit(next, true, now + 2 * LONG), Admitted::InPlaceOf(6));
        trials.end(6);
        trials.end(6);
        assert!(trials.is_empty());
    }

    #[test]
    fn an_address_tries_once_in_a_while() {
        let mut trials = Trials::within(100);
        let now = Instant::now();
        for address in ["192.0.2.1", "2001:db8::1"] {
            trials.begin(1, client(address), now);
            trials.end(1);
            assert_eq!(trials.admit(client(address), false, now + LONG), Admitted::No);
            let later = now + BETWEEN.0;
            assert_eq!(trials.admit(client(address), false, later), Admitted::Yes);
        }
    }

    #[test]
    fn a_network_has_a_part() {
        let mut trials = Trials::within(16);
        let now = Instant::now();
        for (number, (address, admitted)) in [
            ("192.0.2.1", Admitted::Yes),
            ("192.0.2.2", Admitted::Yes),
            ("192.0.2.3", Admitted::No),
            ("192.0.3.3", Admitted::Yes),
            ("2001:db8::1", Admitted::Yes),
            ("2001:db8:0:1::1", Admitted::Yes),
            ("2001:db8:0:ffff::1", Admitted::No),
            ("2001:db8:1::1", Admitted::Yes),
        ]
        .into_iter()
        .enumerate()
        {
            let client = client(address);
            assert_eq!(trials.admit(client, false, now), admitted, "{address}");
            if admitted == Admitted::Yes {
                trials.begin(number as u64, client, now);
            }
        }
    }

    #[test]
    fn a_port_without_a_reserve_has_no_trials() {
        let client = client("192.0.2.1");
        assert_eq!(Trials::within(0).admit(client, false, Instant::now()), Admitted::No);
        assert_eq!(Trials::within(1).admit(client, false, Instant::now()), Admitted::No);
    }
}
