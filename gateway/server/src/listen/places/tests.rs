//! Clients with certificates get connections while many strangers fill a port.

mod trials;

use chancery_identity::client_network;

use super::super::activity::UnderWay;
use super::super::activity::tests::deadlines;
use super::*;

/// Connections to a port, by number.
struct Port {
    places: Places,
    connections: HashMap<u64, (Arc<Activity>, Option<IpNet>)>,
    requests: Vec<UnderWay>,
    next: u64,
    now: Instant,
    why: Option<Why>,
}

impl Port {
    fn new(sizes: Sizes, share: Share) -> Self {
        let places = Places::new(sizes, share, Bodies::new(1000));
        let (connections, requests) = (HashMap::new(), vec![]);
        Self { places, connections, requests, next: 0, now: Instant::now(), why: None }
    }

    fn try_connect(&mut self, address: &str) -> Result<u64, Denied> {
        let client = client_network(address.parse().unwrap());
        self.places.belongs_to(client, self.now)?;
        self.next += 1;
        let activity = Arc::new(Activity::new(deadlines(), self.now));
        let (why, number) = (&mut self.why, self.next);
        let newcomer =
            Newcomer { number, client: Some(client), activity: &activity, stranger: false };
        let entered = self.places.enter(newcomer, self.now, |reason| *why = Some(reason));
        if !entered {
            self.places.leave(number, Some(client), false);
            return Err(Denied::Full);
        }
        self.connections.insert(number, (activity, Some(client)));
        self.close_displaced();
        Ok(number)
    }

    fn connect(&mut self, address: &str) -> u64 {
        self.try_connect(address).unwrap()
    }

    /// A connection with a request under way.
    fn busy(&mut self, address: &str) -> Result<u64, Denied> {
        let number = self.try_connect(address)?;
        self.request(number);
        Ok(number)
    }

    fn request(&mut self, number: u64) {
        let request = self.activity(number).request(false);
        self.requests.push(request);
    }

    fn activity(&self, number: u64) -> Arc<Activity> {
        self.connections[&number].0.clone()
    }

    fn is_known(&mut self, number: u64) {
        self.activity(number).is_known();
        self.places.is_known(number, self.now);
    }

    fn is_stranger(&mut self, number: u64) -> Keeps {
        self.places.is_stranger(number, self.now, |_| {})
    }

    /// A connection that gave its place back after the handshake asks for a stranger's place.
    fn enters_as_stranger(&mut self, number: u64) -> bool {
        let (activity, client) = self.connections[&number].clone();
        let newcomer = Newcomer { number, client, activity: &activity, stranger: true };
        self.places.enter(newcomer, self.now, |_| {})
    }

    fn close_displaced(&mut self) {
        let over = |(_, (activity, _)): &(&u64, &(Arc<Activity>, _))| activity.ended().is_some();
        let over: Vec<u64> =
            self.connections.iter().filter(over).map(|(number, _)| *number).collect();
        for number in over {
            self.close(number);
        }
    }

    fn close(&mut self, number: u64) {
        let (_, client) = self.connections.remove(&number).unwrap();
        self.places.leave(number, client, true);
    }

    fn has(&self, number: u64) -> bool {
        self.connections.contains_key(&number)
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn attacker(address: usize) -> String {
    format!("198.51.{}.{}", address / 250, address % 250)
}

/// A port with the usual sizes. Forty addresses have taken the strangers' places, each within its share and
/// with a request under way on each connection.
fn attacked() -> Port {
    let mut port = Port::new(Sizes::with_reserve(1000), Share::OfWhatIsFree);
    for address in 0..40 {
        while port.busy(&attacker(address)).is_ok() {}
    }
    port
}

#[test]
fn forty_addresses_leave_places_for_whoever_has_a_certificate() {
    let mut port = attacked();
    assert_eq!(port.places.strangers, 750);
    assert_eq!(port.places.taken.len(), 750);
    // The service does the handshake at a place of an address that has many, and then keeps another place.
    for count in 1..=100 {
        let service = port.connect(&format!("192.0.2.{}", count % 20));
        port.is_known(service);
        port.request(service);
        assert_eq!(port.places.known, count);
    }
    assert_eq!(port.why, Some(Why::Many));
    assert!(port.places.strangers >= 749, "the first only displaced somebody");
}

#[test]
fn strangers_share_what_they_have_as_evenly_as_they_come() {
    let mut port = attacked();
    let mut honest = 0;
    while port.busy("203.0.113.9").is_ok() {
        honest += 1;
    }
    assert_eq!(honest, FEW);
    assert_eq!(port.places.strangers, 750);
}

#[test]
fn whoever_was_known_before_goes_first() {
    let mut port = Port::new(Sizes::with_reserve(40), Share::OfWhatIsFree);
    let service = port.connect("192.0.2.1");
    port.is_known(service);
    port.close(service);
    // More addresses than there are places.
    for address in 0..60 {
        let _ = port.busy(&attacker(address));
    }
    assert_eq!(port.places.strangers, 30);
    for network in 0..10 {
        let _ = port.busy(&format!("203.0.{network}.1"));
    }
    assert_eq!(port.places.others, 5, "half of the reserve");
    assert_eq!(port.busy("203.0.113.9"), Err(Denied::Full), "nobody has more than one");
    for _ in 0..FEW {
        port.connect("192.0.2.1");
    }
    assert_eq!(port.places.taken.len(), 39);
    assert_eq!(port.why, None, "for nobody else's sake");
    // And only a few handshakes at once, however large its share is.
    let mut port = Port::new(Sizes { all: 40, strangers: 1, waiting: 2 }, Share::Of(40));
    let service = port.connect("192.0.2.1");
    port.is_known(service);
    let fits = (0..30).filter(|_| port.busy("192.0.2.1").is_ok()).count();
    assert_eq!(fits, EXPECTED + 1);
}

#[test]
fn an_expected_client_without_a_certificate_is_a_stranger() {
    let mut port = Port::new(Sizes::with_reserve(8), Share::Of(8));
    let service = port.connect("192.0.2.1");
    port.is_known(service);
    let attackers: Vec<_> = (0..6).map(|address| port.busy(&attacker(address)).unwrap()).collect();
    let other = port.connect("192.0.2.1");
    port.request(other);
    assert_eq!(port.is_stranger(other), Keeps::No, "strangers have no more places");
    assert!(!port.places.taken.contains_key(&other));
    assert!(!port.enters_as_stranger(other), "not even for a handshake");
    port.close(attackers[0]);
    assert!(port.enters_as_stranger(other));
    assert_eq!(port.is_stranger(other), Keeps::Yes);
    assert_eq!((port.places.strangers, port.places.known), (6, 1));
}

#[test]
fn strangers_displace_no_reserved_connection() {
    let mut port = Port::new(Sizes::with_reserve(8), Share::Of(8));
    let known: Vec<u64> = (0..5).map(|_| port.connect("192.0.2.1")).collect();
    for number in &known {
        port.is_known(*number);
    }
    for address in 0..3 {
        port.busy(&attacker(address)).unwrap();
    }
    port.pass(3);
    for address in 3..6 {
        port.busy(&attacker(address)).unwrap();
        assert_eq!(port.why, Some(Why::Known));
    }
    assert_eq!((port.places.known, port.places.strangers), (2, 6));
    assert_eq!(port.busy(&attacker(6)), Err(Denied::Full));
    assert_eq!(port.places.known, 2, "these are reserved");
}

#[test]
fn idle_strangers_go_before_anybody_else() {
    let mut port = Port::new(Sizes::with_reserve(4), Share::Of(4));
    let known = [port.connect("192.0.2.1"), port.connect("192.0.2.1")];
    for number in &known {
        port.is_known(*number);
    }
    port.pass(5);
    let idle = port.connect("192.0.2.2");
    let busy = port.busy("192.0.2.3").unwrap();
    port.pass(1);
    let next = port.connect("192.0.2.5");
    let left = [known[0], known[1], idle, busy, next].map(|number| port.has(number));
    assert_eq!(left, [true, true, false, true, true]);
    assert_eq!(port.why, Some(Why::Idle));
}

#[test]
fn an_address_that_made_room_waits_a_little() {
    let mut port = Port::new(Sizes::without_reserve(2), Share::Of(2));
    let first = port.connect("192.0.2.1");
    port.busy("192.0.2.2").unwrap();
    port.pass(1);
    let next = port.connect("192.0.2.3");
    assert!(!port.has(first));
    port.pass(1);
    assert_eq!(port.try_connect("192.0.2.1"), Err(Denied::Full), "not so soon");
    port.pass(1);
    port.connect("192.0.2.1");
    assert!(!port.has(next));
    let last = port.try_connect("192.0.2.1").map(|_| ());
    assert_eq!(last, Err(Denied::Full), "that one has only just come");
}

#[test]
fn whoever_displaces_its_own_need_not_wait() {
    let mut port = Port::new(Sizes::without_reserve(1), Share::Of(2));
    let mut last = port.connect("192.0.2.1");
    for _ in 0..3 {
        port.pass(1);
        let next = port.connect("192.0.2.1");
        assert!(!port.has(last));
        last = next;
    }
}

#[test]
fn whoever_is_idle_for_longest_makes_room() {
    let mut port = Port::new(Sizes::without_reserve(3), Share::Of(3));
    let all = [1, 2, 3].map(|client| {
        port.pass(1);
        port.connect(&format!("192.0.2.{client}"))
    });
    port.request(all[0]);
    port.pass(1);
    port.connect("192.0.2.4");
    assert_eq!(all.map(|number| port.has(number)), [true, false, true]);
    assert_eq!(port.why, Some(Why::Idle));
}

#[test]
fn a_stranger_who_is_slow_makes_room_and_whoever_is_known_does_not() {
    let mut port = Port::new(Sizes::with_reserve(4), Share::Of(4));
    let known = port.busy("192.0.2.1").unwrap();
    port.is_known(known);
    let strangers = [2, 3, 4].map(|client| port.busy(&format!("192.0.2.{client}")).unwrap());
    assert_eq!(port.busy("192.0.2.5"), Err(Denied::Full), "they may take their time");
    // A request begins.
    let mut other = port.activity(strangers[0]).request(true);
    other.answered();
    drop(other);
    port.pass(SLOW_ENOUGH.as_secs() + 1);
    port.busy("192.0.2.6").unwrap();
    assert_eq!(port.why, Some(Why::Slow));
    assert!(port.has(known) && port.has(strangers[0]) && !port.has(strangers[1]));
}

#[test]
fn an_address_has_its_share_and_leaves_the_rest_to_others() {
    let mut port = Port::new(Sizes::without_reserve(10), Share::Of(2));
    let mut open = vec![];
    for (from, fits) in [
        ("192.0.2.1", true),
        ("192.0.2.1", true),
        ("192.0.2.1", false),
        // The same address, as a socket for both versions shows it.
        ("::ffff:192.0.2.1", false),
        ("192.0.2.2", true),
        ("2001:db8::1", true),
        // A network has as many addresses as it wants.
        ("2001:db8::ffff:2", true),
        ("2001:db8::3", false),
        ("2001:db8:0:1::3", true),
    ] {
        let placed = port.try_connect(from);
        assert_eq!(placed.is_ok(), fits, "{from}");
        open.extend(placed);
    }
    port.close(open.remove(0));
    open.push(port.connect("192.0.2.1"));
    for number in open {
        port.close(number);
    }
    assert!(port.places.is_empty(), "nobody is counted who is gone");
}

#[test]
fn a_few_addresses_do_not_fill_the_table() {
    let mut port = Port::new(Sizes::without_reserve(64), Share::OfWhatIsFree);
    let of = [1, 2, 3, 4, 5].map(|client| {
        let mut count = 0;
        while port.try_connect(&format!("192.0.2.{client}")).is_ok() {
            count += 1;
        }
        count
    });
    assert_eq!(of, [16, 12, 9, 7, 5]);
}

#[test]
fn only_so_many_are_being_closed_at_once() {
    let mut port = Port::new(Sizes { all: 4, strangers: 4, waiting: 2 }, Share::Of(4));
    let all: Vec<_> = (0..4).map(|_| port.connect("192.0.2.1")).collect();
    // The displaced connections keep their sockets for now.
    let kept: Vec<_> = all.iter().map(|number| port.activity(*number)).collect();
    port.pass(1);
    let client = client_network("192.0.2.2".parse().unwrap());
    let activity = Arc::new(Activity::new(deadlines(), port.now));
    let newcomer =
        |number| Newcomer { number, client: Some(client), activity: &activity, stranger: false };
    let entered =
        [101, 102, 103].map(|number| port.places.enter(newcomer(number), port.now, |_| {}));
    assert_eq!(entered, [true, true, false]);
    let displaced = kept.iter().filter(|activity| activity.ended().is_some()).count();
    assert_eq!(displaced, 2);
    port.close_displaced();
    assert!(port.places.enter(newcomer(103), port.now, |_| {}));
}
