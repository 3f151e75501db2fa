//! What a handshake gave, after the world has changed: a connection and its requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chancery_identity::{
    CaBinding, Evidence, EvidenceError, IdentityRules, NoIdentity, VouchesFor,
};
use chancery_tls::{ClientCa, ClientTrust};
use rcgen::{KeyUsagePurpose, date_time_ymd};

use crate::certificates::refused;
use crate::harness::{Authority, Gateway, Leaf, authority, believed, client, rules, trust};

async fn evidence(gateway: &Gateway, leaf: &Leaf) -> Evidence {
    let (served, connected) = gateway.connect(&gateway.client(Some(leaf))).await;
    connected.unwrap();
    served.unwrap().peer.evidence.unwrap()
}

fn now(evidence: &Evidence) -> Result<(), EvidenceError> {
    evidence.check().map(drop)
}

#[tokio::test]
async fn ends_with_the_certificate() {
    let gateway = Gateway::start().await;
    let mut params = client("/app");
    params.not_after = date_time_ymd(2026, 1, 2);
    let evidence = evidence(&gateway, &gateway.clients.sign(&params)).await;
    gateway.clock.advance(Duration::from_hours(24));
    assert_eq!(now(&evidence), Ok(()));
    gateway.clock.advance(Duration::from_secs(1));
    assert_eq!(now(&evidence), Err(EvidenceError::Expired));
}

#[tokio::test]
async fn ends_with_a_ca_s_certificate_above_it() {
    let gateway = Gateway::start().await;
    let mut params = authority("short");
    params.not_after = date_time_ymd(2026, 1, 2);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let short = gateway.clients.below(params);
    let leaf = short.client("/app").over(&[&short]);
    let evidence = evidence(&gateway, &leaf).await;
    assert_eq!(now(&evidence), Ok(()));
    gateway.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    assert_eq!(now(&evidence), Err(EvidenceError::Expired));
    // A session that is resumed then does not bring it back either.
    let (served, _connected) = gateway.connect(&gateway.client(Some(&leaf))).await;
    assert!(served.is_err());
}

/// An anchor ends too, on open connections and on new ones, and does not count before it begins.
#[tokio::test]
async fn ends_with_the_certificate_of_the_client_ca() {
    let gateway = Gateway::start().await;
    let mut params = authority("short");
    params.not_after = date_time_ymd(2026, 1, 2);
    let short = Authority::root(params);
    gateway.acceptor.replace_trust(trust(&[&short])).unwrap();
    let leaf = short.client("/app");
    let evidence = evidence(&gateway, &leaf).await;
    assert_eq!(now(&evidence), Ok(()));
    gateway.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    assert_eq!(now(&evidence), Err(EvidenceError::Expired));
    let why = "the certificate of the client CA `short` is valid from";
    refused(&gateway, &leaf, why, "CertificateUnknown").await;
    let mut params = authority("early");
    params.not_before = date_time_ymd(2027, 1, 1);
    let early = Authority::root(params);
    gateway.acceptor.replace_trust(trust(&[&early])).unwrap();
    let why = "the certificate of the client CA `early` is valid from 2027-01-01";
    refused(&gateway, &early.client("/app"), why, "CertificateUnknown").await;
    // Renewed, it counts again.
    let renewed = short.cross(&short, &authority("short"));
    let cas = vec![believed(short.der()), believed(renewed)];
    gateway.acceptor.replace_trust(ClientTrust::new(cas, rules()).unwrap()).unwrap();
    gateway.connect(&gateway.client(Some(&leaf))).await.0.unwrap();
}

#[tokio::test]
async fn a_session_is_not_resumed_beyond_its_chain() {
    let gateway = Gateway::start().await;
    let mut params = client("/app");
    params.not_after = date_time_ymd(2026, 1, 2);
    let client = gateway.client(Some(&gateway.clients.sign(&params)));
    gateway.connect(&client).await.0.unwrap();
    gateway.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    let (served, _connected) = gateway.connect(&client).await;
    assert!(served.is_err(), "resumed, and the certificate is over");
}

#[tokio::test]
async fn ends_when_the_ca_s_check_says_so_which_is_asked_about_all_of_the_chain() {
    let gateway = Gateway::start().await;
    let intermediate = gateway.clients.below(authority("intermediate"));
    let leaf = intermediate.client("/app").over(&[&intermediate]);
    let revoked = Arc::new(AtomicBool::new(false));
    let asked = revoked.clone();
    let (expected, anchor) = (intermediate.der(), gateway.clients.der());
    let ca = ClientCa {
        check: Arc::new(move |chain| {
            assert_eq!(chain.intermediates, std::slice::from_ref(&expected));
            assert_eq!(chain.ca, anchor);
            assert!(chain.certificate.identity.is_ok());
            if asked.load(Ordering::SeqCst) { Err(EvidenceError::Revoked) } else { Ok(()) }
        }),
        ..believed(gateway.clients.der())
    };
    gateway.acceptor.replace_trust(ClientTrust::new(vec![ca], rules()).unwrap()).unwrap();
    let evidence = evidence(&gateway, &leaf).await;
    assert_eq!(now(&evidence), Ok(()));
    revoked.store(true, Ordering::SeqCst);
    assert_eq!(now(&evidence), Err(EvidenceError::Revoked));
}

#[tokio::test]
async fn holds_as_long_as_the_trust_that_is_in_use_says_the_same() {
    let gateway = Gateway::start().await;
    let leaf = gateway.clients.client("/app");
    let evidence = evidence(&gateway, &leaf).await;
    let own = || believed(gateway.clients.der());
    let replace = |cas: Vec<ClientCa>, rules: IdentityRules| {
        gateway.acceptor.replace_trust(ClientTrust::new(cas, rules).unwrap()).unwrap();
    };
    // The same again, and one more: nothing is said about this certificate.
    replace(vec![own()], rules());
    assert_eq!(now(&evidence), Ok(()));
    replace(vec![own(), believed(Authority::new("more").der())], rules());
    assert_eq!(now(&evidence), Ok(()));
    // Nobody recognises it any more; or its CA is bound to others; or gone.
    replace(vec![own()], IdentityRules::default());
    assert_eq!(now(&evidence), Err(EvidenceError::Untrusted));
    let others = VouchesFor::Only(CaBinding::default());
    replace(vec![ClientCa { vouches_for: others, ..own() }], rules());
    assert_eq!(now(&evidence), Err(EvidenceError::Untrusted));
    gateway.acceptor.replace_trust(trust(&[&Authority::new("other")])).unwrap();
    assert_eq!(now(&evidence), Err(EvidenceError::Untrusted));
    replace(vec![own()], rules());
    assert_eq!(now(&evidence), Ok(()), "what was taken back is forgotten");
}

/// What is kept of a connection, such as in a bearer token, is judged by the rule of handshakes.
#[tokio::test]
async fn a_chain_is_judged_again_as_its_handshake_would_be() {
    let gateway = Gateway::start().await;
    let intermediate = gateway.clients.below(authority("intermediate"));
    let mut params = client("/app");
    params.not_after = date_time_ymd(2026, 1, 2);
    let leaf = intermediate.sign(&params).over(&[&intermediate]);
    let shown = evidence(&gateway, &leaf).await;
    let chain = shown.chain();
    assert_eq!(chain, [leaf.der.clone(), intermediate.der()]);
    let judge = |chain: &[Vec<u8>]| {
        gateway.acceptor.judge(chain).and_then(|evidence| {
            let certificate = evidence.check()?;
            assert_eq!(evidence.chain(), chain);
            Ok(certificate.identity.clone().map(|identity| identity.to_string()))
        })
    };
    let app = Ok(Ok("spiffe://test.example/app".to_owned()));
    assert_eq!(judge(&chain), app);
    let own = || believed(gateway.clients.der());
    let replace = |cas: Vec<ClientCa>, rules: IdentityRules| {
        gateway.acceptor.replace_trust(ClientTrust::new(cas, rules).unwrap()).unwrap();
    };
    // Its CA is gone, with others left and with none.
    for cas in [vec![believed(Authority::new("other").der())], vec![]] {
        replace(cas, rules());
        assert_eq!(judge(&chain), Err(EvidenceError::Untrusted));
    }
    // The tenant recognises it no more, or the CA vouches for others.
    replace(vec![own()], IdentityRules::default());
    assert_eq!(judge(&chain), Ok(Err(NoIdentity::Unrecognised)));
    let others = VouchesFor::Only(CaBinding::default());
    replace(vec![ClientCa { vouches_for: others, ..own() }], rules());
    assert_eq!(judge(&chain), Ok(Err(NoIdentity::NotVouchedFor)));
    // The CA's check is asked, and a renewed certificate of the CA is as good as the old one.
    let revoked = ClientCa { check: Arc::new(|_| Err(EvidenceError::Revoked)), ..own() };
    replace(vec![revoked], rules());
    assert_eq!(judge(&chain), Err(EvidenceError::Revoked));
    let renewed = gateway.clients.cross(&gateway.clients, &authority("clients"));
    replace(vec![believed(renewed)], rules());
    assert_eq!(judge(&chain), app);
    // Not what lacks a link, is nothing, or is over.
    assert_eq!(judge(&chain[..1]), Err(EvidenceError::Untrusted));
    assert_eq!(judge(&[]), Err(EvidenceError::Untrusted));
    gateway.clock.advance(Duration::from_secs(24 * 60 * 60 + 1));
    assert_eq!(judge(&chain), Err(EvidenceError::Expired));
}

#[tokio::test]
async fn ends_when_its_ca_may_not_leave_out_extended_key_usages_any_more() {
    let gateway = Gateway::start().await;
    let lenient = ClientCa { allow_no_extended_key_usage: true, ..believed(gateway.clients.der()) };
    let replace = |ca: ClientCa| {
        gateway.acceptor.replace_trust(ClientTrust::new(vec![ca], rules()).unwrap()).unwrap();
    };
    replace(lenient);
    let mut params = client("/app");
    params.extended_key_usages = vec![];
    let evidence = evidence(&gateway, &gateway.clients.sign(&params)).await;
    assert_eq!(now(&evidence), Ok(()));
    replace(believed(gateway.clients.der()));
    assert_eq!(now(&evidence), Err(EvidenceError::Untrusted));
}
