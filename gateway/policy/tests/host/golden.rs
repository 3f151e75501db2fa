//! The shipped plugins with the bindings of development, against the golden decisions in `policies/`.

use std::fs;
use std::time::Duration;

use chancery_policy::{
    AccessRequest, CertificateFacts, Denial, Digest, KeyFacts, Name, PolicyHost, ValidatedName,
};
use serde::Deserialize;

use crate::installation::{Installation, repository, shipped};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases<R, A> {
    case: Vec<Case<R, A>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<R, A> {
    name: String,
    request: R,
    allow: Option<A>,
    deny: Option<String>,
}

impl<R, A: PartialEq + std::fmt::Debug> Case<R, A> {
    fn check(&self, said: &Result<A, Denial>) -> Result<(), String> {
        let code = said.as_ref().err().map(|denial| denial.code.clone());
        if (&said.as_ref().ok(), &code) == (&self.allow.as_ref(), &self.deny) {
            return Ok(());
        }
        Err(format!("{}: expected {:?} {:?}, got {said:?}", self.name, self.allow, self.deny))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessCase {
    #[serde(default = "default_tenant")]
    tenant: String,
    identity: String,
    operation: String,
    resource: String,
}

fn default_tenant() -> String {
    "default".to_owned()
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowed {
    max_ttl_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateCase {
    requester: String,
    profile: Option<String>,
    #[serde(default = "default_key")]
    key: String,
    #[serde(default = "default_bits")]
    bits: u32,
    common_name: Option<String>,
    names: Vec<String>,
    /// `METHOD KIND:NAME`.
    validated: Vec<String>,
    validity_seconds: Option<u64>,
}

fn default_key() -> String {
    "ecdsa-p256".to_owned()
}

fn default_bits() -> u32 {
    256
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shaped {
    profile: String,
    names: Vec<String>,
    key_usages: Vec<String>,
    extended_key_usages: Vec<String>,
    validity_seconds: u64,
    common_name: Option<String>,
}

/// A host with the documents of `policies/dev`, in which every guest has to do with the one page of
/// memory that makes evaluations cheap.
fn development(plugins: [&str; 1], document: &str) -> (Installation, PolicyHost) {
    let installation = Installation::new();
    let mut text = fs::read_to_string(repository().join("policies/dev").join(document)).unwrap();
    text = text.replace("match =", "limits = { memory_kib = 64, deadline_ms = 100 }\nmatch =");
    for name in plugins {
        let wasm = shipped(name);
        installation.plugin(&format!("{name}.wasm"), &wasm);
        text = text.replace(&format!("@{name}@"), &Digest::of(&wasm).to_string());
    }
    installation.document(document, &text);
    let host = installation.open().unwrap();
    (installation, host)
}

fn cases<R, A>(document: &str) -> Vec<Case<R, A>>
where
    Cases<R, A>: for<'de> Deserialize<'de>,
{
    let text = fs::read_to_string(repository().join("policies/cases").join(document)).unwrap();
    toml::from_str::<Cases<R, A>>(&text).unwrap().case
}

fn split(name: &str) -> (String, String) {
    let (kind, value) = name.split_once(':').unwrap();
    (kind.to_owned(), value.to_owned())
}

#[tokio::test]
async fn access_decisions_are_golden() {
    let (_installation, host) = development(["access-rules"], "access.toml");
    let mut wrong = Vec::new();
    for case in cases::<AccessCase, Allowed>("access.toml") {
        let verdict = host
            .decide_access(&AccessRequest {
                tenant: case.request.tenant.parse().unwrap(),
                identity: case.request.identity.clone(),
                operation: case.request.operation.clone(),
                resource: case.request.resource.clone(),
                attributes: vec![("address".to_owned(), "127.0.0.1".to_owned())],
            })
            .await;
        let said = verdict
            .decision
            .map(|grant| Allowed { max_ttl_seconds: grant.max_ttl.map(|ttl| ttl.as_secs()) });
        wrong.extend(case.check(&said).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn certificate_decisions_are_golden() {
    let (_installation, host) = development(["certificate-template"], "certificates.toml");
    let mut wrong = Vec::new();
    for case in cases::<CertificateCase, Shaped>("certificates.toml") {
        let request = &case.request;
        let facts = CertificateFacts {
            tenant: "default".parse().unwrap(),
            requester: request.requester.clone(),
            identity: None,
            profile: request.profile.clone(),
            key: KeyFacts {
                algorithm: request.key.clone(),
                bits: request.bits,
                fingerprint: "0".repeat(64),
            },
            subject: request.common_name.iter().map(|cn| ("CN".to_owned(), cn.clone())).collect(),
            requested: request
                .names
                .iter()
                .map(|name| {
                    let (kind, value) = split(name);
                    Name { kind, value }
                })
                .collect(),
            validated: request
                .validated
                .iter()
                .map(|proof| {
                    let (method, name) = proof.split_once(' ').unwrap();
                    let (kind, value) = split(name);
                    ValidatedName { kind, value, method: method.to_owned() }
                })
                .collect(),
            extensions: vec![],
            requested_validity: request.validity_seconds.map(Duration::from_secs),
            attributes: vec![],
        };
        let said = host.decide_certificate(&facts).await.decision.map(|template| Shaped {
            profile: template.profile,
            names: template.names.iter().map(|n| format!("{}:{}", n.kind, n.value)).collect(),
            key_usages: template.key_usages,
            extended_key_usages: template.extended_key_usages,
            validity_seconds: template.validity.as_secs(),
            common_name: template.subject.first().map(|(_, value)| value.clone()),
        });
        wrong.extend(case.check(&said).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_evaluation_says_which_policy_at_which_digest_said_what() {
    let (_installation, host) = development(["access-rules"], "access.toml");
    let verdict = host.decide_access(&crate::installation::request("secrets.read", "no")).await;
    let [evaluation] = &verdict.evaluations[..] else { panic!("one evaluation") };
    assert_eq!(evaluation.binding, "access");
    assert_eq!(evaluation.plugin, "plugins/access-rules.wasm");
    assert_eq!(evaluation.digest, Digest::of(&shipped("access-rules")).to_string());
    assert_eq!(evaluation.outcome, "deny");
    assert!(evaluation.detail.starts_with("no-rule"), "{}", evaluation.detail);
}
