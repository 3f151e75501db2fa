//! What orders cost on the disk: a client that never finishes them must not fill it.

use std::sync::Arc;
use std::time::Duration;

use chancery_records::{Fence, Pages};
use chancery_seal::{Barrier, RootKey};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Record, Store as _};
use futures_util::future::join_all;

use crate::client::Client;
use crate::steps;
use crate::world::World;

/// Bytes of keys and values that ACME has in the store, as they are on the disk: sealed.
async fn bytes(world: &World) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let root = RootKey::create_file(&directory.path().join("root.key")).unwrap();
    let disk = MemoryStore::new();
    let barrier = Barrier::open(Arc::new(disk.clone()), root).await.unwrap();
    let mut pages = Pages::new(&world.store, b"default/acme/");
    while let Some(page) = pages.next().await.unwrap() {
        let put = |commit: Commit, one: Record| commit.put(one.key, one.value);
        barrier.commit(page.into_iter().fold(Commit::new(), put)).await.unwrap();
    }
    let mut sum = 0;
    let mut pages = Pages::new(&disk, b"default/acme/");
    while let Some(page) = pages.next().await.unwrap() {
        sum += page.iter().map(|one| one.key.as_bytes().len() + one.value.len()).sum::<usize>();
    }
    sum
}

/// How many commits there have been.
async fn commits(world: &World) -> u64 {
    world.store.commit(Commit::new()).await.unwrap().get()
}

/// A hundred names of 30 characters.
fn hundred() -> Vec<String> {
    (0..100).map(|at| format!("host-{at:03}.team.some.localhost")).collect()
}

#[tokio::test]
async fn an_order_of_100_names_takes_little_room_and_few_commits() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let names = hundred();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (room, before) = (bytes(&world).await, commits(&world).await);
    let order = steps::order(&mut client, &names).await;
    let pending = bytes(&world).await - room;
    assert!(pending < 5_000, "pending: {pending} bytes");
    assert_eq!(commits(&world).await - before, 1);

    // All at once, as some clients do.
    let mut answers = Vec::new();
    for url in order.json()["authorizations"].as_array().unwrap() {
        let found = client.get(url.as_str().unwrap()).await.ok();
        let challenge = steps::challenge(&found, "http-01");
        world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
        let url = challenge["url"].as_str().unwrap().to_owned();
        let header = client.header(&url).await;
        let body = client.key.jws(&header, "{}").to_string();
        let mut sender = Client::new(server.router.clone());
        answers.push(async move { sender.send(&url, &body).await.ok() });
    }
    let before = commits(&world).await;
    for answer in join_all(answers).await {
        assert_eq!(answer["status"], "valid", "{answer}");
    }
    let location = order.header("location");
    assert_eq!(client.get(location).await.ok()["status"], "ready");
    let ready = bytes(&world).await - room;
    assert!(ready < 20_000, "ready: {ready} bytes");
    let answered = commits(&world).await - before;
    assert!(answered < 100, "answers to 100 challenges at once took {answered} commits");
    let finalized = steps::finalize(&mut client, location, &steps::csr_for(&names)).await.ok();
    assert_eq!(finalized["status"], "valid", "{finalized}");
    let valid = bytes(&world).await - room;
    assert!(valid <= ready + 200, "valid: {valid} bytes, ready: {ready}");
}

#[tokio::test]
async fn an_order_of_100_names_that_nobody_finishes_is_gone_after_its_time() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    server.acme.sweep(&Fence::none()).await.unwrap();
    let before = bytes(&world).await;
    let names = hundred();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let order = steps::order(&mut client, &names).await;
    world.clock.advance(Duration::from_hours(36) - Duration::from_secs(1));
    assert_eq!(
        server.acme.sweep(&Fence::none()).await.unwrap(),
        0,
        "it is kept for a day after its end"
    );
    assert_eq!(client.get(order.header("location")).await.ok()["status"], "invalid");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(server.acme.sweep(&Fence::none()).await.unwrap(), 1);
    client.get(order.header("location")).await.is_problem(404, "malformed");
    // What is left is since when the account has had no order.
    let after = bytes(&world).await;
    assert!(after < before + 100, "{after} bytes, {before} before the order");
}
