//! A gateway that lacks the resources to validate challenges.

use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::client::Client;
use crate::steps;
use crate::world::{Server, World};

const ALONE: &str = "CHANCERY_TEST_ALONE";

/// Whether this process runs this test only. If not, starts such a process, since limits are per process.
fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let ran = command.args(["--exact", name, "--nocapture"]).env(ALONE, "").status().unwrap();
    assert!(ran.success(), "{name} failed inside its process: {ran}");
    false
}

/// Keeps the process from opening more files until `over` is called.
struct Exhausted(Rlimit);

impl Exhausted {
    fn new() -> Self {
        let usual = getrlimit(Resource::Nofile);
        let none = Rlimit { current: Some(3), maximum: usual.maximum };
        setrlimit(Resource::Nofile, none).unwrap();
        Self(usual)
    }

    fn over(self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

/// Has the one challenge that was put off taken up, as soon as the worker that put it off is done with it.
async fn taken_up(world: &World, server: &Server) {
    world.clock.advance(Duration::from_mins(1));
    while server.acme.take_up().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}

async fn status(client: &mut Client, url: &str) -> String {
    client.get(url).await.ok()["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gateway_without_descriptors_blames_no_client() {
    if !is_alone("shortage::a_gateway_without_descriptors_blames_no_client") {
        return;
    }
    let world = World::new().await;
    let server = world.start_with(|config| config.hold = Duration::ZERO).await;
    for (name, kind) in [
        ("a.localhost", "http-01"),
        ("b.localhost", "tls-alpn-01"),
        // There is no resolver for these names, so the gateway can never validate them.
        ("c.example.com", "dns-01"),
        ("d.example.com", "http-01"),
    ] {
        let mut client = server.client().await;
        let order = steps::order(&mut client, &[name]).await;
        let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
        let challenge = steps::challenge(&client.get(&authorization).await.json(), kind);
        world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
        let url = challenge["url"].as_str().unwrap();

        let exhausted = Exhausted::new();
        let answer = client.post(url, &json!({})).await.ok();
        assert_eq!(answer["status"], "processing", "{name} {kind}: {answer}");
        for _ in 0..3 {
            taken_up(&world, &server).await;
            let found = client.get(url).await.json();
            assert_eq!(found["status"], "processing", "{name} {kind}: {found}");
        }
        exhausted.over();
        if name.ends_with("example.com") {
            continue;
        }
        while status(&mut client, url).await == "processing" {
            world.clock.advance(Duration::from_mins(1));
            server.acme.take_up().await.unwrap();
            tokio::task::yield_now().await;
        }
        // Nobody answers the other challenge. Now that the gateway can try, it says so.
        let met = if name == "a.localhost" { "valid" } else { "invalid" };
        assert_eq!(status(&mut client, url).await, met, "{name} {kind}");
    }
}
