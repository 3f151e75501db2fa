use std::sync::Arc;
use std::time::Duration;

use chancery_ca::{Ca, CaConfig, CaKeys, Ceremony, OpenError, Parent, SshCa};
use chancery_keys::KeyType;
use chancery_keys::software::{SoftwareSigner, generate};
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, Key, Store};
use chancery_x509::{KeyAlgorithm, KeyUsage, ParsedCertificate};

use crate::failing_store::{FailingStore, Failure};
use crate::harness::{DAY, Software, config, open, proposal, read_crl, start};

fn certificate(der: &[u8]) -> ParsedCertificate {
    ParsedCertificate::from_der(der).unwrap()
}

#[tokio::test]
async fn the_first_start_makes_a_root_and_an_issuing_ca() {
    let Software { ca, .. } = Software::first_start().await;
    let (root, issuing) = (certificate(ca.root_der()), certificate(ca.issuing_der()));
    for (cert, name, length) in
        [(&root, "Test Root CA", None), (&issuing, "Test Issuing CA", Some(0))]
    {
        assert!(cert.is_ca());
        assert_eq!(cert.subject_common_name(), Some(name));
        assert_eq!(cert.path_length(), length);
        let usages: Vec<_> = cert.key_usages().unwrap().iter().collect();
        assert_eq!(usages, [KeyUsage::KeyCertSign, KeyUsage::CrlSign]);
        assert_eq!(cert.public_key().unwrap().algorithm(), KeyAlgorithm::EcdsaP256);
        assert_eq!(cert.issuer_der(), root.subject_der());
        assert_eq!(cert.authority_key_id(), Some(ca.root_id()));
        assert!(cert.verify_signed_by(root.public_key().unwrap()).is_ok());
        assert!(cert.not_before() < start());
    }
    assert_eq!(root.subject_key_id(), Some(ca.root_id()));
    assert_eq!(issuing.subject_key_id(), Some(ca.issuer_id()));
    assert_ne!(ca.root_id(), ca.issuer_id());
    // Inclusive: ten years are ten years less a second.
    assert_eq!(root.not_after(), start() + DAY * 3650 - Duration::from_secs(1));
    assert_eq!(ca.not_after(), start() + DAY * 1825 - Duration::from_secs(1));
    assert_eq!(ca.chain(), [ca.issuing_der().to_vec()]);
    assert_eq!(
        certificate(ca.root_der()).der(),
        ParsedCertificate::from_pem(&ca.root_pem()).unwrap().der()
    );
    for der in [ca.root_der(), ca.issuing_der()] {
        assert!(certificate(der).serial().bit_length() > 95);
    }
}

#[tokio::test]
async fn the_issuing_ca_does_not_outlive_the_root() {
    let mut longer = config();
    longer.issuing_validity = longer.root_validity * 2;
    let started = Software::start(longer, MemoryStore::new(), start()).await.unwrap();
    assert_eq!(started.ca.not_after(), certificate(started.ca.root_der()).not_after());
}

#[tokio::test]
async fn a_second_start_continues_with_the_same_ca() {
    let first = Software::first_start().await;
    let before = (first.ca.root_der().to_vec(), first.ca.issuing_der().to_vec());
    let second = first.restart(start() + DAY).await;
    assert_eq!((second.ca.root_der(), second.ca.issuing_der()), (&*before.0, &*before.1));
    let prepared = second.ca.prepare(proposal(), start() + DAY).unwrap();
    let issued = second.ca.sign(prepared).await.unwrap();
    let issuer = certificate(&before.1);
    certificate(&issued.der).verify_signed_by(issuer.public_key().unwrap()).unwrap();
}

#[tokio::test]
async fn what_a_ca_does_not_follow_of_its_configuration_is_told() {
    let first = Software::first_start().await;
    assert_eq!(first.ca.differences(), []);
    let later = start() + DAY;
    let changed = CaConfig {
        parent: Parent::Elsewhere,
        key_type: KeyType::Rsa2048,
        root_common_name: "Other Root CA".to_owned(),
        issuing_common_name: "Other Issuing CA".to_owned(),
        root_validity: DAY * 3000,
        issuing_validity: DAY * 1000,
        ..config()
    };
    let second = Software::start(changed.clone(), first.store, later).await.unwrap();
    let told = |ca: &Ca| {
        let told = ca.differences().into_iter();
        told.map(|one| format!("{}: {} {}", one.setting, one.configured, one.is))
            .collect::<Vec<_>>()
    };
    let of_root =
        ["root_name: Other Root CA Test Root CA", "root_days: 3000 3650"].map(str::to_owned);
    let all = [
        "parent: elsewhere own-root",
        "key_type: rsa-2048 ecdsa-p256",
        &of_root[0],
        "issuing_name: Other Issuing CA Test Issuing CA",
        &of_root[1],
        "issuing_days: 1000 1825",
    ];
    assert_eq!(told(&second.ca), all);
    // The next key follows, the root does not.
    let changed = CaConfig { parent: Parent::OwnRoot, ..changed };
    let (store, keys) = (second.store, CaKeys::Software(second.signer));
    Ceremony::new(&changed, Arc::new(store.clone()), &keys).unwrap().rotate(later).await.unwrap();
    let third = Software::start(changed, store, later).await.unwrap();
    assert_eq!(told(&third.ca), of_root);
}

#[tokio::test]
async fn a_store_says_which_cas_it_holds() {
    let store = MemoryStore::new();
    assert_eq!(chancery_ca::names(&store).await.unwrap(), [""; 0]);
    for name in ["short", "private", "private-2", "a"] {
        let config = CaConfig { name: name.to_owned(), ..config() };
        Software::start(config, store.clone(), start()).await.unwrap();
    }
    let signer = CaKeys::Software(Arc::new(SoftwareSigner::new()));
    SshCa::open(KeyType::Ed25519, Arc::new(store.clone()), signer).await.unwrap();
    let mut names = chancery_ca::names(&store).await.unwrap();
    names.sort();
    assert_eq!(names, ["a", "private", "private-2", "short"]);
}

#[tokio::test]
async fn new_certificates_point_to_where_this_start_publishes() {
    let first = Software::first_start().await;
    let mut moved = config();
    moved.crl_url_base = "http://ca.example:8081/crl".to_owned();
    moved.issuer_url_base = "http://ca.example:8081/issuers".to_owned();
    let second = Software::start(moved, first.store, start()).await.unwrap();
    let issued = second.ca.sign(second.ca.prepare(proposal(), start()).unwrap()).await.unwrap();
    for url in ["crl/ID.crl", "issuers/ID.der"] {
        let url = format!("http://ca.example:8081/{}", url.replace("ID", second.ca.issuer_id()));
        let found = issued.der.windows(url.len()).any(|window| window == url.as_bytes());
        assert!(found, "{url}");
    }
}

#[tokio::test]
async fn the_root_key_is_not_among_the_signing_keys() {
    let started = Software::first_start().await;
    let (issuing, root) = started.stored_keys().await;
    assert!(started.signer.contains(&issuing));
    assert!(!started.signer.contains(&root));
    let restarted = started.restart(start() + DAY * 300).await;
    assert!(!restarted.signer.contains(&root));
}

#[tokio::test]
async fn two_first_starts_at_once_end_with_one_ca() {
    let store = MemoryStore::new();
    let starts = (0..4).map(|_| {
        let store = Arc::new(store.clone());
        tokio::spawn(async move {
            let signer = Arc::new(SoftwareSigner::new());
            let ca = open(config(), store, &signer, start()).await.unwrap();
            // It can sign with what it ended up with.
            ca.sign(ca.prepare(proposal(), start()).unwrap()).await.unwrap();
            ca.root_der().to_vec()
        })
    });
    let mut roots = Vec::new();
    for started in starts.collect::<Vec<_>>() {
        roots.push(started.await.unwrap());
    }
    assert!(roots.iter().all(|root| *root == roots[0]));
    assert_eq!(store.scan(b"_/ca/key/", None, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_first_start_that_fails_anywhere_is_continued_by_the_next() {
    for how in [Failure::Nothing, Failure::Unknown] {
        let mut failures = 0;
        loop {
            let store = MemoryStore::new();
            let failing = FailingStore::new(store.clone(), failures, how);
            let signer = Arc::new(SoftwareSigner::new());
            let outcome = open(config(), Arc::new(failing.clone()), &signer, start()).await;
            assert_eq!(outcome.is_err(), failing.has_failed(), "{how:?} at commit {failures}");
            let next = Software::start(config(), store, start()).await.unwrap();
            next.ca.sign(next.ca.prepare(proposal(), start()).unwrap()).await.unwrap();
            next.stored_keys().await;
            if !failing.has_failed() {
                break;
            }
            failures += 1;
        }
        // The plan, the CA, one CRL number, and number and content of the root's CRL.
        assert_eq!(failures, 5);
    }
}

#[tokio::test]
async fn keys_of_another_signer_are_missed_by_name() {
    let started = Software::first_start().await;
    let (issuing, _) = started.stored_keys().await;
    let key = Key::new(format!("_/ca/key/{issuing}")).unwrap();
    started.store.commit(Commit::new().delete(key)).await.unwrap();
    let refused = Software::start(config(), started.store, start()).await.err().unwrap();
    assert!(matches!(&refused, OpenError::KeyMissing { key, kind: "software" } if *key == issuing));
}

#[tokio::test]
async fn a_key_that_is_not_the_certificate_s_is_refused() {
    let started = Software::first_start().await;
    let (issuing, _) = started.stored_keys().await;
    let key = Key::new(format!("_/ca/key/{issuing}")).unwrap();
    let other = generate(KeyType::EcdsaP256).unwrap();
    started.store.commit(Commit::new().put(key, other.to_vec())).await.unwrap();
    let refused = Software::start(config(), started.store, start()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Mismatch(_)), "{refused}");
}

#[tokio::test]
async fn a_root_that_did_not_sign_the_issuing_certificate_is_refused() {
    let (one, other) = (Software::first_start().await, Software::first_start().await);
    let place = Key::new("_/ca/private/authority").unwrap();
    let read = async |from: &MemoryStore| -> serde_json::Value {
        serde_json::from_slice(&from.get(&place).await.unwrap().unwrap().value).unwrap()
    };
    let mut mixed = read(&one.store).await;
    mixed["root"] = read(&other.store).await["root"].clone();
    let commit = Commit::new().put(place.clone(), serde_json::to_vec(&mixed).unwrap());
    one.store.commit(commit).await.unwrap();
    let refused = Software::start(config(), one.store, start()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Mismatch(_)), "{refused}");
}

#[tokio::test]
async fn a_record_of_another_release_is_named() {
    let started = Software::first_start().await;
    let place = Key::new("_/ca/private/authority").unwrap();
    let commit = Commit::new().put(place, br#"{"state":"later"}"#.to_vec());
    started.store.commit(commit).await.unwrap();
    let refused = Software::start(config(), started.store, start()).await.err().unwrap();
    assert!(refused.to_string().contains("_/ca/private/authority"), "{refused}");
}

#[tokio::test]
async fn a_configuration_that_makes_no_ca_leaves_room_for_one_that_does() {
    let store = MemoryStore::new();
    let mut bad = config();
    bad.name = "Not a name".to_owned();
    let refused = Software::start(bad, store.clone(), start()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Name(_)), "{refused}");
    for change in [
        (|c| c.root_common_name = String::new()) as fn(&mut chancery_ca::CaConfig),
        |c| c.issuing_common_name = "x".repeat(65),
        |c| c.crl_url_base = "https://example.com".to_owned(),
    ] {
        let mut bad = config();
        change(&mut bad);
        let refused = Software::start(bad, store.clone(), start()).await.err().unwrap();
        assert!(matches!(refused, OpenError::Lint { .. }), "{refused}");
    }
    Software::start(config(), store, start()).await.unwrap();
}

#[tokio::test]
async fn every_key_type_makes_a_ca() {
    for key_type in KeyType::ALL {
        let mut chosen = config();
        chosen.key_type = key_type;
        let Software { ca, .. } =
            Software::start(chosen, MemoryStore::new(), start()).await.unwrap();
        let issued = ca.sign(ca.prepare(proposal(), start()).unwrap()).await.unwrap();
        let issuing = certificate(ca.issuing_der());
        certificate(&issued.der).verify_signed_by(issuing.public_key().unwrap()).unwrap();
        assert_eq!(read_crl(&ca.crl()).number, 1, "{key_type}");
    }
}

#[tokio::test]
async fn a_certificate_that_names_an_old_address_is_noticed() {
    let first = Software::first_start().await;
    assert_eq!(first.ca.stale_location(), None);
    let moved = CaConfig { crl_url_base: "http://pki.example/crl".to_owned(), ..config() };
    let again = Software::start(moved, first.store, start()).await.unwrap();
    let (then, now) = again.ca.stale_location().unwrap();
    assert!(then.starts_with("http://127.0.0.1:8080/crl/"), "{then}");
    assert!(now.starts_with("http://pki.example/crl/"), "{now}");
}
