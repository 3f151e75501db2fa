//! Whatever an order may be for can be certified: the one decision about names holds for newOrder, for CSRs
//! and for the lints before signing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use chancery_acme::{Identifier, NameRules};
use chancery_ca::{Ca, CaConfig, CaKeys, Parent, ProposedCertificate};
use chancery_keys::KeyType;
use chancery_keys::software::SoftwareSigner;
use chancery_store::memory::MemoryStore;
use chancery_x509::{
    CertificateRequest, ExtendedKeyUsage, GeneralName, KeyUsage, KeyUsages, PublicKey,
    RequestTemplate, SignatureAlgorithm, Subject,
};
use jiff::Timestamp;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn ca() -> Arc<Ca> {
    let day = Duration::from_hours(24);
    let config = CaConfig {
        name: "private".to_owned(),
        parent: Parent::OwnRoot,
        key_type: KeyType::EcdsaP256,
        root_common_name: "Test Root".to_owned(),
        issuing_common_name: "Test Issuing".to_owned(),
        root_validity: day * 3650,
        issuing_validity: day * 1000,
        crl_validity: day * 7,
        crl_shards: 1,
        delta_crl_validity: None,
        shared: false,
        crl_url_base: "http://acme.test/crl".to_owned(),
        issuer_url_base: "http://acme.test/issuers".to_owned(),
        ocsp_url_base: None,
    };
    let keys = CaKeys::Software(Arc::new(SoftwareSigner::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Ca::open(config, Arc::new(MemoryStore::new()), keys, NOW)).unwrap()
}

/// A CSR for one name, in the common name too where a client would put it there.
fn csr(key: &EcdsaKeyPair, name: &GeneralName, in_common_name: bool) -> CertificateRequest {
    let spki = key.public_key().as_der().unwrap();
    let template = RequestTemplate {
        public_key: PublicKey::from_spki_der(spki.as_ref()).unwrap(),
        common_name: in_common_name.then(|| name.value().to_ascii_uppercase()),
        names: vec![name.clone()],
        key_identifier: false,
    };
    let unsigned = template.to_be_signed(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let signature = key.sign(&SystemRandom::new(), unsigned.der()).unwrap();
    CertificateRequest::from_der(&unsigned.assemble(signature.as_ref()).unwrap()).unwrap()
}

#[test]
fn whatever_new_order_takes_can_be_certified() {
    let ca = ca();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let label =
        "([a-zA-Z0-9-]{1,12}|xn--[a-z0-9-]{1,12}|xn--mnchen-3ya|xn--p1ai|r1---sn|[a-z]{60,64})";
    let top = "(com|co\\.uk|kobe\\.jp|ck|lan|localhost|internal|github\\.io|onion|[a-z0-9-]{1,6})";
    let dns = format!("(\\*\\.)?({label}\\.){{0,4}}{top}");
    let ip = "([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7})";
    let names = prop_oneof![
        4 => dns.as_str().prop_map(|name| ("dns", name)),
        1 => ip.prop_map(|name| ("ip", name)),
        1 => "[*.a-z0-9_:-]{0,30}".prop_map(|name| ("dns", name)),
    ];
    // It says something only if many names are taken.
    let taken = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 2000, ..ProptestConfig::default() };
    let outcome = proptest::test_runner::TestRunner::new(config).run(&names, |(kind, value)| {
        let Ok(identifier) = Identifier::parse(kind, &value) else { return Ok(()) };
        let rules = NameRules { unlisted: true };
        // Not taken: names of Tor, reverse names, addresses that no host has.
        if rules.check(&identifier).is_err() {
            return Ok(());
        }
        taken.set(taken.get() + 1);
        let name = identifier.general_name();
        prop_assert!(name.check().is_ok());
        let request = csr(&key, &name, kind == "dns");
        prop_assert_eq!(request.requested_names().unwrap(), BTreeSet::from([name.clone()]));
        let proposed = ProposedCertificate {
            public_key: request.public_key().clone(),
            subject: Subject::default(),
            names: vec![name],
            key_usages: KeyUsages::from_iter([KeyUsage::DigitalSignature]),
            extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
            extra: vec![],
            not_before: NOW,
            not_after: NOW + Duration::from_hours(24),
        };
        let prepared = ca.prepare(proposed, NOW);
        prop_assert!(prepared.is_ok(), "{:?}", prepared.err());
        Ok(())
    });
    outcome.unwrap();
    assert!(taken.get() > 500, "only {} names were taken", taken.get());
}
