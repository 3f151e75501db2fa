//! How many handshakes one client address may begin in a second: each costs the gateway more than the client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chancery_identity::client_network;
use ipnet::IpNet;
use tokio::time::Instant;

/// After this long without a handshake, an address may begin at once all handshakes of that time.
const BURST: Duration = Duration::from_secs(5);

/// How long a handshake may wait for its time. If it would have to wait longer, the connection is refused.
const WAIT: Duration = Duration::from_secs(5);

/// For how many addresses the time of the next handshake is kept. Further addresses have no rate limit, but
/// all other limits.
const ADDRESSES: usize = 16 * 1024;

/// The rate of handshakes of each address.
#[derive(Debug)]
pub(super) struct Handshakes {
    interval: Duration,
    /// When all begun and waiting handshakes of an address will have had their time.
    until: Mutex<HashMap<IpNet, Instant>>,
}

impl Handshakes {
    pub(super) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), until: Mutex::default() }
    }

    /// When the next handshake of an address may begin; none if the wait is too long.
    pub(super) fn next(&self, address: IpAddr, now: Instant) -> Option<Instant> {
        let client = client_network(address);
        // Nothing panics while it is held, and each change is complete by itself.
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES && !all.contains_key(&client) {
            all.retain(|_, until| *until > now);
            if all.len() >= ADDRESSES {
                return Some(now);
            }
        }
        let until = all.entry(client).or_insert(now);
        let next = (*until).max(now) + self.interval;
        let wait = next.saturating_duration_since(now).saturating_sub(BURST);
        (wait <= WAIT).then(|| {
            *until = next;
            now + wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_rate_a_burst_and_some_that_wait() {
        let handshakes = Handshakes::new(10);
        let [first, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let now = Instant::now();
        for _ in 0..50 {
            assert_eq!(handshakes.next(first, now), Some(now));
        }
        for tenths in 1..=50 {
            let at = now + tenths * Duration::from_millis(100);
            assert_eq!(handshakes.next(first, now), Some(at));
        }
        assert_eq!(handshakes.next(first, now), None);
        assert_eq!(handshakes.next(other, now), Some(now), "another address has its own");
        let later = now + Duration::from_secs(1);
        let next = (0..20).filter_map(|_| handshakes.next(first, later)).count();
        assert_eq!(next, 10);
        let much_later = now + Duration::from_mins(1);
        assert_eq!(handshakes.next(first, much_later), Some(much_later));
    }

    #[test]
    fn so_many_addresses_are_known_and_no_more() {
        let handshakes = Handshakes::new(1);
        let now = Instant::now();
        let count = || handshakes.until.lock().unwrap().len();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..u32::try_from(ADDRESSES).unwrap() + 10 {
            assert_eq!(handshakes.next(address(number), now), Some(now));
        }
        assert_eq!(count(), ADDRESSES);
        let later = now + Duration::from_secs(2);
        assert_eq!(handshakes.next(address(u32::MAX), later), Some(later));
        assert_eq!(count(), 1, "the others have had their time");
    }
}
