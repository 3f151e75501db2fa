//! CRLs in shards, deltas, and entries that CRLs no longer list.

use std::time::Duration;

use chancery_ca::{Ca, CaConfig, Issued};
use chancery_records::Fence;
use chancery_store::memory::MemoryStore;
use chancery_x509::{RevocationReason, pem};
use jiff::Timestamp;

use crate::harness::{DAY, Software, config, proposal, read_crl, revoked, start};
use crate::openssl::{Files, issue};

const HOUR: Duration = Duration::from_hours(1);

fn sharded(count: u32) -> CaConfig {
    CaConfig { crl_shards: count, ..config() }
}

fn with_deltas() -> CaConfig {
    CaConfig { delta_crl_validity: Some(HOUR * 6), ..config() }
}

async fn first_start(config: CaConfig) -> Software {
    Software::start(config, MemoryStore::new(), start()).await.unwrap()
}

async fn revoke(ca: &std::sync::Arc<Ca>, issued: &Issued, at: Timestamp) {
    ca.revoke(revoked(ca, issued.serial, RevocationReason::Superseded, at)).await.unwrap();
}

/// The URL of a certificate's CRL without the common prefix.
fn crl_of(files: &Files, issued: &Issued) -> String {
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let text = files.text("x509", "leaf.pem");
    let (_, url) = text.split_once("URI:http://127.0.0.1:8080/crl/").unwrap();
    url.lines().next().unwrap().strip_suffix(".crl").unwrap().to_owned()
}

#[tokio::test]
async fn a_certificate_names_the_shard_that_lists_it_and_openssl_agrees() {
    let Software { ca, .. } = first_start(sharded(4)).await;
    let files = Files::of(&ca);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..24 {
        let issued = issue(&ca, proposal()).await;
        let name = crl_of(&files, &issued);
        seen.insert(name.clone());
        let before = ca.crl_named(&name).unwrap();
        files.write_crl("crl.pem", &before);
        let (fine, said) = files.verify("sslserver", "leaf.pem");
        assert!(fine, "{said}");
        revoke(&ca, &issued, start()).await;
        let after = ca.crl_named(&name).unwrap();
        assert!(read_crl(&after).number > read_crl(&before).number);
        assert!(read_crl(&after).revoked.contains(&issued.serial.to_string()));
        files.write_crl("crl.pem", &after);
        let (fine, said) = files.verify("sslserver", "leaf.pem");
        assert!(!fine && said.contains("certificate revoked"), "{said}");
        // Everybody else can use the complete CRL.
        assert!(read_crl(&ca.crl()).revoked.contains(&issued.serial.to_string()));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    let sizes = seen.iter().map(|name| read_crl(&ca.crl_named(name).unwrap()).revoked.len());
    assert_eq!(sizes.sum::<usize>(), 24);
}

#[tokio::test]
async fn another_shard_is_no_answer_for_openssl() {
    let Software { ca, .. } = first_start(sharded(2)).await;
    let files = Files::of(&ca);
    let issued = issue(&ca, proposal()).await;
    let own = crl_of(&files, &issued);
    let flip = |name: &str| match name.strip_suffix("0-of-2") {
        Some(rest) => format!("{rest}1-of-2"),
        None => name.replace("1-of-2", "0-of-2"),
    };
    files.write_crl("crl.pem", &ca.crl_named(&flip(&own)).unwrap());
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(!fine, "{said}");
    let text = files.text("crl", "crl.pem");
    for expected in ["X509v3 Issuing Distribution Point: critical", "Only User Certificates"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn shards_that_certificates_name_stay_when_there_are_others_or_elsewhere() {
    let Software { ca, store, .. } = first_start(sharded(3)).await;
    let files = Files::of(&ca);
    let issued = issue(&ca, proposal()).await;
    let name = crl_of(&files, &issued);
    drop(ca);
    let moved = CaConfig { crl_url_base: "http://crl.example/crl".to_owned(), ..sharded(1) };
    let Software { ca, store, .. } = Software::start(moved, store, start()).await.unwrap();
    revoke(&ca, &issued, start()).await;
    assert_eq!(read_crl(&ca.crl_named(&name).unwrap()).revoked, [issued.serial.to_string()]);
    drop(ca);
    // In two places: the CRL has to cover the certificates that name either.
    let moved = CaConfig { crl_url_base: "http://crl.example/crl".to_owned(), ..sharded(3) };
    let Software { ca, .. } = Software::start(moved, store, start()).await.unwrap();
    files.write_crl("crl.pem", &ca.crl_named(&name).unwrap());
    let text = files.text("crl", "crl.pem");
    for base in ["http://127.0.0.1:8080/crl/", "http://crl.example/crl/"] {
        assert!(text.contains(&format!("URI:{base}{name}.crl")), "{text}");
    }
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(!fine && said.contains("certificate revoked"), "{said}");
}

#[tokio::test]
async fn a_delta_has_what_was_added_since_its_base_and_openssl_takes_both() {
    let Software { ca, .. } = first_start(with_deltas()).await;
    let delta_name = format!("{}-delta", ca.issuer_id());
    let delta = || read_crl(&ca.crl_named(&delta_name).unwrap());
    let files = Files::of(&ca);
    let base = ca.crl();
    assert_eq!((delta().number, delta().revoked.len()), (1, 0));
    assert_eq!(delta().next_update, start() + HOUR * 6);

    let issued = issue(&ca, proposal()).await;
    let other = issue(&ca, proposal()).await;
    revoke(&ca, &issued, start() + HOUR).await;
    assert_eq!(delta().revoked, [issued.serial.to_string()]);
    assert_eq!(delta().number, read_crl(&ca.crl()).number);
    // A client with the first CRL and the delta knows of it.
    files.write_crl("crl.pem", &base);
    files.write_crl("delta.pem", &ca.crl_named(&delta_name).unwrap());
    let options = ["-extended_crl", "-use_deltas", "-CRLfile", "delta.pem"];
    let at = (start() + HOUR).as_second().to_string();
    let options: Vec<&str> = options.into_iter().chain(["-attime", &at]).collect();
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let (fine, said) = files.verify_with(&options, "sslserver", "leaf.pem");
    assert!(!fine && said.contains("certificate revoked"), "{said}");
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &other.der));
    let (fine, said) = files.verify_with(&options, "sslserver", "leaf.pem");
    assert!(fine, "{said}");
    let text = files.text("crl", "crl.pem");
    assert!(text.contains("X509v3 Freshest CRL"), "{text}");
    let text = files.text("crl", "delta.pem");
    assert!(text.contains("X509v3 Delta CRL Indicator: critical"), "{text}");

    // A delta ends sooner than a complete CRL; then only the delta is made, under a number of its
    // own.
    let complete = read_crl(&ca.crl()).number;
    ca.refresh_crl(start() + HOUR * 5, &Fence::none()).await.unwrap();
    assert_eq!(read_crl(&ca.crl()).number, complete);
    assert_eq!(delta().number, complete + 1);
    assert_eq!(delta().revoked, [issued.serial.to_string()]);
    // With the next base the delta begins anew.
    ca.refresh_crl(start() + HOUR * 14, &Fence::none()).await.unwrap();
    assert_eq!(read_crl(&ca.crl()).revoked, [issued.serial.to_string()]);
    assert_eq!(delta().number, read_crl(&ca.crl()).number);
    assert_eq!(delta().revoked, [""; 0]);
}

#[tokio::test]
async fn a_crl_lists_a_certificate_until_it_was_on_one_after_its_end() {
    let Software { ca, .. } = first_start(config()).await;
    let issued = issue(&ca, proposal()).await;
    revoke(&ca, &issued, start()).await;
    let end = issued.not_after;
    ca.refresh_crl(end + HOUR, &Fence::none()).await.unwrap();
    assert_eq!(read_crl(&ca.crl()).revoked.len(), 1);
    ca.refresh_crl(end + DAY + HOUR, &Fence::none()).await.unwrap();
    assert_eq!(read_crl(&ca.crl()).revoked.len(), 0);
    assert!(ca.is_revoked(ca.issuer_id(), &issued.serial));
}

#[tokio::test]
async fn there_is_no_crl_under_other_names() {
    let Software { ca, .. } = first_start(sharded(2)).await;
    let id = ca.issuer_id().to_owned();
    for name in ["", "x", &format!("{id}-2-of-2"), &format!("{id}-0-of-3"), &format!("{id}-delta")]
    {
        assert!(ca.crl_named(name).is_none(), "{name}");
    }
    assert!(ca.crl_named(ca.root_id()).is_some());
}
