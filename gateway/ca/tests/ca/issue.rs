use std::sync::OnceLock;
use std::time::Duration;

use chancery_ca::{PrepareError, ProposedCertificate, SignError};
use chancery_keys::KeyType;
use chancery_x509::{
    ExtendedKeyUsage, GeneralName, KeyUsage, KeyUsages, ParsedCertificate, PublicKey, Subject,
    SubjectAttribute, WeakKey,
};
use der::asn1::AnyRef;
use der::{Decode, Encode};
use proptest::prelude::*;
use x509_cert::Certificate;

use crate::harness::{DAY, Software, proposal, public_key, start};

#[tokio::test]
async fn signs_byte_for_byte_what_was_prepared() {
    let ca = Software::first_start().await.ca;
    let prepared = ca.prepare(proposal(), start()).unwrap();
    let (digest, serial) = (prepared.digest(), *prepared.serial());
    let issued = ca.sign(prepared).await.unwrap();
    let signed = Certificate::from_der(&issued.der).unwrap().tbs_certificate().to_der().unwrap();
    let signed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &signed);
    assert_eq!(hex::encode(signed), digest);
    assert_eq!(issued.serial, serial);
    assert_eq!(issued.chain, [ca.issuing_der().to_vec()]);
}

#[tokio::test]
async fn a_leaf_says_what_was_proposed_and_that_it_is_no_ca() {
    let ca = Software::first_start().await.ca;
    let mut proposed = proposal();
    proposed.names.push(GeneralName::Ip("::1".parse().unwrap()));
    proposed.extended_key_usages.push(ExtendedKeyUsage::ClientAuth);
    let issued = ca.sign(ca.prepare(proposed.clone(), start()).unwrap()).await.unwrap();
    let leaf = ParsedCertificate::from_der(&issued.der).unwrap();
    assert!(!leaf.is_ca());
    assert_eq!(leaf.path_length(), None);
    assert_eq!(leaf.names(), proposed.names);
    assert_eq!(leaf.subject_common_name(), proposed.subject.get(SubjectAttribute::CommonName));
    assert_eq!(leaf.public_key().unwrap(), &proposed.public_key);
    assert_eq!(leaf.key_usages(), Some(proposed.key_usages));
    assert_eq!(leaf.extended_key_usages(), proposed.extended_key_usages);
    assert_eq!(leaf.authority_key_id(), Some(ca.issuer_id()));
    assert_eq!(leaf.subject_key_id(), Some(&*hex::encode(proposed.public_key.key_id())));
    // 90 days are 90 days less a second.
    assert_eq!(leaf.not_before(), start());
    assert_eq!(leaf.not_after(), start() + DAY * 90 - Duration::from_secs(1));
    assert_eq!((leaf.not_before(), leaf.not_after()), (issued.not_before, issued.not_after));
    assert_eq!(leaf.serial(), &issued.serial);
}

#[tokio::test]
async fn the_validity_stays_within_the_issuing_ca_s() {
    let ca = Software::first_start().await.ca;
    let issuing = ParsedCertificate::from_der(ca.issuing_der()).unwrap();
    let mut proposed = proposal();
    proposed.not_before = start() - DAY * 10;
    proposed.not_after = start() + DAY * 10_000;
    let prepared = ca.prepare(proposed, start()).unwrap();
    assert_eq!(prepared.not_before(), issuing.not_before());
    assert_eq!(prepared.not_after(), issuing.not_after());
    drop(prepared);

    let after_its_end = issuing.not_after() + DAY;
    let mut late = proposal();
    late.not_before = after_its_end;
    late.not_after = after_its_end + DAY;
    let refused = ca.prepare(late, after_its_end).unwrap_err();
    assert!(matches!(refused, PrepareError::Validity { .. }), "{refused}");
    // Over before it is signed.
    let refused = ca.prepare(proposal(), start() + DAY * 91).unwrap_err();
    assert!(matches!(refused, PrepareError::Validity { .. }), "{refused}");
}

#[tokio::test]
async fn weak_keys_are_refused() {
    let ca = Software::first_start().await.ca;
    let mut spki = public_key(KeyType::Rsa2048).spki_der().to_vec();
    // The exponent stands at the end: 65,537 becomes 65,536.
    *spki.last_mut().unwrap() = 0;
    let mut proposed = proposal();
    proposed.public_key = PublicKey::from_spki_der(&spki).unwrap();
    let refused = ca.prepare(proposed, start()).unwrap_err();
    assert_eq!(refused, PrepareError::WeakKey(WeakKey::RsaExponent));
}

#[tokio::test]
async fn what_lint_finds_is_not_signed() {
    type Change = Box<dyn Fn(&mut ProposedCertificate)>;
    let ca = Software::first_start().await.ca;
    let dns = |name: &str| GeneralName::Dns(name.to_owned());
    let issuing = ParsedCertificate::from_der(ca.issuing_der()).unwrap();
    let own_key = issuing.public_key().unwrap().clone();
    let cases: [(&str, Change); 8] = [
        ("alternative-names", Box::new(|p| p.names.clear())),
        ("alternative-name", Box::new(move |p| p.names.push(dns("A b")))),
        ("alternative-name-twice", Box::new(|p| p.names.push(p.names[0].clone()))),
        (
            "common-name-not-validated",
            Box::new(|p| p.subject = Subject::common_name(Some("b.example".to_owned()))),
        ),
        (
            "common-name-length",
            Box::new(|p| p.subject = Subject::common_name(Some("a".repeat(65)))),
        ),
        ("leaf-signs", Box::new(|p| p.key_usages = p.key_usages.with(KeyUsage::KeyCertSign))),
        ("extended-key-usage", Box::new(|p| p.extended_key_usages.clear())),
        ("key-is-issuers", Box::new(move |p| p.public_key = own_key.clone())),
    ];
    for (code, change) in cases {
        let mut proposed = proposal();
        change(&mut proposed);
        match ca.prepare(proposed, start()) {
            Err(PrepareError::Lint(found)) => {
                assert!(found.iter().any(|finding| finding.code == code), "{code}: {found:?}");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn another_ca_s_prepared_certificate_is_not_signed() {
    let (one, other) = (Software::first_start().await.ca, Software::first_start().await.ca);
    let prepared = one.prepare(proposal(), start()).unwrap();
    let refused = other.sign(prepared).await.unwrap_err();
    assert_eq!(refused, SignError::OtherIssuer(one.issuer_id().to_owned()));
}

#[tokio::test]
async fn a_signer_without_the_key_is_an_error() {
    let started = Software::first_start().await;
    let prepared = started.ca.prepare(proposal(), start()).unwrap();
    let (issuing, _) = started.stored_keys().await;
    assert!(started.signer.remove(&issuing));
    let refused = started.ca.sign(prepared).await.unwrap_err();
    let expected = chancery_keys::SignError::UnknownKey { key: issuing };
    assert_eq!(refused, SignError::Signer(expected));
}

fn keys() -> &'static [PublicKey] {
    static KEYS: OnceLock<Vec<PublicKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Ed25519, KeyType::Rsa2048]
            .map(public_key)
            .to_vec()
    })
}

fn names() -> impl Strategy<Value = GeneralName> {
    prop_oneof![
        "[a-zA-Z0-9.*-]{0,70}".prop_map(GeneralName::Dns),
        "[a-z]{1,9}\\.example".prop_map(GeneralName::Dns),
        any::<std::net::IpAddr>().prop_map(GeneralName::Ip),
        "(spiffe://|https:)?[a-z/.]{0,20}".prop_map(GeneralName::Uri),
        "[a-z@.]{0,20}".prop_map(GeneralName::Email),
        ".{0,10}".prop_map(GeneralName::Dns),
    ]
}

fn proposals() -> impl Strategy<Value = ProposedCertificate> {
    (
        proptest::sample::select(keys()),
        proptest::option::of("[a-z]{1,9}\\.example|.{0,70}"),
        proptest::collection::vec(names(), 0..4),
        proptest::sample::subsequence(KeyUsage::ALL.to_vec(), 0..4),
        proptest::collection::vec(proptest::sample::select(&ExtendedKeyUsage::ALL[..]), 0..3),
        (-100_000_000_i64..400_000_000, -100_000_000_i64..400_000_000),
    )
        .prop_map(|(public_key, common_name, names, usages, extended_key_usages, dates)| {
            let moment = |seconds| start() + jiff::SignedDuration::from_secs(seconds);
            ProposedCertificate {
                public_key,
                subject: Subject::common_name(common_name),
                names,
                key_usages: usages.into_iter().collect::<KeyUsages>(),
                extended_key_usages,
                extra: vec![],
                not_before: moment(dates.0),
                not_after: moment(dates.1),
            }
        })
}

/// Proposals that are mostly good, so that many of them are signed.
fn likely_proposals() -> impl Strategy<Value = ProposedCertificate> {
    (proposals(), "[a-z]{1,9}\\.example", 1_i64..1000).prop_map(|(proposed, name, days)| {
        ProposedCertificate {
            subject: Subject::common_name(
                proposed.subject.get(SubjectAttribute::CommonName).map(|_| name.clone()),
            ),
            names: vec![GeneralName::Dns(name)],
            key_usages: KeyUsages::NONE.with(KeyUsage::DigitalSignature),
            extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
            not_before: start(),
            not_after: start() + jiff::SignedDuration::from_hours(24 * days),
            ..proposed
        }
    })
}

proptest! {
    /// Whatever is proposed: what is signed is a leaf within the issuing CA's validity, for exactly
    /// the proposed names and key; everything else is refused.
    #[test]
    fn whatever_is_proposed_what_is_signed_is_a_proper_leaf(
        proposed in prop_oneof![proposals(), likely_proposals()],
    ) {
        static STARTED: OnceLock<Software> = OnceLock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ca = &STARTED.get_or_init(|| runtime.block_on(Software::first_start())).ca;
        if let Ok(prepared) = ca.prepare(proposed.clone(), start()) {
            let issued = runtime.block_on(ca.sign(prepared)).unwrap();
            let leaf = ParsedCertificate::from_der(&issued.der).unwrap();
            let issuing = ParsedCertificate::from_der(ca.issuing_der()).unwrap();
            prop_assert!(leaf.verify_signed_by(issuing.public_key().unwrap()).is_ok());
            prop_assert!(!leaf.is_ca());
            prop_assert!(!leaf.key_usages().unwrap().contains(KeyUsage::KeyCertSign));
            prop_assert_eq!(leaf.names(), &proposed.names[..]);
            prop_assert!(leaf.names().iter().all(|name| name.check().is_ok()));
            prop_assert_eq!(leaf.public_key().unwrap(), &proposed.public_key);
            prop_assert!(issuing.not_before() <= leaf.not_before());
            prop_assert!(leaf.not_before() < leaf.not_after());
            prop_assert!(leaf.not_after() <= issuing.not_after());
            prop_assert!(leaf.serial().bit_length() > 95);
        }
    }
}

#[tokio::test]
async fn a_subject_without_name_makes_the_alternative_names_critical() {
    let ca = Software::first_start().await.ca;
    let mut proposed = proposal();
    proposed.subject = Subject::default();
    let issued = ca.sign(ca.prepare(proposed, start()).unwrap()).await.unwrap();
    let leaf = ParsedCertificate::from_der(&issued.der).unwrap();
    assert!(AnyRef::from_der(leaf.subject_der()).unwrap().value().is_empty());
    assert!(leaf.extension("2.5.29.17").unwrap().critical);
}
