//! Clients that show their certificate for the first time while strangers have all that is theirs.

use proptest::prelude::*;

use super::*;

/// The strangers' places are taken by as many addresses, which is more than displacing helps against.
fn from_everywhere(size: usize) -> Port {
    let mut port = Port::new(Sizes::with_reserve(size), Share::OfWhatIsFree);
    let mut address = 0;
    while port.places.strangers < port.places.sizes.strangers {
        port.busy(&attacker(address)).unwrap();
        address += 1;
    }
    port
}

#[test]
fn a_certificate_that_nobody_has_seen_finds_a_place() {
    let mut port = from_everywhere(1000);
    for address in 0..250 {
        let service = port.connect(&format!("203.0.{address}.1"));
        assert_eq!(port.places.taken[&service].kind, Kind::Trial);
        port.is_known(service);
        port.request(service);
    }
    assert_eq!((port.places.strangers, port.places.known), (750, 250));
    assert_eq!(port.why, None, "nobody had to go");
    let later = port.try_connect("203.0.250.1");
    assert_eq!(later, Err(Denied::Full), "now every place is taken");
}

#[test]
fn a_newcomer_without_a_certificate_gives_the_place_back() {
    let mut port = from_everywhere(16);
    let newcomer = port.connect("203.0.113.1");
    assert_eq!(port.is_stranger(newcomer), Keeps::No);
    assert!(!port.enters_as_stranger(newcomer), "it has had its trial");
    assert_eq!(port.places.taken.len(), 12);
    port.close(1);
    assert!(port.enters_as_stranger(newcomer));
    assert_eq!(port.is_stranger(newcomer), Keeps::Yes);
    assert_eq!(port.places.strangers, 12);
}

#[test]
fn whoever_is_displaced_in_its_handshake_is_told_so() {
    let mut port = from_everywhere(16);
    let first = port.connect("203.0.113.1");
    let second = port.connect("203.0.114.1");
    assert_eq!(port.try_connect("203.0.115.1"), Err(Denied::Full), "half of the reserve");
    port.pass(1);
    port.connect("203.0.115.1");
    assert_eq!(port.why, Some(Why::Handshake));
    assert!(!port.has(first) && port.has(second));
    assert_eq!(port.is_stranger(first), Keeps::Displaced);
}

#[test]
fn handshakes_from_everywhere_keep_nobody_out_for_good() {
    let mut port = from_everywhere(1000);
    let mut other = 1000;
    for round in 0..20 {
        // As many as find a place, each from a network of its own, and none of them shows anything.
        while port.try_connect(&format!("10.{}.{}.1", other / 250, other % 250)).is_ok() {
            other += 1;
        }
        assert_eq!(port.places.others, 125);
        port.pass(1);
        let service = port.connect(&format!("203.0.113.{round}"));
        port.is_known(service);
        port.request(service);
    }
    assert_eq!(port.places.known, 20);
}

#[test]
fn a_known_address_needs_no_trial_and_finds_room_beside_them() {
    let mut port = from_everywhere(16);
    let service = port.connect("203.0.113.1");
    port.is_known(service);
    port.connect("203.0.114.1");
    port.connect("203.0.115.1");
    let next = port.connect("203.0.113.1");
    assert_eq!(port.places.taken[&next].kind, Kind::Expected);
}

/// What may happen at a port, by the number of an address or of a connection.
#[derive(Debug, Clone)]
enum Step {
    Connect { address: usize, busy: bool },
    Known(usize),
    Stranger(usize),
    Close(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_usize, any::<bool>()).prop_map(|(address, busy)| Step::Connect { address, busy }),
        2 => any::<usize>().prop_map(Step::Known),
        2 => any::<usize>().prop_map(Step::Stranger),
        1 => any::<usize>().prop_map(Step::Close),
        1 => (0..4_u64).prop_map(Step::Pass),
    ]
}

impl Port {
    fn some(&self, index: usize) -> Option<u64> {
        let mut numbers: Vec<u64> = self.connections.keys().copied().collect();
        numbers.sort_unstable();
        numbers.get(index.checked_rem(numbers.len())?).copied()
    }

    fn of_kind(&self, kind: Kind) -> Vec<u64> {
        let of_kind = self.places.taken.iter().filter(|(_, taken)| taken.kind == kind);
        of_kind.map(|(number, _)| *number).collect()
    }

    fn go(&mut self, step: &Step) {
        match *step {
            Step::Connect { address, busy } => {
                // Ten networks of four addresses.
                let address = format!("203.0.{}.{}", address / 4, address % 4);
                if let Ok(number) = self.try_connect(&address)
                    && busy
                {
                    self.request(number);
                }
            }
            Step::Known(index) => {
                if let Some(number) = self.some(index) {
                    self.is_known(number);
                }
            }
            Step::Stranger(index) => {
                if let Some(number) = self.some(index) {
                    let keeps = self.is_stranger(number);
                    assert_ne!(keeps, Keeps::Displaced, "these were closed");
                    if keeps == Keeps::No && !self.enters_as_stranger(number) {
                        let (_, client) = self.connections.remove(&number).unwrap();
                        self.places.leave(number, client, false);
                    }
                    self.close_displaced();
                }
            }
            Step::Close(index) => {
                if let Some(number) = self.some(index) {
                    self.close(number);
                }
            }
            Step::Pass(seconds) => self.pass(seconds),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(size in 1..40_usize, steps in prop::collection::vec(step(), 1..200)) {
        let mut port = Port::new(Sizes::with_reserve(size), Share::OfWhatIsFree);
        let sizes = port.places.sizes;
        let reserve = sizes.all - sizes.strangers;
        for step in &steps {
            let known = port.of_kind(Kind::Known);
            port.go(step);
            let places = &port.places;
            prop_assert!(places.taken.len() <= sizes.all);
            prop_assert!(places.strangers <= sizes.strangers);
            prop_assert_eq!(places.taken.len(), port.connections.len());
            let trials = port.of_kind(Kind::Trial);
            prop_assert!(trials.len() <= reserve / 2);
            let gone = known.iter().filter(|number| !port.has(**number)).count();
            if !matches!(step, Step::Close(_) | Step::Stranger(_)) {
                prop_assert!(gone == 0 || known.len() > reserve, "a reserved one was displaced");
            }
        }
        for number in port.connections.keys().copied().collect::<Vec<_>>() {
            port.close(number);
        }
        prop_assert!(port.places.is_empty());
    }
}
