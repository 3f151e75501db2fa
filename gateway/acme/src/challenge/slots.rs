//! Who may validate next. Servers that never answer keep a validation busy for its whole time, and a
//! client that asks for many of those must not keep the others waiting.
//!
//! There is room for a fixed number of validations at once. An account may begin another one if it has
//! fewer under way than a third of the free room; a client's address or a target, if it has fewer than
//! three times the free room. So one account has at most a fourth of all validations, and one address or
//! target at most three fourths. However many accounts fill their part, some room stays free for an
//! account that has nothing under way. Of the validations that wait, the next is the one with the least
//! under way: first for its account, then for its target and address. Then the one that has waited
//! longest comes first.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chancery_identity::client_network;
use ipnet::IpNet;
use tokio::sync::oneshot;

use crate::identifier::Identifier;

/// The part of the free room that an account may have under way.
const ACCOUNT_PART: usize = 3;
/// How many times the free room an address or a target may have under way.
const SHARED_TIMES: usize = 3;
/// How many validations may wait, as a multiple of those that run at once; an account may have a
/// sixteenth of them waiting.
const LINE: usize = 16;

/// For whom a validation is, and what it contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    account: String,
    client: Option<IpNet>,
    target: String,
}

/// There was no turn: the line is full, or the time to wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many validations are under way")]
pub struct NoTurn;

/// How many validations may run at once, and who waits.
#[derive(Debug)]
pub(super) struct Slots {
    shared: Arc<Shared>,
    patience: Duration,
}

/// A validation that may run; over when dropped.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    whose: Whose,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    line: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    running: Counts,
    waiting: BTreeMap<u64, Waiter>,
    waiting_by_account: HashMap<String, usize>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    whose: Whose,
    turn: oneshot::Sender<Slot>,
}

/// How many validations are under way for each.
#[derive(Debug, Default)]
struct Counts {
    accounts: HashMap<String, usize>,
    clients: HashMap<IpNet, usize>,
    targets: HashMap<String, usize>,
}

/// A place in the line; dropping it gives it up.
struct Place<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl Whose {
    /// A validation for the account whose key has this thumbprint, requested by a client at this address
    /// (none after a restart). The target is the name's registered domain by the Public Suffix List, or
    /// the address.
    pub fn new(thumbprint: &str, client: Option<IpAddr>, identifier: &Identifier) -> Self {
        let target = match identifier.base() {
            Identifier::Dns(name) => {
                psl::domain_str(&name).map_or_else(|| name.clone(), ToOwned::to_owned)
            }
            Identifier::Ip(address) => address.to_string(),
        };
        Self { account: thumbprint.to_owned(), client: client.map(client_network), target }
    }
}

impl Slots {
    /// Room for `count` validations; a validation that finds none waits for at most `patience`.
    pub(super) fn new(count: usize, patience: Duration) -> Self {
        let count = count.max(1);
        let state = State {
            free: count,
            running: Counts::default(),
            waiting: BTreeMap::new(),
            waiting_by_account: HashMap::new(),
            next_ticket: 0,
        };
        let line = count.saturating_mul(LINE);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), line }), patience }
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, whose: &Whose) -> Result<Slot, NoTurn> {
        let (turn, place) = {
            let mut state = self.shared.lock();
            if state.may_run(whose) {
                return Ok(state.begin(&self.shared, whose));
            }
            let (sender, receiver) = oneshot::channel();
            let ticket = state.wait(whose, sender, self.shared.line)?;
            (receiver, Place { shared: &self.shared, ticket })
        };
        let slot = tokio::time::timeout(self.patience, turn).await;
        drop(place);
        // The line holds the sender as long as the place exists, so the sender is dropped only together
        // with the line.
        slot.map_err(|_| NoTurn)?.map_err(|_| NoTurn)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next validations begin. Hands out slots without the lock: a slot that nobody waits for
    /// any more is dropped, and that takes the lock.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (waiter, slot) = {
                let mut state = self.lock();
                let Some(waiter) = state.next() else { return };
                let slot = state.begin(self, &waiter.whose);
                (waiter, slot)
            };
            // If the waiter is gone, the slot is dropped here, and that lets the next one begin.
            let _ = waiter.turn.send(slot);
        }
    }
}

impl State {
    fn may_run(&self, whose: &Whose) -> bool {
        let Load { account, target, client } = self.running.of(whose);
        let shared = self.free.saturating_mul(SHARED_TIMES);
        self.free > 0
            && account < (self.free / ACCOUNT_PART).max(1)
            && target < shared
            && client < shared
    }

    fn begin(&mut self, shared: &Arc<Shared>, whose: &Whose) -> Slot {
        self.free = self.free.saturating_sub(1);
        self.running.add(whose);
        Slot { shared: Arc::clone(shared), whose: whose.clone() }
    }

    fn wait(
        &mut self,
        whose: &Whose,
        turn: oneshot::Sender<Slot>,
        line: usize,
    ) -> Result<u64, NoTurn> {
        let own = self.waiting_by_account.get(&whose.account).copied().unwrap_or_default();
        if self.waiting.len() >= line || own >= line.div_ceil(LINE) {
            return Err(NoTurn);
        }
        *self.waiting_by_account.entry(whose.account.clone()).or_default() += 1;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, Waiter { whose: whose.clone(), turn });
        Ok(ticket)
    }

    /// Takes the next waiter out of the line.
    fn next(&mut self) -> Option<Waiter> {
        if self.free == 0 {
            return None;
        }
        let may_run = self.waiting.iter().filter(|(_, waiter)| self.may_run(&waiter.whose));
        let first = may_run.min_by_key(|(ticket, one)| (self.running.of(&one.whose), **ticket));
        let ticket = first.map(|(ticket, _)| *ticket)?;
        self.leave(ticket)
    }

    fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiting.remove(&ticket)?;
        decrease(&mut self.waiting_by_account, &waiter.whose.account);
        Some(waiter)
    }
}

/// How much is under way, in the order of importance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    account: usize,
    target: usize,
    client: usize,
}

impl Counts {
    fn of(&self, whose: &Whose) -> Load {
        let client = whose.client.and_then(|client| self.clients.get(&client));
        Load {
            account: self.accounts.get(&whose.account).copied().unwrap_or_default(),
            target: self.targets.get(&whose.target).copied().unwrap_or_default(),
            client: client.copied().unwrap_or_default(),
        }
    }

    fn add(&mut self, whose: &Whose) {
        *self.accounts.entry(whose.account.clone()).or_default() += 1;
        *self.targets.entry(whose.target.clone()).or_default() += 1;
        if let Some(client) = whose.client {
            *self.clients.entry(client).or_default() += 1;
        }
    }

    fn remove(&mut self, whose: &Whose) {
        decrease(&mut self.accounts, &whose.account);
        decrease(&mut self.targets, &whose.target);
        if let Some(client) = &whose.client {
            decrease(&mut self.clients, client);
        }
    }
}

/// Subtracts one; removes what has none left.
fn decrease<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.free += 1;
            state.running.remove(&self.whose);
        }
        self.shared.hand_out();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // It is gone already if it had its turn. The sender is dropped without the lock.
        let gone = self.shared.lock().leave(self.ticket);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(account: &str, client: &str, name: &str) -> Whose {
        let identifier = Identifier::parse("dns", name).unwrap();
        Whose::new(account, Some(client.parse().unwrap()), &identifier)
    }

    /// For an address and a domain of its own.
    fn of(account: &str) -> Whose {
        let number = account.bytes().map(u32::from).sum::<u32>();
        let address = IpAddr::from(number.to_be_bytes());
        at(account, &address.to_string(), &format!("{account}.example"))
    }

    /// Takes slots until no more are free at once.
    fn fill(slots: &Slots, whose: &Whose) -> Vec<Slot> {
        let take = || slots.take(whose).now_or_never().and_then(Result::ok);
        std::iter::from_fn(take).collect()
    }

    #[tokio::test]
    async fn one_account_has_a_quarter_and_one_address_or_target_three() {
        let slots = Slots::new(256, PATIENCE);
        assert_eq!(fill(&slots, &of("a")).len(), 64);
        let mut held = Vec::new();
        for account in 0..100 {
            held.extend(fill(
                &slots,
                &at(&account.to_string(), "192.0.2.1", &format!("n{account}.example")),
            ));
        }
        assert_eq!(held.len(), 192, "one address");
        assert!(!fill(&slots, &of("a")).is_empty(), "another has room");
        held.clear();
        for account in 0..100 {
            let client = format!("192.0.2.{account}");
            held.extend(fill(
                &slots,
                &at(&account.to_string(), &client, &format!("n{account}.hang.example")),
            ));
        }
        assert_eq!(held.len(), 192, "one target");
    }

    #[tokio::test]
    async fn whoever_has_nothing_under_way_finds_room_beside_four_that_take_all_they_can() {
        let slots = Slots::new(256, PATIENCE);
        let mut held = Vec::new();
        for account in ["a", "b", "c", "d"] {
            let whose = at(account, "192.0.2.1", "hang.example");
            held.push(fill(&slots, &whose));
        }
        let honest = at("honest", "192.0.2.1", "hang.example");
        assert!(slots.take(&honest).now_or_never().is_some(), "not even the address is another");
    }

    #[tokio::test]
    async fn turns_go_to_those_with_the_least_under_way_and_then_in_order() {
        let slots = Slots::new(1, PATIENCE);
        let held = slots.take(&of("a")).await.unwrap();
        let (a, b, c) = (of("a"), of("b"), of("c"));
        let (mut first, mut second, mut third) =
            (Box::pin(slots.take(&a)), Box::pin(slots.take(&b)), Box::pin(slots.take(&c)));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(held);
        let next = (&mut first).now_or_never().unwrap().unwrap();
        assert!((&mut second).now_or_never().is_none());
        drop(next);
        let next = (&mut second).now_or_never().unwrap().unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(next);
        assert!((&mut third).now_or_never().is_some());
    }

    #[tokio::test]
    async fn an_account_that_waits_with_much_under_way_comes_after_one_that_has_none() {
        let slots = Slots::new(4, PATIENCE);
        let busy = of("busy");
        let others = [of("x"), of("y"), of("z")];
        let held = slots.take(&busy).await.unwrap();
        let mut kept = Vec::new();
        for other in &others {
            kept.push(slots.take(other).await.unwrap());
        }
        let (fresh, mut early) = (of("fresh"), Box::pin(slots.take(&busy)));
        assert!((&mut early).now_or_never().is_none());
        let mut late = Box::pin(slots.take(&fresh));
        assert!((&mut late).now_or_never().is_none());
        kept.pop();
        assert!((&mut early).now_or_never().is_none());
        assert!((&mut late).now_or_never().is_some());
        drop(held);
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let slots = Slots::new(1, Duration::ZERO);
        let held = slots.take(&of("a")).await.unwrap();
        assert_eq!(slots.take(&of("b")).await.unwrap_err(), NoTurn);
        drop(held);
        assert!(slots.take(&of("b")).await.is_ok());
    }

    #[tokio::test]
    async fn the_line_has_an_end_for_all_and_for_each_account() {
        let slots = Slots::new(1, PATIENCE);
        let held = slots.take(&of("a")).await.unwrap();
        let whose: Vec<_> = (0..=LINE).map(|number| of(&format!("n{number}"))).collect();
        let mut line: Vec<_> = whose.iter().map(|one| Box::pin(slots.take(one))).collect();
        let last = line.pop().unwrap();
        for place in &mut line {
            assert!(place.now_or_never().is_none());
        }
        assert_eq!(last.await.unwrap_err(), NoTurn, "the line is full");
        line.pop();
        let mut own = Box::pin(slots.take(&whose[LINE]));
        assert!((&mut own).now_or_never().is_none(), "whoever leaves the line makes room in it");
        line.pop();
        assert_eq!(slots.take(&whose[0]).await.unwrap_err(), NoTurn, "a sixteenth for an account");
        drop((own, line));
        drop(held);
        assert!(slots.take(&of("c")).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_waits_for_any_more_goes_to_the_next() {
        let slots = Slots::new(1, PATIENCE);
        let held = slots.take(&of("a")).await.unwrap();
        let (b, c) = (of("b"), of("c"));
        let mut gone = Box::pin(slots.take(&b));
        let mut next = Box::pin(slots.take(&c));
        assert!((&mut gone).now_or_never().is_none());
        assert!((&mut next).now_or_never().is_none());
        drop(held);
        // It has its turn and has not noticed.
        drop(gone);
        assert!((&mut next).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_done_is_forgotten() {
        let slots = Slots::new(1, PATIENCE);
        for account in 0..100 {
            drop(slots.take(&of(&account.to_string())).await.unwrap());
        }
        let state = slots.shared.lock();
        let Counts { accounts, clients, targets } = &state.running;
        assert_eq!((accounts.len(), clients.len(), targets.len()), (0, 0, 0));
        assert_eq!((state.free, state.waiting.len(), state.waiting_by_account.len()), (1, 0, 0));
    }

    #[test]
    fn targets_are_registered_domains_or_addresses() {
        let target = |kind: &str, value: &str| {
            Whose::new("a", None, &Identifier::parse(kind, value).unwrap()).target
        };
        assert_eq!(target("dns", "a.b.example.co.uk"), "example.co.uk");
        assert_eq!(target("dns", "*.b.example.co.uk"), "example.co.uk");
        assert_eq!(target("dns", "co.uk"), "co.uk");
        assert_eq!(target("dns", "localhost"), "localhost");
        assert_eq!(target("dns", "a.host.lan"), "host.lan");
        assert_eq!(target("ip", "192.0.2.1"), "192.0.2.1");
    }
}
