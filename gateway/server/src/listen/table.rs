//! Who is connected to a port: how many there may be, how many of them from one address, and who makes
//! room when the table is full.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chancery_identity::client_network;
use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::activity::Activity;
use super::budget::{Bodies, Budget};
use super::denied::Denied;
use super::displacing::Why;
use super::meters;
use super::places::{Keeps, Newcomer, Places, Share, Sizes};

/// How often a connection that waits for a place looks whether somebody has become idle.
const LOOK: Duration = Duration::from_millis(100);

/// The connections of one port.
#[derive(Debug)]
pub(super) struct Table {
    port: &'static str,
    places: Mutex<Places>,
    freed: Notify,
    next: AtomicU64,
}

/// The place of a connection in the table; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Table>,
    number: u64,
    client: Option<(IpNet, Arc<Budget>)>,
    standing: Standing,
    /// The client has shown no certificate in its handshake.
    stranger: bool,
    verified: Option<meters::Verified>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Outside,
    /// Waits for a place; whether it has one (a load balancer's, which has to become a client's).
    Waiting {
        inside: bool,
    },
    Inside,
}

impl Table {
    /// A table of these sizes, of which one address may have `share`.
    pub(super) fn new(port: &'static str, sizes: Sizes, share: Share, bodies: Bodies) -> Arc<Self> {
        meters::begin(port);
        Arc::new(Self {
            port,
            places: Mutex::new(Places::new(sizes, share, bodies)),
            freed: Notify::new(),
            next: AtomicU64::new(0),
        })
    }

    /// A place for a connection, which has to [ask](Place::ask) for it before it does anything.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let table = self.clone();
        let standing = Standing::Outside;
        Place { table, number, client: None, standing, stranger: false, verified: None }
    }

    /// Nothing panics while it holds the lock, and each change is complete by itself.
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that somebody made room.
    fn displaced(&self, why: Why) {
        let port = self.port;
        meters::displaced(port, why);
        tracing::warn!(
            port,
            why = why.code(),
            "every place is taken: a connection was ended for another one"
        );
    }
}

impl Place {
    /// Counts the connection among those of its client's address.
    ///
    /// # Errors
    /// These are too many: then the connection has to end.
    pub(super) fn belongs_to(&mut self, address: IpAddr) -> Result<(), Denied> {
        let client = client_network(address);
        let bodies = self.table.places().belongs_to(client, Instant::now())?;
        self.client = Some((client, bodies));
        Ok(())
    }

    /// Asks for a place, which it [has](Self::granted) now or later.
    ///
    /// # Errors
    /// There is neither one nor room to wait.
    pub(super) fn ask(&mut self, activity: &Arc<Activity>) -> Result<(), Denied> {
        if self.try_enter(activity) {
            return Ok(());
        }
        if !self.table.places().waits() {
            return Err(Denied::Full);
        }
        self.standing = Standing::Waiting { inside: self.standing == Standing::Inside };
        Ok(())
    }

    /// Waits until it has the place that it asked for: when the table is full, a connection that is idle or of a
    /// slow stranger ends for that. Cancelling the wait loses nothing.
    pub(super) async fn granted(&mut self, activity: &Arc<Activity>) {
        while let Standing::Waiting { .. } = self.standing {
            let table = self.table.clone();
            let mut freed = std::pin::pin!(table.freed.notified());
            freed.as_mut().enable();
            if self.try_enter(activity) {
                return;
            }
            // If none was idle enough, one may be soon.
            let _ = timeout(LOOK, freed).await;
        }
    }

    fn try_enter(&mut self, activity: &Arc<Activity>) -> bool {
        let client = self.client.as_ref().map(|(client, _)| *client);
        let newcomer = Newcomer { number: self.number, client, activity, stranger: self.stranger };
        let displaced = |why| self.table.displaced(why);
        let entered = self.table.places().enter(newcomer, Instant::now(), displaced);
        if entered {
            if let Standing::Waiting { .. } = self.standing {
                self.table.places().waits_no_more();
            }
            self.standing = Standing::Inside;
        }
        entered
    }

    /// The client has a certificate that was verified.
    pub(super) fn is_known(&mut self) {
        self.table.places().is_known(self.number, Instant::now());
        self.verified = Some(meters::verified(self.table.port));
    }

    /// The client has none. If it had a reserved place for its handshake and there is none for a stranger, it
    /// has asked for one, which it [has](Self::granted) later.
    ///
    /// # Errors
    /// There is no room to wait, or others have its place.
    pub(super) fn is_stranger(&mut self, activity: &Arc<Activity>) -> Result<(), Denied> {
        self.stranger = true;
        let displaced = |why| self.table.displaced(why);
        let keeps = self.table.places().is_stranger(self.number, Instant::now(), displaced);
        match keeps {
            Keeps::Yes => Ok(()),
            Keeps::Displaced => Err(Denied::Full),
            Keeps::No => {
                self.standing = Standing::Outside;
                self.table.freed.notify_waiters();
                self.ask(activity)
            }
        }
    }

    /// What the bodies of the client's requests may have; none if it is not one client's connection.
    pub(super) fn bodies(&self) -> Option<Arc<Budget>> {
        self.client.as_ref().map(|(_, bodies)| bodies.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (waited, entered) = match self.standing {
            Standing::Outside => (false, false),
            Standing::Waiting { inside } => (true, inside),
            Standing::Inside => (false, true),
        };
        let client = self.client.as_ref().map(|(client, _)| *client);
        let mut places = self.table.places();
        if waited {
            places.waits_no_more();
        }
        places.leave(self.number, client, entered);
        drop(places);
        self.table.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::Ended;
    use super::super::activity::tests::deadlines;
    use super::*;

    fn table(size: usize) -> Arc<Table> {
        Table::new("test", Sizes::without_reserve(size), Share::Of(10), Bodies::new(1000))
    }

    /// A connection that has done nothing for some seconds.
    fn activity(seconds: u64) -> Arc<Activity> {
        Arc::new(Activity::new(deadlines(), Instant::now() - Duration::from_secs(seconds)))
    }

    fn place(table: &Arc<Table>, client: u8) -> Place {
        let mut place = table.place();
        place.belongs_to(IpAddr::from([192, 0, 2, client])).unwrap();
        place
    }

    #[tokio::test]
    async fn a_full_table_waits_until_a_place_is_free() {
        let table = table(1);
        let (first, mut held) = (activity(9), place(&table, 1));
        held.ask(&first).unwrap();
        let _busy = first.request(false);
        let (second, mut next) = (activity(0), place(&table, 1));
        next.ask(&second).unwrap();
        let mut granted = Box::pin(next.granted(&second));
        assert!(futures_util::poll!(&mut granted).is_pending());
        assert_eq!(first.ended(), None, "it has a request under way");
        drop(held);
        granted.await;
    }

    #[tokio::test]
    async fn those_that_wait_get_the_place_of_whoever_becomes_idle() {
        let table = table(1);
        let (first, mut held) = (activity(0), place(&table, 1));
        held.ask(&first).unwrap();
        let (second, mut next) = (activity(0), place(&table, 1));
        next.ask(&second).unwrap();
        next.granted(&second).await;
        assert_eq!(first.ended(), Some(Ended::Displaced));
        drop(held);
    }

    #[tokio::test]
    async fn a_stranger_gives_a_reserved_place_back_and_waits_for_its_own() {
        let sizes = Sizes { all: 3, strangers: 1, waiting: 2 };
        let table = Table::new("test", sizes, Share::Of(3), Bodies::new(1000));
        let (first, mut held) = (activity(0), place(&table, 1));
        held.ask(&first).unwrap();
        let _busy = first.request(false);
        let (second, mut next) = (activity(0), place(&table, 2));
        next.ask(&second).unwrap();
        assert_eq!(next.standing, Standing::Inside, "for its handshake");
        next.is_stranger(&second).unwrap();
        assert_eq!(next.standing, Standing::Waiting { inside: false });
        let mut granted = Box::pin(next.granted(&second));
        assert!(futures_util::poll!(&mut granted).is_pending());
        let (third, mut another) = (activity(0), place(&table, 3));
        another.ask(&third).unwrap();
        assert_eq!(another.standing, Standing::Inside, "that place is free again");
        drop(held);
        granted.await;
        drop((next, another));
        assert!(table.places().is_empty());
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let table = table(1);
        let (first, mut held) = (activity(9), place(&table, 1));
        held.ask(&first).unwrap();
        let _busy = first.request(false);
        let fits = |client| {
            let mut next = place(&table, client);
            next.ask(&activity(0)).map(|()| next)
        };
        drop(fits(1).unwrap());
        let waiting = [fits(2).unwrap(), fits(3).unwrap()];
        assert_eq!(fits(4).unwrap_err(), Denied::Full);
        drop(waiting);
        drop(fits(4).unwrap());
    }

    #[tokio::test]
    async fn a_balancers_connection_keeps_its_place_while_it_waits_for_the_clients() {
        let sizes = Sizes { all: 2, strangers: 1, waiting: 1 };
        let table = Table::new("test", sizes, Share::Of(3), Bodies::new(1000));
        let (first, mut held) = (activity(0), place(&table, 1));
        held.ask(&first).unwrap();
        let _busy = first.request(false);
        let (passed_on, mut through) = (activity(0), table.place());
        through.ask(&passed_on).unwrap();
        assert_eq!(through.standing, Standing::Inside);
        through.belongs_to(IpAddr::from([192, 0, 2, 2])).unwrap();
        through.ask(&passed_on).unwrap();
        assert_eq!(through.standing, Standing::Waiting { inside: true });
        let mut granted = Box::pin(through.granted(&passed_on));
        assert!(futures_util::poll!(&mut granted).is_pending());
        drop(held);
        granted.await;
        drop(through);
        assert!(table.places().is_empty());
    }
}
