//! Who has a place at a port: the rules, without anything that waits.
//!
//! Some places are reserved for clients whose certificate was verified. Nobody is known before the
//! handshake, so a newcomer is a stranger at first, unless its address had a verified connection not long
//! ago: then it may use a reserved place for the handshake. Strangers displace strangers; where none makes
//! room, a newcomer may still have a [trial](super::trials) at a reserved place.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::Instant;

use super::activity::{Activity, Ended};
use super::budget::{Bodies, Budget};
use super::denied::Denied;
use super::displacing::{Candidate, Found, IDLE_ENOUGH, SLOW_ENOUGH, Why};
use super::recently::Recently;
use super::trials::{Admitted, Trials};

/// What an address may have of a table that is nearly full.
const FEW: usize = 4;

/// Handshakes that an address may do at reserved places at once.
const EXPECTED: usize = 8;

/// How long an address is remembered of which a client had a verified certificate, and how many are.
const KNOWN: (Duration, usize) = (Duration::from_hours(24), 4096);

/// How long an address does not displace others after one of its connections was displaced, and of how many
/// that is remembered.
const DISPLACED: (Duration, usize) = (Duration::from_secs(2), 4096);

/// How many connections one address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// So many.
    Of(usize),
    /// As many as a third of the places that are free: a quarter of an empty table, and less and less the fuller
    /// it is, so that a few addresses never fill it.
    OfWhatIsFree,
}

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Connections.
    pub(super) all: usize,
    /// Those of them without a verified client certificate.
    pub(super) strangers: usize,
    /// Sockets that wait for a place, and as many that are being closed to make room.
    pub(super) waiting: usize,
}

/// Whose a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A load balancer's that has not said yet whose connection it passes on.
    Unidentified,
    Stranger,
    /// In the handshake at a reserved place, from an unknown address.
    Trial,
    /// In the handshake, from an address that had verified connections.
    Expected,
    /// With a verified client certificate.
    Known,
}

#[derive(Debug)]
pub(super) struct Places {
    sizes: Sizes,
    share: Share,
    bodies: Bodies,
    taken: HashMap<u64, Taken>,
    clients: HashMap<IpNet, Client>,
    strangers: usize,
    known: usize,
    others: usize,
    waiting: usize,
    /// Displaced, and not closed yet.
    leaving: usize,
    found: Found,
    had_known: Recently,
    had_displaced: Recently,
    trials: Trials,
}

/// A connection that asks for a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newcomer<'a> {
    pub(super) number: u64,
    /// None if a load balancer has not said yet whose it is.
    pub(super) client: Option<IpNet>,
    pub(super) activity: &'a Arc<Activity>,
    /// It has shown no certificate in its handshake.
    pub(super) stranger: bool,
}

/// Whether a stranger keeps the place that it had for its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    Yes,
    /// It has none now, and may ask for a stranger's.
    No,
    /// It was displaced before.
    Displaced,
}

#[derive(Debug)]
struct Taken {
    activity: Weak<Activity>,
    client: Option<IpNet>,
    kind: Kind,
}

#[derive(Debug)]
struct Client {
    /// All its connections, whether they have a place or wait for one.
    connections: usize,
    strangers: usize,
    expected: usize,
    bodies: Arc<Budget>,
}

/// What a connection needs that comes in.
#[derive(Debug, Clone, Copy)]
struct Need {
    client: Option<IpNet>,
    /// How many strangers' connections its address has.
    has: usize,
    /// A place of any kind, which it has not yet.
    any: bool,
    /// A stranger's place.
    strangers: bool,
}

impl Sizes {
    /// For `all` connections, of which a part is reserved for clients with a certificate.
    pub(super) fn with_reserve(all: usize) -> Self {
        Self { strangers: all - all / 4, ..Self::without_reserve(all) }
    }

    /// For `all` connections of whomever.
    pub(super) fn without_reserve(all: usize) -> Self {
        Self { all, strangers: all, waiting: (all / 16).clamp(2, 32) }
    }

    /// The most sockets there are at once.
    pub(super) fn sockets(self) -> usize {
        self.all + 2 * self.waiting
    }
}

impl Places {
    pub(super) fn new(sizes: Sizes, share: Share, bodies: Bodies) -> Self {
        Self {
            sizes,
            share,
            bodies,
            taken: HashMap::new(),
            clients: HashMap::new(),
            strangers: 0,
            known: 0,
            others: 0,
            waiting: 0,
            leaving: 0,
            found: Found::default(),
            had_known: Recently::new(KNOWN.0, KNOWN.1),
            had_displaced: Recently::new(DISPLACED.0, DISPLACED.1),
            trials: Trials::within(sizes.all.saturating_sub(sizes.strangers)),
        }
    }

    /// Counts a connection among those of its client. What the bodies of the client may have.
    pub(super) fn belongs_to(
        &mut self,
        client: IpNet,
        now: Instant,
    ) -> Result<Arc<Budget>, Denied> {
        let share = self.share(client, now);
        let bodies = &self.bodies;
        let of_client = self.clients.entry(client).or_insert_with(|| Client {
            connections: 0,
            strangers: 0,
            expected: 0,
            bodies: Arc::new(bodies.share()),
        });
        if of_client.connections >= share {
            return Err(Denied::Share);
        }
        of_client.connections += 1;
        Ok(of_client.bodies.clone())
    }

    /// Gives a connection a place, if there is one or somebody makes room. `displaced` is called with the
    /// reason if somebody does.
    pub(super) fn enter(
        &mut self,
        newcomer: Newcomer<'_>,
        now: Instant,
        displaced: impl FnOnce(Why),
    ) -> bool {
        let Newcomer { number, client, activity, stranger } = newcomer;
        if activity.ended().is_some() {
            return false;
        }
        let of_client = client.and_then(|client| self.clients.get(&client));
        let (has, expected) =
            of_client.map_or((0, 0), |client| (client.strangers, client.expected));
        let is_expected =
            |client| !stranger && expected < EXPECTED && self.had_known.contains(client, now);
        let mut kind = match client {
            None => Kind::Unidentified,
            Some(client) if is_expected(client) => Kind::Expected,
            Some(_) => Kind::Stranger,
        };
        let need = Need {
            client,
            has,
            any: !self.taken.contains_key(&number) && self.taken.len() >= self.sizes.all,
            strangers: kind == Kind::Stranger && self.strangers >= self.sizes.strangers,
        };
        if need.any || need.strangers {
            let mut why = self.make_room(need, now);
            if why.is_none() {
                let unknown = client.filter(|client| !self.had_known.contains(*client, now));
                let Some(client) = unknown.filter(|_| need.strangers && !stranger) else {
                    return false;
                };
                match self.trials.admit(client, need.any, now) {
                    Admitted::Yes => {}
                    Admitted::InPlaceOf(other) if self.displace(other, Some(client), now) => {
                        why = Some(Why::Handshake);
                    }
                    Admitted::InPlaceOf(_) | Admitted::No => return false,
                }
                self.trials.begin(number, client, now);
                kind = Kind::Trial;
            }
            if let Some(why) = why {
                displaced(why);
            }
        }
        self.remove(number);
        self.insert(number, Taken { activity: Arc::downgrade(activity), client, kind });
        true
    }

    /// The client showed a certificate that was verified. Nothing happens if its place is somebody else's by now.
    pub(super) fn is_known(&mut self, number: u64, now: Instant) {
        let Some(taken) = self.remove(number) else { return };
        if let Some(client) = taken.client {
            self.had_known.remember(client, now);
        }
        self.insert(number, Taken { kind: Kind::Known, ..taken });
    }

    /// The client showed no certificate, so that it needs a stranger's place.
    pub(super) fn is_stranger(
        &mut self,
        number: u64,
        now: Instant,
        displaced: impl FnOnce(Why),
    ) -> Keeps {
        let Some(taken) = self.taken.get(&number) else { return Keeps::Displaced };
        if taken.kind == Kind::Stranger {
            return Keeps::Yes;
        }
        let client = taken.client;
        let has = client.and_then(|client| self.clients.get(&client)).map_or(0, |of| of.strangers);
        let strangers = self.strangers >= self.sizes.strangers;
        let need = Need { client, has, any: false, strangers };
        let why = if strangers { self.make_room(need, now) } else { None };
        let Some(taken) = self.remove(number) else { return Keeps::Displaced };
        if strangers && why.is_none() {
            return Keeps::No;
        }
        if let Some(why) = why {
            displaced(why);
        }
        self.insert(number, Taken { kind: Kind::Stranger, ..taken });
        Keeps::Yes
    }

    /// Takes one of the places at which connections wait, if there is one.
    pub(super) fn waits(&mut self) -> bool {
        let fits = self.waiting < self.sizes.waiting;
        self.waiting += usize::from(fits);
        fits
    }

    pub(super) fn waits_no_more(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// The connection is closed. `entered` is whether it had a place at some time.
    pub(super) fn leave(&mut self, number: u64, client: Option<IpNet>, entered: bool) {
        if self.remove(number).is_none() && entered {
            self.leaving = self.leaving.saturating_sub(1);
        }
        let Some(client) = client else { return };
        if let Some(of_client) = self.clients.get_mut(&client) {
            of_client.connections = of_client.connections.saturating_sub(1);
            if of_client.connections == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// How many connections a client may have now.
    fn share(&self, client: IpNet, now: Instant) -> usize {
        let free = self.sizes.all.saturating_sub(self.taken.len());
        match self.share {
            Share::Of(share) => share,
            Share::OfWhatIsFree if self.had_known.contains(client, now) => (free / 3).max(FEW),
            Share::OfWhatIsFree => {
                let for_strangers = self.sizes.strangers.saturating_sub(self.strangers);
                (free.min(for_strangers) / 3).max(FEW)
            }
        }
    }

    /// Ends a connection that makes room for what is needed, if there is one. Why that one.
    fn make_room(&mut self, need: Need, now: Instant) -> Option<Why> {
        if let Some(client) = need.client
            && self.had_displaced.contains(client, now)
            && !self.had_known.contains(client, now)
        {
            return None;
        }
        if self.leaving >= self.sizes.waiting {
            return None;
        }
        let mut found = std::mem::take(&mut self.found);
        let mut chosen = found.take(|number| self.makes_room(number, need, now));
        if chosen.is_none() && found.is_stale(now) {
            found.replace(now, self.look(now));
            chosen = found.take(|number| self.makes_room(number, need, now));
        }
        self.found = found;
        let (number, why) = chosen?;
        self.displace(number, need.client, now).then_some(why)
    }

    /// Ends a connection for one of `client`. False if too many are being closed already.
    fn displace(&mut self, number: u64, client: Option<IpNet>, now: Instant) -> bool {
        if self.leaving >= self.sizes.waiting {
            return false;
        }
        let Some(taken) = self.remove(number) else { return false };
        if let Some(displaced) = taken.client.filter(|displaced| Some(*displaced) != client) {
            self.had_displaced.remember(displaced, now);
        }
        if let Some(activity) = taken.activity.upgrade() {
            activity.end(Ended::Displaced);
        }
        self.leaving += 1;
        true
    }

    /// All that might make room for somebody.
    fn look(&self, now: Instant) -> Vec<Candidate> {
        let anybody = Need { client: None, has: 0, any: true, strangers: false };
        let candidates = self.taken.iter().filter_map(|(number, taken)| {
            let (why, since) = self.why(taken, anybody, now)?;
            Some(Candidate { number: *number, why, of_address: self.of_address(taken), since })
        });
        candidates.collect()
    }

    fn makes_room(&self, number: u64, need: Need, now: Instant) -> Option<Why> {
        self.why(self.taken.get(&number)?, need, now).map(|(why, _)| why)
    }

    /// Why a connection makes room for what is needed, if it does.
    fn why(&self, taken: &Taken, need: Need, now: Instant) -> Option<(Why, Instant)> {
        let activity = taken.activity.upgrade().filter(|activity| activity.ended().is_none())?;
        let (idle, busy) = (activity.idle_since(), activity.busy_since());
        let over = |since: Option<Instant>, enough| {
            since.filter(|since| now.saturating_duration_since(*since) >= enough)
        };
        if need.strangers && taken.kind != Kind::Stranger {
            return None;
        }
        if taken.kind == Kind::Known {
            // Those that are reserved stay, whoever comes.
            let beyond = self.known > self.sizes.all - self.sizes.strangers;
            return over(idle, IDLE_ENOUGH).filter(|_| beyond).map(|since| (Why::Known, since));
        }
        if let Some(since) = over(idle, IDLE_ENOUGH) {
            return Some((Why::Idle, since));
        }
        if let Some(since) = over(busy, SLOW_ENOUGH) {
            return Some((Why::Slow, since));
        }
        let of_address = self.of_address(taken);
        let why = if of_address > FEW { Why::Many } else { Why::More };
        (of_address > need.has + 1).then_some((why, idle.or(busy).unwrap_or(now)))
    }

    /// How many strangers' connections the address of one has.
    fn of_address(&self, taken: &Taken) -> usize {
        let of_client = taken.client.and_then(|client| self.clients.get(&client));
        of_client.map_or(0, |of_client| of_client.strangers)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let counts = [self.strangers, self.known, self.others, self.waiting, self.leaving];
        let empty = self.taken.is_empty() && self.clients.is_empty() && self.trials.is_empty();
        empty && counts == [0; 5]
    }

    fn insert(&mut self, number: u64, taken: Taken) {
        *self.count(taken.kind) += 1;
        if let Some(count) = self.count_of_client(&taken) {
            *count += 1;
        }
        self.taken.insert(number, taken);
    }

    fn remove(&mut self, number: u64) -> Option<Taken> {
        let taken = self.taken.remove(&number)?;
        if taken.kind == Kind::Trial {
            self.trials.end(number);
        }
        let count = self.count(taken.kind);
        *count = count.saturating_sub(1);
        if let Some(count) = self.count_of_client(&taken) {
            *count = count.saturating_sub(1);
        }
        Some(taken)
    }

    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Stranger => &mut self.strangers,
            Kind::Known => &mut self.known,
            Kind::Unidentified | Kind::Trial | Kind::Expected => &mut self.others,
        }
    }

    fn count_of_client(&mut self, taken: &Taken) -> Option<&mut usize> {
        let of_client = self.clients.get_mut(&taken.client?)?;
        match taken.kind {
            Kind::Stranger => Some(&mut of_client.strangers),
            Kind::Expected => Some(&mut of_client.expected),
            Kind::Known | Kind::Trial | Kind::Unidentified => None,
        }
    }
}

#[cfg(test)]
mod tests;
