//! What most tests do before they come to their point.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::client::{Answer, Client, url};
use crate::world::World;

/// The payload of newOrder for DNS names.
pub(crate) fn names(names: &[&str]) -> Value {
    let identifiers: Vec<_> =
        names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
    json!({"identifiers": identifiers})
}

/// Makes an order; the answer's `Location` is its URL.
pub(crate) async fn order(client: &mut Client, of: &[&str]) -> Answer {
    let answer = client.post(&url("new-order"), &names(of)).await;
    answer.ok();
    answer
}

/// The challenge of this type in an authorization.
pub(crate) fn challenge(authorization: &Value, kind: &str) -> Value {
    let all = authorization["challenges"].as_array().unwrap();
    all.iter().find(|one| one["type"] == kind).unwrap().clone()
}

/// Meets the http-01 challenges of an order, and returns the order as it is then.
pub(crate) async fn authorize(world: &World, client: &mut Client, order_url: &str) -> Value {
    let order = client.get(order_url).await.ok();
    for authorization in order["authorizations"].as_array().unwrap() {
        let found = client.get(authorization.as_str().unwrap()).await.ok();
        let challenge = challenge(&found, "http-01");
        world.web.show(challenge["token"].as_str().unwrap(), &client.key.thumbprint());
        let answer = client.post(challenge["url"].as_str().unwrap(), &json!({})).await;
        assert_eq!(answer.ok()["status"], "valid", "{}", answer.json());
    }
    client.get(order_url).await.ok()
}

/// Makes an order and authorizes it; its URL.
pub(crate) async fn ready_order(world: &World, client: &mut Client, of: &[&str]) -> String {
    let location = order(client, of).await.header("location").to_owned();
    assert_eq!(authorize(world, client, &location).await["status"], "ready");
    location
}

/// A CSR in base64url.
pub(crate) fn csr(key: &KeyPair, common_name: Option<&str>, alternative: &[&str]) -> String {
    let alternative: Vec<_> = alternative.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(alternative).unwrap();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    chancery_acme::jws::base64url::encode(params.serialize_request(key).unwrap().der())
}

pub(crate) fn csr_for(names: &[&str]) -> String {
    csr(&KeyPair::generate().unwrap(), None, names)
}

pub(crate) async fn finalize(client: &mut Client, order_url: &str, csr: &str) -> Answer {
    client.post(&format!("{order_url}/finalize"), &json!({"csr": csr})).await
}

/// Gets a certificate for these names: the PEM chain.
pub(crate) async fn certificate(world: &World, client: &mut Client, of: &[&str]) -> String {
    let key = KeyPair::generate().unwrap();
    certificate_with(world, client, of, &key).await
}

pub(crate) async fn certificate_with(
    world: &World,
    client: &mut Client,
    of: &[&str],
    key: &KeyPair,
) -> String {
    let order_url = ready_order(world, client, of).await;
    let order = finalize(client, &order_url, &csr(key, None, of)).await.ok();
    assert_eq!(order["status"], "valid", "{order}");
    let answer = client.get(order["certificate"].as_str().unwrap()).await;
    assert_eq!(answer.header("content-type"), "application/pem-certificate-chain");
    String::from_utf8(answer.body).unwrap()
}
