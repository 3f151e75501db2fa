//! Who is connected to a port: how many there may be, how many of them from one address, and who makes
//! room when the table is full.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::{Activity, Ended};
use super::budget::{Bodies, Budget};

/// A connection has to be idle for so long before it is ended to make room.
const IDLE_ENOUGH: Duration = Duration::from_secs(1);

/// So long a stranger may take for a request where others wait for the place. Rates alone do not help: at
/// the least one a body takes minutes, and there are many addresses.
const SLOW_ENOUGH: Duration = Duration::from_secs(5);

/// What an address may have of a table that is nearly full.
const FEW: usize = 4;

/// How many connections one address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// So many.
    Of(usize),
    /// As many as a third of the places that are free: a quarter of an empty table, and less and less the fuller
    /// it is, so that a few addresses never fill it.
    OfWhatIsFree,
}

/// The connections of one port.
#[derive(Debug)]
pub(super) struct Table {
    room: Arc<Semaphore>,
    share: Share,
    bodies: Bodies,
    clients: Mutex<HashMap<Network, Client>>,
    connections: Mutex<HashMap<u64, Weak<Activity>>>,
    next: AtomicU64,
}

/// What counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that a network has,
/// since whoever has a network has all of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

#[derive(Debug)]
struct Client {
    connections: usize,
    bodies: Arc<Budget>,
}

/// The place of a connection in the table; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Option<OwnedSemaphorePermit>,
    table: Arc<Table>,
    number: u64,
    client: Option<(Network, Arc<Budget>)>,
}

impl Table {
    /// Room for `size` connections, of which one address may have `share`.
    pub(super) fn new(size: usize, share: Share, bodies: Bodies) -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
            share,
            bodies,
            clients: Mutex::default(),
            connections: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Whether every place is taken.
    pub(super) fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }

    /// A place for a connection, which has to [enter](Place::enter) before it does anything.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Place { room: None, table: self.clone(), number, client: None }
    }

    /// Ends the connection that has been idle for the longest time, or else that of the stranger who has been at
    /// a request for the longest, if there is one.
    fn make_room(&self, now: Instant) -> bool {
        let connections: Vec<_> =
            locked(&self.connections).values().filter_map(Weak::upgrade).collect();
        let longest = |since: fn(&Activity) -> Option<Instant>, enough: Duration| {
            let all = connections.iter();
            all.filter_map(|activity| since(activity).map(|since| (since, activity)))
                .min_by_key(|(since, _)| *since)
                .filter(|(since, _)| now.saturating_duration_since(*since) >= enough)
        };
        let worst = longest(Activity::idle_since, IDLE_ENOUGH)
            .or_else(|| longest(Activity::busy_since, SLOW_ENOUGH));
        if let Some((_, activity)) = worst {
            activity.end(Ended::Displaced);
        }
        worst.is_some()
    }

    /// How many connections an address may have now.
    fn share(&self) -> usize {
        match self.share {
            Share::Of(share) => share,
            Share::OfWhatIsFree => (self.room.available_permits() / 3).max(FEW),
        }
    }
}

impl Place {
    /// Takes the place, once there is room: when the table is full, a connection that is idle or of a slow
    /// stranger ends for that. Cancelling the wait loses nothing.
    pub(super) async fn enter(&mut self) {
        let room = &self.table.room;
        loop {
            if let Ok(permit) = room.clone().try_acquire_owned() {
                self.room = Some(permit);
                return;
            }
            self.table.make_room(Instant::now());
            // If none was idle enough, one may be soon.
            if let Ok(Ok(permit)) = timeout(IDLE_ENOUGH, room.clone().acquire_owned()).await {
                self.room = Some(permit);
                return;
            }
        }
    }

    /// Makes what the connection does visible to the table.
    pub(super) fn watch(&self, activity: &Arc<Activity>) {
        locked(&self.table.connections).insert(self.number, Arc::downgrade(activity));
    }

    /// Counts the connection among those of its client's address. False if these are too many: then
    /// the connection has to end.
    pub(super) fn belongs_to(&mut self, address: IpAddr) -> bool {
        let network = Network::of(address);
        let share = self.table.share();
        let mut clients = locked(&self.table.clients);
        let client = clients.entry(network).or_insert_with(|| Client {
            connections: 0,
            bodies: Arc::new(self.table.bodies.share()),
        });
        if client.connections >= share {
            return false;
        }
        client.connections += 1;
        self.client = Some((network, client.bodies.clone()));
        true
    }

    /// What the bodies of the client's requests may have; none if it is not one client's connection.
    pub(super) fn bodies(&self) -> Option<Arc<Budget>> {
        self.client.as_ref().map(|(_, bodies)| bodies.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.table.connections).remove(&self.number);
        let Some((network, _)) = self.client else { return };
        let mut clients = locked(&self.table.clients);
        if let Some(client) = clients.get_mut(&network) {
            client.connections = client.connections.saturating_sub(1);
            if client.connections == 0 {
                clients.remove(&network);
            }
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                Self(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into())
            }
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// Nothing panics while it holds one of these locks, and each change is complete by itself.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::activity::tests::deadlines;
    use super::*;

    fn table(size: usize, share: usize) -> Arc<Table> {
        Table::new(size, Share::Of(share), Bodies::new(1000))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_leaves_the_rest_to_others() {
        let table = table(10, 2);
        let mut places = vec![];
        for (from, fits) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            // The same address, as a socket for both versions shows it.
            ("::ffff:192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            // One network has as many addresses as it likes.
            ("2001:db8::ffff:2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
        ] {
            let mut place = table.place();
            assert_eq!(place.belongs_to(address(from)), fits, "{from}");
            places.push(place);
        }
        places.remove(0);
        assert!(table.place().belongs_to(address("192.0.2.1")), "one has ended");
        drop(places);
        assert!(locked(&table.clients).is_empty(), "nobody is remembered who is gone");
    }

    /// A connection that has done nothing for some seconds.
    async fn connected(table: &Arc<Table>, seconds: u64) -> (Place, Arc<Activity>) {
        let mut place = table.place();
        place.enter().await;
        let since = Instant::now() - Duration::from_secs(seconds);
        let activity = Arc::new(Activity::new(deadlines(), since));
        place.watch(&activity);
        (place, activity)
    }

    #[tokio::test]
    async fn a_full_table_waits_until_a_place_is_free() {
        let table = table(1, 1);
        let (place, activity) = connected(&table, 9).await;
        let _busy = activity.request(false);
        let mut next = table.place();
        let mut entering = Box::pin(next.enter());
        assert!(futures_util::poll!(&mut entering).is_pending());
        assert_eq!(activity.ended(), None, "it has a request under way");
        drop(place);
        entering.await;
    }

    #[tokio::test]
    async fn whoever_is_idle_for_longest_makes_room() {
        let table = table(3, 3);
        let mut all =
            [connected(&table, 9).await, connected(&table, 8).await, connected(&table, 7).await];
        let _busy = all[0].1.request(false);
        let ended = |all: &[(Place, Arc<Activity>)]| {
            all.iter().map(|(_, activity)| activity.ended()).collect::<Vec<_>>()
        };
        let mut next = table.place();
        let mut entering = Box::pin(next.enter());
        assert!(futures_util::poll!(&mut entering).is_pending(), "nobody has left yet");
        assert_eq!(ended(&all), [None, Some(Ended::Displaced), None], "the first has a request");
        all[1] = (table.place(), Arc::new(Activity::new(deadlines(), Instant::now())));
        entering.await;
    }

    #[tokio::test]
    async fn a_stranger_who_is_slow_makes_room_and_whoever_is_known_does_not() {
        let table = table(2, 2);
        let (_known, known) = connected(&table, 0).await;
        known.is_known();
        let _request = known.request(false);
        let (_stranger, stranger) = connected(&table, 0).await;
        let request = stranger.request(true);
        let mut other = stranger.request(true);
        let start = Instant::now();
        assert!(!table.make_room(start), "it may take its time");
        other.answered();
        drop(other);
        assert!(stranger.busy_since().unwrap() >= start, "something was done");
        assert!(table.make_room(Instant::now() + SLOW_ENOUGH));
        assert_eq!((known.ended(), stranger.ended()), (None, Some(Ended::Displaced)));
        drop(request);
        assert!(!table.make_room(Instant::now() + SLOW_ENOUGH), "the other one is known");
    }

    #[tokio::test]
    async fn a_few_addresses_do_not_fill_the_table() {
        let table = Table::new(64, Share::OfWhatIsFree, Bodies::new(1000));
        let mut places = vec![];
        let mut of = vec![];
        for client in 0..5 {
            let before = places.len();
            loop {
                let mut place = table.place();
                if !place.belongs_to(IpAddr::from([192, 0, 2, client])) {
                    break;
                }
                place.enter().await;
                places.push(place);
            }
            of.push(places.len() - before);
        }
        assert_eq!(of, [16, 12, 9, 7, 5]);
        drop(places);
        assert_eq!(table.share(), 21);
    }

    #[tokio::test]
    async fn whoever_has_only_just_become_idle_stays() {
        let table = table(1, 1);
        let (_place, activity) = connected(&table, 9).await;
        drop(activity.request(false));
        assert!(!table.make_room(Instant::now()));
        assert!(table.make_room(Instant::now() + IDLE_ENOUGH));
        assert!(!table.make_room(Instant::now() + IDLE_ENOUGH), "it is ending already");
    }
}
