//! What is damaged in the store does not keep the gateway from the rest.

use std::time::Duration;

use chancery_records::Fence;
use chancery_store::{Commit, Key, Store as _};

use crate::client::Client;
use crate::finalizing::{finalized_elsewhere, put_off};
use crate::restart::answer_one;
use crate::world::World;

async fn put(world: &World, key: &str, value: &str) {
    let commit = Commit::new().put(Key::new(key).unwrap(), value.to_owned());
    world.store.commit(commit).await.unwrap();
}

fn id(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

async fn damage_order(world: &World, url: &str) {
    put(world, &format!("default/acme/order/{}", id(url)), "damaged").await;
}

/// A world in which challenges and orders are put off. All but one of each are damaged, in any of their records.
struct Damaged {
    world: World,
    client: Client,
    challenged: String,
    put_off: String,
}

impl Damaged {
    async fn new() -> Self {
        let world = World::new().await;
        let mut client = world.start().await.client().await;
        let mut orders = Vec::new();
        for _ in 0..3 {
            orders.push(finalized_elsewhere(&world, &mut client).await);
        }
        for order in &orders {
            put_off(&world, &mut client, order, "1").await;
        }
        let entries = world.store.keys(b"default/acme/issuance-due/", None, 10).await.unwrap();
        let of_first = entries.iter().find(|key| key.to_string().ends_with(id(&orders[0])));
        put(&world, &of_first.unwrap().to_string(), "damaged").await;
        put(&world, "default/acme/issuance-due/.", "").await;
        put(&world, &format!("default/acme/issuance-due/{:016x}/.", 0), "").await;
        damage_order(&world, &orders[1]).await;

        let server = world.start_with(|config| config.hold = Duration::ZERO).await;
        client.reconnect(server.router.clone());
        world.web.close();
        let mut challenged = Vec::new();
        for name in ["b.localhost", "c.localhost", "d.localhost"] {
            challenged.push(answer_one(&world, &mut client, name).await.1);
        }
        let unfinished = "default/acme/unfinished/challenges/";
        put(&world, &format!("{unfinished}."), "").await;
        put(&world, &format!("{unfinished}{}", id(&challenged[0])), "damaged").await;
        damage_order(&world, &challenged[1]).await;
        world.clock.advance(Duration::from_mins(1));
        let (challenged, put_off) = (challenged.remove(2), orders.remove(2));
        Self { world, client, challenged, put_off }
    }

    async fn assert_others_go_on(mut self) {
        self.world.web.open();
        self.world.until(&mut self.client, &self.challenged, "ready").await;
        put_off(&self.world, &mut self.client, &self.put_off, "2").await;
    }
}

#[tokio::test]
async fn what_is_damaged_does_not_keep_others_from_being_taken_up() {
    let damaged = Damaged::new().await;
    let server = damaged.world.start().await;
    // That a record is damaged to which an entry of the queue leads is seen when its certificate is made.
    assert_eq!(server.acme.take_up().await.unwrap(), 3);
    damaged.assert_others_go_on().await;
}

#[tokio::test]
async fn what_is_damaged_does_not_keep_a_gateway_from_starting() {
    let damaged = Damaged::new().await;
    let server = damaged.world.start().await;
    // The key of an entry says which order or challenge it is about: its value is not read.
    assert_eq!(server.acme.resume().await.unwrap(), 5);
    damaged.assert_others_go_on().await;
}

#[tokio::test]
async fn what_is_damaged_does_not_keep_what_is_over_in_the_store() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let mut orders = Vec::new();
    for name in ["a.localhost", "b.localhost"] {
        let order = crate::steps::order(&mut client, &[name]).await;
        orders.push(order.header("location").to_owned());
    }
    // Earlier versions did not write down when to look at orders and accounts.
    for prefix in ["order-due", "account-due"] {
        let prefix = format!("default/acme/{prefix}/");
        for key in world.store.keys(prefix.as_bytes(), None, 10).await.unwrap() {
            world.store.commit(Commit::new().delete(key)).await.unwrap();
        }
    }
    damage_order(&world, &orders[0]).await;
    put(&world, "default/acme/account/x", "damaged").await;
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 0);
    put(&world, &format!("default/acme/order-due/{:016x}/.", 0), "").await;
    world.clock.advance(Duration::from_hours(24 * 40));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1);
}

#[tokio::test]
async fn no_more_orders_are_resumed_than_certificates_are_made_at_once() {
    let world = World::new().await;
    let server = world.start().await;
    for order in 1..=70 {
        put(&world, &format!("default/acme/issuance-due/{order:016x}/{order:032x}"), "").await;
    }
    assert_eq!(server.acme.resume().await.unwrap(), 64);
}
