//! Clients of which something is remembered for a time.

use std::collections::HashMap;
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

/// A bounded number of clients, each until a time. When there are too many, the one goes that would go first.
#[derive(Debug)]
pub(super) struct Recently {
    lasts: Duration,
    most: usize,
    until: HashMap<IpNet, Instant>,
}

impl Recently {
    pub(super) fn new(lasts: Duration, most: usize) -> Self {
        Self { lasts, most, until: HashMap::new() }
    }

    pub(super) fn remember(&mut self, client: IpNet, now: Instant) {
        if self.until.len() >= self.most && !self.until.contains_key(&client) {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= self.most && !self.until.contains_key(&client) {
            let first = self.until.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(client, _)| *client) {
                self.until.remove(&first);
            }
        }
        self.until.insert(client, now + self.lasts);
    }

    pub(super) fn contains(&self, client: IpNet, now: Instant) -> bool {
        self.until.get(&client).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_remembered_for_so_long() {
        let [a, b, c] =
            ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"].map(|text| text.parse().unwrap());
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let mut recently = Recently::new(10 * second, 2);
        recently.remember(a, now);
        recently.remember(b, now + second);
        assert!(recently.contains(a, now + 9 * second) && !recently.contains(a, now + 10 * second));
        recently.remember(a, now + 2 * second);
        recently.remember(c, now + 3 * second);
        let known = [a, b, c].map(|client| recently.contains(client, now + 4 * second));
        assert_eq!(known, [true, false, true], "the oldest has made room");
        recently.remember(b, now + 12 * second);
        let known = [a, b, c].map(|client| recently.contains(client, now + 12 * second));
        assert_eq!(known, [false, true, true], "what has ended makes room first");
    }
}
