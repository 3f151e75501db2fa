//! How many lines of the audit log a client has that is refused without end. Accounts cost nothing, so an account is
//! no reason for more of them.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use chancery_acme::jws::base64url;
use chancery_x509::pem;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::client::{Answer, Client, SigningKey, url};
use crate::evidence::show_a_certificate;
use crate::steps;
use crate::world::{Server, World};

/// The lines that a network has in an hour, and those that the holder of a certificate has.
const OF_NETWORK: usize = 100;
const OF_CERTIFICATE: usize = 1000;
/// How many requests a client sends here that are refused.
const MANY: usize = 500;

/// A request that is refused each time.
#[derive(Debug, Clone, Copy)]
enum Refused {
    AccountOfAnother,
    BadSignature,
    OrderOfAnother,
    CertificateOfAnother,
    RevokedBefore,
    Contact,
    KeyChange,
    AuthorizationOfAnother,
    ChallengeOfAnother,
    Name,
    NameByPolicy,
    NewAccount,
    KeyOfCsr,
}

const ALL: [Refused; 13] = [
    Refused::AccountOfAnother,
    Refused::BadSignature,
    Refused::OrderOfAnother,
    Refused::CertificateOfAnother,
    Refused::RevokedBefore,
    Refused::Contact,
    Refused::KeyChange,
    Refused::AuthorizationOfAnother,
    Refused::ChallengeOfAnother,
    Refused::Name,
    Refused::NameByPolicy,
    Refused::NewAccount,
    Refused::KeyOfCsr,
];

/// A client, and what it can be refused for.
struct Stranger {
    client: Client,
    /// One that has no account.
    nobody: Client,
    own_order: String,
    own_certificate: Value,
    weak: String,
    /// What others have.
    account: String,
    order: String,
    authorization: String,
    challenge: String,
    certificate: Value,
}

fn certificate(chain: &str) -> Value {
    json!({"certificate": base64url::encode(&pem::certificates(chain).unwrap()[0])})
}

impl Stranger {
    async fn new(world: &World, server: &Server) -> Self {
        let (mut client, mut other) = (server.client().await, server.client().await);
        let chain = steps::certificate(world, &mut client, &["a.localhost"]).await;
        let own_certificate = certificate(&chain);
        client.post(&url("revoke-cert"), &own_certificate).await;
        let own_order = steps::ready_order(world, &mut client, &["a.localhost"]).await;
        let chain = steps::certificate(world, &mut other, &["b.localhost"]).await;
        let order = steps::order(&mut other, &["b.localhost"]).await;
        let authorization = order.json()["authorizations"][0].as_str().unwrap().to_owned();
        let challenge = steps::challenge(&other.get(&authorization).await.ok(), "http-01");
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        Self {
            client,
            nobody: Client::new(server.router.clone()),
            own_order,
            own_certificate,
            weak: steps::csr(&key, None, &["a.localhost"]),
            account: other.account.unwrap(),
            order: order.header("location").to_owned(),
            authorization,
            challenge: challenge["url"].as_str().unwrap().to_owned(),
            certificate: certificate(&chain),
        }
    }

    async fn ask(&mut self, what: Refused) -> Answer {
        let client = &mut self.client;
        match what {
            Refused::AccountOfAnother => client.post(&self.account, &json!({})).await,
            Refused::BadSignature => {
                let own = client.account.clone().unwrap();
                std::mem::swap(&mut client.key, &mut self.nobody.key);
                let answer = client.post(&own, &json!({})).await;
                std::mem::swap(&mut client.key, &mut self.nobody.key);
                answer
            }
            Refused::OrderOfAnother => {
                steps::finalize(client, &self.order, &steps::csr_for(&["b.localhost"])).await
            }
            Refused::CertificateOfAnother => {
                client.post(&url("revoke-cert"), &self.certificate).await
            }
            Refused::RevokedBefore => client.post(&url("revoke-cert"), &self.own_certificate).await,
            Refused::Contact => {
                let own = client.account.clone().unwrap();
                client.post(&own, &json!({"contact": ["tel:1"]})).await
            }
            Refused::KeyChange => client.post(&url("key-change"), &json!({})).await,
            Refused::AuthorizationOfAnother => {
                client.post(&self.authorization, &json!({"status": "deactivated"})).await
            }
            Refused::ChallengeOfAnother => client.post(&self.challenge, &json!({})).await,
            Refused::Name => client.post(&url("new-order"), &steps::names(&["-a"])).await,
            Refused::NameByPolicy => {
                let names = steps::names(&["forbidden.localhost"]);
                client.post(&url("new-order"), &names).await
            }
            Refused::NewAccount => {
                self.nobody.post(&url("new-account"), &json!({"contact": ["tel:1"]})).await
            }
            Refused::KeyOfCsr => steps::finalize(client, &self.own_order, &self.weak).await,
        }
    }
}

/// The lines of what came from this address and was not done.
fn refused_from(world: &World, address: &str) -> Vec<Value> {
    let lines = world.audit.lines().into_iter();
    lines
        .filter(|line| {
            line["actor"]["address"] == address && line["outcome"]["result"] != "success"
        })
        .collect()
}

#[tokio::test]
async fn a_network_has_so_many_lines_whatever_its_accounts_are_refused() {
    let world = World::new().await;
    let server = world.start().await;
    let mut stranger = Stranger::new(&world, &server).await;
    for (number, what) in ALL.into_iter().enumerate() {
        let address = format!("192.0.2.{}", number + 1);
        world.comes_from(&address);
        for _ in 0..MANY {
            let answer = stranger.ask(what).await;
            assert!(answer.status.is_client_error(), "{what:?}: {answer:?}");
        }
        let lines = refused_from(&world, &address);
        assert_eq!(lines.len(), OF_NETWORK, "{what:?}");
        // What is allowed has its line all the same.
        let own = stranger.client.account.clone().unwrap();
        stranger.client.post(&own, &json!({"contact": ["mailto:a@example.com"]})).await.ok();
        let line = world.audited("acme.account.update").pop().unwrap();
        assert_eq!(line["actor"]["address"], address.as_str(), "{line}");
        assert_eq!(line["outcome"]["result"], "success", "{line}");
    }
    // The next one tells what was left out.
    world.clock.advance(Duration::from_hours(1));
    stranger.client.nonce = None;
    world.comes_from("192.0.2.1");
    stranger.ask(Refused::AccountOfAnother).await.is_problem(403, "unauthorized");
    let lines = refused_from(&world, "192.0.2.1");
    assert_eq!(lines.len(), OF_NETWORK + 1);
    assert_eq!(lines[OF_NETWORK]["details"]["left_out"], MANY - OF_NETWORK);
}

#[tokio::test]
async fn a_certificate_gives_an_account_more_lines_and_they_end_too() {
    let world = World::new().await;
    let server = world.start().await;
    let mut stranger = Stranger::new(&world, &server).await;
    show_a_certificate(&world);
    world.comes_from("192.0.2.1");
    for _ in 0..OF_CERTIFICATE / 2 + 50 {
        for what in [Refused::AccountOfAnother, Refused::Name] {
            assert!(stranger.ask(what).await.status.is_client_error());
        }
    }
    assert_eq!(refused_from(&world, "192.0.2.1").len(), OF_CERTIFICATE);
}

#[tokio::test]
async fn proofs_that_fail_have_so_many_lines_and_those_that_succeed_have_all() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    world.comes_from("192.0.2.1");
    let names: Vec<_> = (0..75).map(|number| format!("{number}.localhost")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for _ in 0..2 {
        let order = steps::order(&mut client, &names).await.json();
        for authorization in order["authorizations"].as_array().unwrap() {
            let found = client.get(authorization.as_str().unwrap()).await.ok();
            let challenge = steps::challenge(&found, "http-01");
            client.post(challenge["url"].as_str().unwrap(), &json!({})).await;
        }
    }
    assert_eq!(refused_from(&world, "192.0.2.1").len(), OF_NETWORK);
    steps::ready_order(&world, &mut client, &names).await;
    let proved = world.audited("acme.challenge.validate");
    let proved = proved.iter().filter(|line| line["outcome"]["result"] == "success");
    assert_eq!(proved.count(), names.len());
}

#[tokio::test]
async fn what_was_given_up_before_leaves_no_second_line() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let order = steps::order(&mut client, &["a.localhost"]).await.json();
    let authorization = order["authorizations"][0].as_str().unwrap();
    for _ in 0..20 {
        let answer = client.post(authorization, &json!({"status": "deactivated"})).await;
        assert_eq!(answer.ok()["status"], "deactivated");
    }
    assert_eq!(world.audited("acme.authorization.deactivate").len(), 1);
}

#[tokio::test]
async fn a_key_that_is_blocked_has_its_line_also_if_the_certificate_was_revoked_before() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    let key = KeyPair::generate().unwrap();
    let chain = steps::certificate_with(&world, &mut client, &["a.localhost"], &key).await;
    let mut payload = certificate(&chain);
    client.post(&url("revoke-cert"), &payload).await;
    world.comes_from("192.0.2.1");
    for _ in 0..=OF_NETWORK {
        client.post(&url("revoke-cert"), &payload).await.is_problem(400, "alreadyRevoked");
    }
    assert_eq!(refused_from(&world, "192.0.2.1").len(), OF_NETWORK);
    payload["reason"] = json!(1);
    let own = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der());
    let mut holder = Client::with_key(server.router.clone(), SigningKey::P256(own.unwrap()));
    for _ in 0..3 {
        holder.post(&url("revoke-cert"), &payload).await.is_problem(400, "alreadyRevoked");
        assert_eq!(refused_from(&world, "192.0.2.1").len(), OF_NETWORK + 1);
    }
}
