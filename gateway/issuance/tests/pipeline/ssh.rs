use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chancery_ca::{CaKeys, SshCa};
use chancery_gate::Refused;
use chancery_identity::{Identity, IdentityName};
use chancery_issuance::{RevocationRequest, Revoker, SshError, SshIssuer, SshRequest};
use chancery_keys::KeyType;
use chancery_keys::software::SoftwareSigner;
use chancery_records::Fence;
use chancery_ssh::{Kind, Options, SshPublicKey};
use chancery_store::{SharedStore, Store as _};
use chancery_x509::RevocationReason;

use crate::world::{DAY, START, World, context, csr, tenant};

/// A CA for SSH whose certificates live for an hour, and a day at most.
pub(crate) async fn issuer(store: SharedStore) -> SshIssuer {
    let keys = CaKeys::Software(Arc::new(SoftwareSigner::new()));
    let ca = SshCa::open(KeyType::EcdsaP256, store, keys).await.unwrap();
    let tenants = [tenant()].into();
    SshIssuer { ca, tenants, default_ttl: Duration::from_hours(1), max_ttl: DAY }
}

fn request(key: SshPublicKey, principals: &[&str]) -> SshRequest {
    let name = IdentityName::Spiffe("spiffe://ops.example/alice".parse().unwrap());
    SshRequest {
        context: context(),
        identity: Identity { tenant: tenant(), name },
        role: "ops".to_owned(),
        public_key: key,
        kind: Kind::User,
        principals: principals.iter().map(|&name| name.to_owned()).collect(),
        ttl: None,
        options: Options::default(),
    }
}

#[tokio::test]
async fn another_tenant_s_policies_do_not_decide_about_the_hosts_that_trust_the_ca() {
    let world = World::new().await;
    let key = SshPublicKey::of(csr(&["a.example"]).public_key()).unwrap();
    let mut request = request(key, &["alice"]);
    request.context.tenant = "b".parse().unwrap();
    request.identity.tenant = "b".parse().unwrap();
    let refused = world.issuance.sign_ssh(request).await;
    assert!(matches!(refused, Err(SshError::OfOtherTenants)), "{refused:?}");
    let line = world.last_line();
    assert_eq!(
        (&line["tenant"], &line["outcome"]["code"]),
        (&"b".into(), &"of-other-tenants".into())
    );
    assert!(world.store.scan(b"b/issuance/ssh/", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_for_ssh_is_on_record_and_lives_as_long_as_it_may() {
    let world = World::new().await;
    let key = SshPublicKey::of(csr(&["a.example"]).public_key()).unwrap();
    let issued = world.issuance.sign_ssh(request(key.clone(), &["alice"])).await.unwrap();
    assert_eq!(issued.valid_before, START + Duration::from_hours(1));
    assert!(issued.line.starts_with("ecdsa-sha2-nistp256-cert-v01@openssh.com "));
    let line = world.last_line();
    assert_eq!(line["operation"], "ssh.sign-user");
    assert_eq!(line["resource"], "alice");
    assert_eq!(line["details"]["serial"], format!("{:016x}", issued.serial));
    let kept = world.store.scan(b"default/issuance/ssh/", None, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    let day = SshRequest { ttl: Some(DAY), ..request(key.clone(), &["alice"]) };
    assert_eq!(world.issuance.sign_ssh(day).await.unwrap().valid_before, START + DAY);
    // Nothing is shortened without a word.
    let long = SshRequest { ttl: Some(DAY * 9), ..request(key, &["alice"]) };
    let refused = world.issuance.sign_ssh(long).await.unwrap_err();
    assert!(matches!(refused, SshError::TtlTooLong { allowed: DAY, .. }), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "ttl-too-long");

    world.clock.advance(DAY * 3);
    world.issuance.prune(&tenant(), DAY, &Fence::none()).await.unwrap();
    let kept = world.store.scan(b"default/issuance/ssh/", None, 10).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn each_principal_has_to_be_allowed_and_there_has_to_be_one() {
    let world = World::new().await;
    let key = SshPublicKey::of(csr(&["a.example"]).public_key()).unwrap();
    let refused = world.issuance.sign_ssh(request(key.clone(), &["alice", "root"])).await;
    assert!(matches!(refused, Err(SshError::Gate(Refused::Denied(_)))), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["result"], "denied");
    let nobody = world.issuance.sign_ssh(request(key.clone(), &[])).await;
    assert!(matches!(nobody, Err(SshError::Certificate(_))), "{nobody:?}");
    let many = world.issuance.sign_ssh(request(key, &["alice"; 65])).await;
    assert!(matches!(many, Err(SshError::TooManyPrincipals(65))), "{many:?}");
    let kept = world.store.scan(b"default/issuance/ssh/", None, 10).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn a_key_that_was_proved_compromised_for_tls_is_none_for_ssh_either() {
    let world = World::new().await;
    let csr = csr(&["a.example"]);
    let issued = world.issue(&csr).await.unwrap();
    let question = RevocationRequest {
        context: context(),
        serial: issued.serial,
        reason: RevocationReason::KeyCompromise,
        by: Revoker::KeyHolder(csr.public_key().clone()),
    };
    world.issuance.revoke(question).await.unwrap();
    let key = SshPublicKey::of(csr.public_key()).unwrap();
    let refused = world.issuance.sign_ssh(request(key, &["alice"])).await;
    assert!(matches!(refused, Err(SshError::CompromisedKey)), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "compromised-key");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_before_a_policy_sees_it() {
    let world = World::new().await;
    let key = SshPublicKey::of(csr(&["a.example"]).public_key()).unwrap();
    let wanted = || request(key.clone(), &["alice"]);
    let critical = |name: &str, value: &str| SshRequest {
        options: Options {
            critical: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..Options::default()
        },
        ..wanted()
    };
    for bad in [
        // An attribute that policies take for the approval of a request.
        critical("approval", "granted"),
        critical("evidence", "certificate"),
        critical("force-command", "a\nb"),
        critical("force-command", ""),
        critical("source-address", "everywhere"),
        request(key.clone(), &["alice", "\u{202e}toor"]),
        SshRequest { role: "ops\nroot".to_owned(), ..wanted() },
        SshRequest { role: String::new(), ..wanted() },
    ] {
        let refused = world.issuance.sign_ssh(bad).await.unwrap_err();
        assert_eq!(refused.code(), "bad-request", "{refused}");
        let line = world.last_line();
        assert_eq!(line["outcome"]["code"], "bad-request");
        assert!(line["decisions"].as_array().is_none_or(Vec::is_empty), "{line}");
    }
}
