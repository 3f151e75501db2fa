//! What gateways do by themselves: what is to be done once is done by one of them, and by another when that is gone.

use std::time::Duration;

use chancery_identity::Clock;
use chancery_integration::http;
use chancery_integration::lint;
use serde_json::{Value, json};

use crate::world::{One, World, eventually};

/// Longer than a gateway has the lease that it does not renew.
const LEASE: Duration = Duration::from_secs(31);

/// The tasks that one gateway does for all.
const ONCE: [&str; 7] = [
    "crls",
    "expired-tokens",
    "transit-keys",
    "interrupted-issuance",
    "old-counts",
    "dead-orders",
    "sealing-keys",
];

fn tasks(gateway: &One) -> Vec<Value> {
    let answer = gateway.monitoring().get("/health/tasks");
    answer.json()["tasks"].as_array().expect("tasks").clone()
}

fn task(gateway: &One, name: &str) -> Value {
    let found = tasks(gateway).into_iter().find(|task| task["name"] == name);
    found.unwrap_or_else(|| panic!("there is no task {name}"))
}

/// Whether the gateway does the tasks that are done once.
fn is_owner(gateway: &One) -> bool {
    let here = ONCE.map(|name| task(gateway, name)["here"] == true);
    here.iter().all(|here| *here)
}

fn is_idle(gateway: &One) -> bool {
    ONCE.iter().all(|name| task(gateway, name)["here"] == false)
}

/// Whether a task ran without an error since this moment, at the gateway that does it.
fn ran_since(gateway: &One, name: &str, since: jiff::Timestamp) -> bool {
    let task = task(gateway, name);
    let last = task["last_run"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    task["here"] == true
        && task["running"] == false
        && task["last_error"].is_null()
        && last.is_some_and(|last| last >= since)
}

/// The path of the CRL that certificates of the gateway name.
fn crl_path(world: &World, gateway: &One) -> String {
    let app = gateway.app_credential();
    let field = lint::field(&world.site, app.certificate(), "-ext crlDistributionPoints");
    let url = field.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a URL");
    http::target(url)
}

fn crl(gateway: &One, path: &str) -> Vec<u8> {
    gateway.plain().get(path).expect(200).body
}

#[test]
fn a_period_has_one_crl_whichever_gateway_makes_it() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::with_clock(clock.clone());
    let (a, b) = (world.start("a"), world.start("b"));
    let path = crl_path(&world, &a);
    assert_eq!(crl(&a, &path), crl(&b, &path), "the second one takes up what the first has made");
    let mut number = lint::crl_number(&world.site, &crl(&a, &path));
    for _ in 0..2 {
        // Past the half of its time, and past the lease, so that either of them makes the next.
        clock.advance(Duration::from_hours(24 * 4));
        let since = clock.now();
        eventually("one of them has looked after the CRLs", || {
            ran_since(&a, "crls", since) || ran_since(&b, "crls", since)
        });
        eventually("both have the next CRL", || {
            let (of_a, of_b) = (crl(&a, &path), crl(&b, &path));
            of_a == of_b && lint::crl_number(&world.site, &of_a) > number
        });
        // And once more, when the other one may have it.
        clock.advance(LEASE * 2);
        let since = clock.now();
        eventually("one of them has looked again", || {
            ran_since(&a, "crls", since) || ran_since(&b, "crls", since)
        });
        number += 1;
        assert_eq!(lint::crl_number(&world.site, &crl(&a, &path)), number);
        assert_eq!(crl(&a, &path), crl(&b, &path));
    }
}

#[test]
fn what_is_done_once_is_done_by_one_and_by_another_when_that_is_killed() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::with_clock(clock.clone());
    let a = world.start("a");
    eventually("the first one does it", || is_owner(&a));
    let b = world.start("b");
    eventually("the second one does its own", || {
        let of_gateway = tasks(&b).into_iter().filter(|task| task["scope"] == "gateway");
        of_gateway.filter(|task| task["here"] == true).count() >= 4
    });
    assert!(is_owner(&a) && is_idle(&b));
    // A token that ends when its owner is gone: the other one removes it.
    drop(a.app().post("/v1/auth/cert/login", &json!({})).expect(200));
    assert_eq!(world.count("_/access/token-expiry/"), 1);
    a.vanish();
    clock.advance(LEASE);
    eventually("the second one does it", || is_owner(&b));
    clock.advance(Duration::from_hours(24 * 40));
    eventually("the token is removed", || world.count("_/access/token-expiry/") == 0);
}

#[test]
fn one_that_stops_lets_another_go_on_at_once() {
    let clock = Clock::manual(Clock::system().now());
    let world = World::with_clock(clock.clone());
    let a = world.start("a");
    eventually("the first one does it", || is_owner(&a));
    let b = world.start("b");
    a.stop();
    // Less than the lease would last: the other one only looks whether it is free.
    clock.advance(LEASE / 2);
    eventually("the second one does it", || is_owner(&b));
    assert_eq!(b.monitoring().get("/health/tasks").status, 200);
}
