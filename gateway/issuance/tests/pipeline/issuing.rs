use chancery_gate::Refused;
use chancery_issuance::{IssueError, Requester, Search};
use chancery_store::{Change, Store as _};
use chancery_x509::{CertificateRequest, GeneralName, ParsedCertificate, pem};

use crate::searching::of_account;
use crate::world::{
    DAY, START, World, context, csr, csr_with_common_name, csr_with_uri, request, tenant, validated,
};

#[tokio::test]
async fn a_certificate_is_what_was_asked_for_and_found_again() {
    let world = World::new().await;
    let csr = csr(&["a.example", "b.example"]);
    let issued = world.issue(&csr).await.unwrap();

    let leaf = ParsedCertificate::from_der(&issued.der).unwrap();
    assert_eq!(leaf.public_key().unwrap().spki_der(), csr.public_key().spki_der());
    assert_eq!(leaf.names(), csr.names());
    assert_eq!(*leaf.serial(), issued.serial);
    assert!(!leaf.is_ca());
    assert_eq!(issued.not_before, START - jiff::SignedDuration::from_secs(60));
    let length = issued.not_after.duration_since(issued.not_before);
    assert_eq!(length.as_secs(), 90 * 86_400 - 1);
    assert_eq!(issued.chain, [issued.der.clone(), world.ca.issuing_der().to_vec()]);
    let issuing = ParsedCertificate::from_der(world.ca.issuing_der()).unwrap();
    leaf.verify_signed_by(issuing.public_key().unwrap()).unwrap();
    assert_eq!(pem::decode(pem::CERTIFICATE, &issued.pem()).unwrap(), issued.chain);

    let entry = world.issuance.find(&tenant(), &issued.serial).await.unwrap().unwrap();
    assert_eq!((entry.issuer.as_str(), entry.requester.as_str()), ("private", "acme:1"));
    assert_eq!(entry.profile, "tls-server");
    assert_eq!(entry.der, issued.der);
    assert_eq!(entry.revoked, None);
    let again = world.issuance.certificate(&tenant(), &issued.serial).await.unwrap().unwrap();
    assert_eq!(again, issued);
    let spki_sha256 = Some(hex::encode(csr.public_key().fingerprint()));
    let of_key = Search { spki_sha256, ..Search::default() };
    assert_eq!(world.found(&of_key).await, std::slice::from_ref(&entry));
    assert_eq!(world.found(&of_account("1")).await, [entry]);
    let other = "other".parse().unwrap();
    assert_eq!(world.issuance.find(&other, &issued.serial).await.unwrap(), None);
    assert!(world.found(&of_account("2")).await.is_empty());
}

#[tokio::test]
async fn one_audit_line_says_who_got_what_and_which_policy_said_so() {
    let world = World::new().await;
    let issued = world.issued().await;
    let lines = world.sink.lines();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["operation"], "certificates.issue");
    assert_eq!(line["resource"], "dns:a.example");
    assert_eq!(line["outcome"]["result"], "success");
    assert_eq!(line["actor"]["account"], "1");
    assert_eq!(line["details"]["serial"], issued.serial.to_string());
    assert_eq!(line["details"]["issuer"], "private");
    assert_eq!(line["decisions"][0]["binding"], "profiles");
    assert_eq!(line["decisions"][0]["outcome"], "allow");
    assert!(line["decisions"][0]["digest"].as_str().unwrap().starts_with("sha256:"));
}

#[tokio::test]
async fn policies_without_a_common_purpose_deny_and_say_so() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.requester = Requester::AcmeAccount { id: "of-two-minds".to_owned() };
    let refused = world.issuance.issue(request).await.unwrap_err();
    assert!(matches!(refused, IssueError::Gate(Refused::Denied(_))), "{refused:?}");
    assert_eq!(refused.to_string(), "there is no purpose that all of the policies allow");
    let line = world.last_line();
    assert_eq!(line["outcome"]["result"], "denied");
    assert_eq!(line["outcome"]["code"], "nothing-in-common");
    let allowed = line["decisions"].as_array().unwrap();
    assert!(allowed.len() == 2 && allowed.iter().all(|one| one["outcome"] == "allow"), "{line}");
}

#[tokio::test]
async fn a_beginning_after_the_issuing_ca_s_end_is_the_request_s_fault() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.not_before = Some(START + DAY * 2000);
    let refused = world.issuance.issue(request).await.unwrap_err();
    assert!(matches!(refused, IssueError::Dates(_)), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["result"], "denied");
}

/// A CSR may carry names in CN, SAN or both.
#[tokio::test]
async fn names_may_stand_in_the_common_name() {
    let world = World::new().await;
    for csr in [
        csr_with_common_name(&[], Some("A.example")),
        csr_with_common_name(&["a.example"], Some("a.example")),
    ] {
        let leaf = ParsedCertificate::from_der(&world.issue(&csr).await.unwrap().der).unwrap();
        assert_eq!(leaf.names(), [GeneralName::dns("a.example").unwrap()]);
    }
    let impossible = csr_with_common_name(&["a.example"], Some("not a name"));
    let mut request = request(&csr(&["a.example"]));
    request.csr = impossible;
    let refused = world.issuance.issue(request).await;
    assert!(matches!(refused, Err(IssueError::BadName(_))), "{refused:?}");
}

#[tokio::test]
async fn a_denial_is_on_record_and_nothing_else_is() {
    let world = World::new().await;
    let mut unknown = request(&csr(&["a.example"]));
    unknown.profile = Some("no-such".to_owned());
    let mut unvalidated = request(&csr(&["a.example", "b.example"]));
    unvalidated.validated.pop();
    let mut no_policy = request(&csr(&["a.example"]));
    no_policy.requester = Requester::Internal("nobody");
    for (request, code) in [
        (unknown, "unknown-profile"),
        (unvalidated, "name-not-validated"),
        (no_policy, "no-profile"),
        (request(&csr(&["x.forbidden.example"])), "name-not-allowed"),
    ] {
        match world.issuance.issue(request).await {
            Err(IssueError::Gate(refused)) => {
                assert_eq!(refused.code(), code);
                assert!(!refused.told().is_empty());
            }
            other => panic!("{code}: {other:?}"),
        }
        let line = world.last_line();
        assert_eq!(line["outcome"], serde_json::json!({"result": "denied", "code": code}));
        assert_eq!(line["decisions"][0]["outcome"], "deny");
    }
    assert_eq!(world.sink.lines().len(), 4);
    assert!(world.store.scan(b"default/issuance/certificate/", None, 10).await.unwrap().is_empty());
    assert!(world.store.scan(b"_/issuance/", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_weak_key_does_not_get_as_far_as_policy() {
    let world = World::new().await;
    // 2048 bits, primes 2^100 apart.
    let text = include_str!("close-primes.csr.pem");
    let der = pem::decode(pem::CERTIFICATE_REQUEST, text).unwrap();
    let csr = CertificateRequest::from_der(&der[0]).unwrap();
    let refused = world.issue(&csr).await;
    assert!(matches!(refused, Err(IssueError::WeakKey(_))), "{refused:?}");
    let line = world.last_line();
    assert_eq!(line["outcome"]["code"], "weak-key");
    assert_eq!(line.get("decisions"), None);
}

#[tokio::test]
async fn an_issuer_that_is_not_configured_is_an_error() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.profile = Some("elsewhere".to_owned());
    let refused = world.issuance.issue(request).await;
    assert!(matches!(refused, Err(IssueError::UnknownIssuer(_))), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["result"], "failed");
}

#[tokio::test]
async fn validity_stays_within_the_issuer_s() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.profile = Some("forever".to_owned());
    let issued = world.issuance.issue(request.clone()).await.unwrap();
    assert_eq!(issued.not_after, world.ca.not_after());
    world.clock.advance(DAY * 2000);
    let refused = world.issuance.issue(request).await;
    assert!(matches!(refused, Err(IssueError::Prepare(_))), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "not-preparable");
}

#[tokio::test]
async fn without_an_audit_line_nothing_is_handed_out() {
    let world = World::new().await;
    world.sink.refuse(true);
    let refused = world.issue(&csr(&["a.example"])).await;
    assert!(matches!(refused, Err(IssueError::Unavailable(_))), "{refused:?}");
    let mut denied = request(&csr(&["a.example"]));
    denied.profile = Some("no-such".to_owned());
    let refused = world.issuance.issue(denied).await;
    assert!(matches!(refused, Err(IssueError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_signed() {
    let world = World::new().await;
    world.store.set_full(true);
    let refused = world.issue(&csr(&["a.example"])).await;
    assert!(matches!(refused, Err(IssueError::Unavailable(_))), "{refused:?}");
    assert_eq!(world.last_line()["outcome"]["code"], "unavailable");
    world.store.set_full(false);
    world.issued().await;
}

#[tokio::test]
async fn issuing_goes_on_when_nobody_waits_any_more() {
    let world = World::new().await;
    let mut watch = world.store.watch(b"default/issuance/certificate/");
    let mut future = Box::pin(world.issuance.issue(request(&csr(&["a.example"]))));
    assert!(is_pending_after_one_poll(future.as_mut()).await);
    drop(future);
    assert!(matches!(watch.next().await, Some(Change::Put { .. })));
    while world.sink.lines().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.last_line()["outcome"]["result"], "success");
}

async fn is_pending_after_one_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_all_get_certificates_of_their_own() {
    let world = World::new().await;
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let issuance = world.issuance.clone();
            let request = request(&csr(&[&format!("n{n}.example")]));
            tokio::spawn(async move { issuance.issue(request).await.unwrap().serial })
        })
        .collect();
    let mut serials = std::collections::BTreeSet::new();
    for task in tasks {
        serials.insert(task.await.unwrap());
    }
    assert_eq!(serials.len(), 32);
    assert_eq!(world.found(&of_account("1")).await.len(), 32);
    assert!(world.store.scan(b"_/issuance/signing/", None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn dates_that_are_asked_for_are_kept() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.not_after = Some(START + DAY);
    let issued = world.issuance.issue(request.clone()).await.unwrap();
    assert!(issued.not_after <= START + DAY);
    request.not_after = Some(START - DAY);
    let refused = world.issuance.issue(request).await;
    assert!(matches!(refused, Err(IssueError::Dates(_))), "{refused:?}");
}

#[tokio::test]
async fn other_requesters_need_a_profile_of_theirs() {
    let world = World::new().await;
    let mut request = request(&csr(&["a.example"]));
    request.requester = Requester::Internal("gateway");
    request.profile = Some("tls-server".to_owned());
    request.context = context();
    request.validated = vec![validated(GeneralName::dns("a.example").unwrap())];
    let issued = world.issuance.issue(request).await.unwrap();
    let entry = world.issuance.find(&tenant(), &issued.serial).await.unwrap().unwrap();
    assert_eq!(entry.requester, "internal:gateway");
}

#[tokio::test]
async fn a_client_certificate_for_one_tenant_has_no_name_of_another() {
    let world = World::new().await;
    let ask = async |tenant: &str, profile: &str, names: &[&str]| {
        let csr = match names {
            [one] if one.starts_with("uri:") => csr_with_uri(&one[4..]),
            _ => csr(names),
        };
        let mut request = request(&csr);
        request.context.tenant = tenant.parse().unwrap();
        request.profile = Some(profile.to_owned());
        match world.issuance.issue(request).await {
            Ok(_) => "issued".to_owned(),
            Err(error) => error.code().to_owned(),
        }
    };
    let refused = "name-of-another-tenant";
    for name in ["www.b-tenant.example", "uri:spiffe://b-tenant.example/admin"] {
        for profile in ["tls-client", "any-use"] {
            assert_eq!(ask("default", profile, &[name]).await, refused, "{name} {profile}");
            assert_eq!(world.last_line()["outcome"]["code"], refused);
            assert_eq!(world.last_line()["outcome"]["result"], "denied");
        }
        assert_eq!(ask("b", "tls-client", &[name]).await, "issued", "{name}");
    }
    let beside = ["www.own.example", "www.b-tenant.example"];
    assert_eq!(ask("default", "tls-client", &beside).await, refused);
    assert_eq!(ask("b", "tls-client", &["www.own.example"]).await, refused);
    // Nobody is recognised in these.
    assert_eq!(ask("default", "tls-client", &["www.other.example"]).await, "issued");
    assert_eq!(ask("default", "tls-server", &["www.b-tenant.example"]).await, "issued");
}
