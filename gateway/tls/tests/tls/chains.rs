//! Chains, as NIST's PKITS and BetterTLS have them: what a path builder takes that it should not, and the
//! other way round. The anchors are CAs in the middle of a hierarchy as often as roots.

use chancery_identity::{CaBinding, IdentityRules, NoIdentity, TenantRules, VouchesFor};
use chancery_tls::{ClientCa, ClientTrust, TrustError};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::HandshakeKind;

use crate::certificates::refused;
use crate::harness::{Authority, Gateway, Leaf, authority, believed, client, rules, trust};

fn trusting(gateway: &Gateway, cas: Vec<ClientCa>) {
    gateway.acceptor.replace_trust(ClientTrust::new(cas, rules()).unwrap()).unwrap();
}

/// Whom the gateway takes the holder of this certificate for.
async fn taken_for(gateway: &Gateway, leaf: &Leaf) -> Result<String, NoIdentity> {
    let (served, connected) = gateway.connect(&gateway.client(Some(leaf))).await;
    connected.unwrap();
    let evidence = served.unwrap().peer.evidence.unwrap();
    let identity = evidence.check().unwrap().identity.clone();
    identity.map(|identity| format!("{}:{identity}", identity.tenant))
}

const APP: &str = "default:spiffe://test.example/app";

/// The anchor need not be a root, and nobody else below its root is believed.
#[tokio::test]
async fn an_issuing_ca_is_an_anchor_by_itself() {
    let gateway = Gateway::start().await;
    let root = Authority::new("root");
    let issuing = root.below(authority("issuing"));
    let sibling = root.below(authority("sibling"));
    trusting(&gateway, vec![believed(issuing.der())]);

    let leaf = || issuing.client("/app");
    assert_eq!(taken_for(&gateway, &leaf()).await.unwrap(), APP);
    // Clients send what they were given: the issuing CA's certificate, and many the root's as well.
    for chain in [&[&issuing][..], &[&issuing, &root], &[&root], &[&sibling, &root, &issuing]] {
        assert_eq!(taken_for(&gateway, &leaf().over(chain)).await.unwrap(), APP);
    }
    for chain in [&[][..], &[&sibling, &root], &[&root, &issuing]] {
        let other = sibling.client("/app").over(chain);
        refused(&gateway, &other, "no client CA issued it", "UnknownCA").await;
    }
    // Not even what the root itself issues.
    let by_root = root.client("/app").over(&[&root]);
    refused(&gateway, &by_root, "no client CA issued it", "UnknownCA").await;
    // A further CA below the anchor is the anchor's to make.
    let below = issuing.below(authority("below"));
    assert_eq!(taken_for(&gateway, &below.client("/app").over(&[&below])).await.unwrap(), APP);
}

#[tokio::test]
async fn the_length_of_paths_below_an_anchor_is_limited_by_its_certificate() {
    let gateway = Gateway::start().await;
    let limited = |limit| {
        let mut params = authority("limited");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(limit));
        Authority::root(params)
    };
    let (none, one) = (limited(0), limited(1));
    let (under_none, under_one) = (none.below(authority("a")), one.below(authority("b")));
    let two_under_one = under_one.below(authority("c"));
    trusting(&gateway, vec![believed(none.der()), believed(one.der())]);
    assert_eq!(taken_for(&gateway, &none.client("/app")).await.unwrap(), APP);
    let leaf = under_one.client("/app").over(&[&under_one]);
    assert_eq!(taken_for(&gateway, &leaf).await.unwrap(), APP);
    let cases = [
        under_none.client("/app").over(&[&under_none]),
        two_under_one.client("/app").over(&[&two_under_one, &under_one]),
    ];
    for leaf in cases {
        let why = "the client CA `limited` allows";
        refused(&gateway, &leaf, why, "CertificateUnknown").await;
    }
}

#[tokio::test]
async fn the_length_of_paths_below_an_intermediate_is_limited_by_its_certificate() {
    let gateway = Gateway::start().await;
    let mut params = authority("limited");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let limited = gateway.clients.below(params);
    let below = limited.below(authority("below"));
    let good = limited.client("/app").over(&[&limited]);
    assert_eq!(taken_for(&gateway, &good).await.unwrap(), APP);
    let leaf = below.client("/app").over(&[&below, &limited]);
    refused(&gateway, &leaf, "pathLenConstraint", "CertificateUnknown").await;
}

#[tokio::test]
async fn a_leaf_whose_key_usage_is_not_for_signing_is_no_client_s() {
    let gateway = Gateway::start().await;
    let with = |usages: &[KeyUsagePurpose]| {
        let mut params = client("/app");
        params.key_usages = usages.to_vec();
        gateway.clients.sign(&params)
    };
    let signing = KeyUsagePurpose::DigitalSignature;
    for usages in [&[][..], &[signing], &[KeyUsagePurpose::KeyAgreement, signing]] {
        assert_eq!(taken_for(&gateway, &with(usages)).await.unwrap(), APP, "{usages:?}");
    }
    for usages in [&[KeyUsagePurpose::KeyEncipherment][..], &[KeyUsagePurpose::ContentCommitment]] {
        refused(&gateway, &with(usages), "lacks digitalSignature", "CertificateUnknown").await;
    }
}

#[tokio::test]
async fn a_ca_whose_key_usage_is_not_for_certificates_vouches_for_nobody() {
    let gateway = Gateway::start().await;
    let with = |usages: &[KeyUsagePurpose]| {
        let mut params = authority("intermediate");
        params.key_usages = usages.to_vec();
        let intermediate = gateway.clients.below(params);
        intermediate.client("/app").over(&[&intermediate])
    };
    for usages in [&[][..], &[KeyUsagePurpose::KeyCertSign]] {
        assert_eq!(taken_for(&gateway, &with(usages)).await.unwrap(), APP, "{usages:?}");
    }
    for usages in [&[KeyUsagePurpose::CrlSign][..], &[KeyUsagePurpose::DigitalSignature]] {
        let why = "the CA certificate `intermediate` above it lacks keyCertSign";
        refused(&gateway, &with(usages), why, "CertificateUnknown").await;
    }
}

#[tokio::test]
async fn a_leaf_is_no_ca_and_a_ca_is_no_client() {
    let gateway = Gateway::start().await;
    let mut params = client("/admin");
    params.is_ca = IsCa::ExplicitNoCa;
    let poser = gateway.clients.below(params);
    let leaf = poser.client("/app").over(&[&poser]);
    refused(&gateway, &leaf, "a certificate that is no CA's", "CertificateUnknown").await;
    let mut params = client("/app");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca = gateway.clients.sign(&params);
    refused(&gateway, &ca, "a CA's certificate and no client's", "CertificateUnknown").await;
}

fn without_extended_key_usage() -> CertificateParams {
    let mut params = client("/app");
    params.extended_key_usages = vec![];
    params
}

#[tokio::test]
async fn a_certificate_without_extended_key_usage_is_a_client_s_if_its_ca_may_leave_it_out() {
    let gateway = Gateway::start().await;
    let leaf = gateway.clients.sign(&without_extended_key_usage());
    refused(&gateway, &leaf, "it has no extended key usage", "CertificateUnknown").await;
    let lenient = |ca: ClientCa| ClientCa { allow_no_extended_key_usage: true, ..ca };
    trusting(&gateway, vec![lenient(believed(gateway.clients.der()))]);
    assert_eq!(taken_for(&gateway, &leaf).await.unwrap(), APP);
    // That is about none, and not about others, not even all.
    let any = ExtendedKeyUsagePurpose::Any;
    for purpose in [ExtendedKeyUsagePurpose::ServerAuth, any] {
        let mut params = client("/app");
        params.extended_key_usages = vec![purpose];
        let leaf = gateway.clients.sign(&params);
        refused(&gateway, &leaf, "lacks clientAuth", "UnsupportedCertificate").await;
    }
    // An empty one is no extension that says everything.
    let mut params = without_extended_key_usage();
    let mut empty = CustomExtension::from_oid_content(&[2, 5, 29, 37], vec![0x30, 0]);
    empty.set_criticality(false);
    params.custom_extensions = vec![empty];
    let leaf = gateway.clients.sign(&params);
    refused(&gateway, &leaf, "", "CertificateUnknown").await;
}

#[tokio::test]
async fn an_intermediate_for_servers_makes_no_clients() {
    let gateway = Gateway::start().await;
    let mut params = authority("servers");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let servers = gateway.clients.below(params);
    let leaf = servers.client("/app").over(&[&servers]);
    refused(&gateway, &leaf, "lacks clientAuth", "UnsupportedCertificate").await;
}

#[tokio::test]
async fn names_outside_the_constraints_of_an_anchor_or_intermediate_are_refused() {
    let gateway = Gateway::start().await;
    let constrained = |name| {
        let mut params = authority(name);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("good.example".to_owned())],
            excluded_subtrees: vec![],
        });
        params
    };
    let anchor = Authority::root(constrained("anchor"));
    let below = gateway.clients.below(constrained("below"));
    trusting(&gateway, vec![believed(anchor.der()), believed(gateway.clients.der())]);
    let named = |name: &str| {
        let mut params = client("/app");
        params.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        params
    };
    for leaf in [
        anchor.sign(&named("a.good.example")),
        below.sign(&named("a.good.example")).over(&[&below]),
    ] {
        assert_eq!(taken_for(&gateway, &leaf).await.unwrap(), APP);
    }
    for leaf in [
        anchor.sign(&named("a.evil.example")),
        below.sign(&named("a.evil.example")).over(&[&below]),
    ] {
        refused(&gateway, &leaf, "outside the name constraints", "CertificateUnknown").await;
    }
}

#[tokio::test]
async fn an_intermediate_that_is_out_of_date_makes_no_clients() {
    let gateway = Gateway::start().await;
    let mut params = authority("old");
    params.not_after = date_time_ymd(2025, 6, 1);
    let old = gateway.clients.below(params);
    let leaf = old.client("/app").over(&[&old]);
    refused(&gateway, &leaf, "a CA's certificate above it, expired at", "CertificateExpired").await;
}

/// BetterTLS: of several paths one that is good is found, whatever else the client sent.
#[tokio::test]
async fn a_good_path_is_found_among_bad_ones() {
    let gateway = Gateway::start().await;
    let mut expired = authority("issuing");
    expired.not_after = date_time_ymd(2025, 6, 1);
    let mut no_usage = authority("issuing");
    no_usage.key_usages = vec![KeyUsagePurpose::CrlSign];
    let good = gateway.clients.below(authority("issuing"));
    let [expired, no_usage] = [expired, no_usage].map(|params| gateway.clients.below(params));
    let stranger = Authority::new("issuing");
    let leaf = good.client("/app").over(&[&expired, &stranger, &no_usage, &good]);
    assert_eq!(taken_for(&gateway, &leaf).await.unwrap(), APP);
}

/// A stranger's chain of CAs that are all above each other makes no work: nothing of it was signed by an anchor.
#[tokio::test]
async fn a_ladder_of_cas_that_a_stranger_made_is_refused_at_its_first_signature() {
    let gateway = Gateway::start().await;
    let x = Authority::new("X");
    let mut rungs: Vec<_> = (0..6).map(|_| x.below(authority("X"))).collect();
    // The last one is, by its name, below the anchor.
    rungs.push(Authority::new("clients").below(authority("X")));
    let leaf = x.client("/app").over(&rungs.iter().collect::<Vec<_>>());
    refused(&gateway, &leaf, "was not signed with the key of the CA", "Decrypt").await;
}

#[tokio::test]
async fn more_certificates_than_a_client_has_are_refused() {
    let gateway = Gateway::start().await;
    let strangers: Vec<_> = (0..8).map(|n| Authority::new(&format!("stranger {n}"))).collect();
    let with = |n: usize| {
        gateway.clients.client("/app").over(&strangers.iter().take(n).collect::<Vec<_>>())
    };
    assert_eq!(taken_for(&gateway, &with(7)).await.unwrap(), APP);
    refused(&gateway, &with(8), "8 at most", "CertificateUnknown").await;
}

fn tenants() -> IdentityRules {
    let tenant = |id: &str, domain: &str| TenantRules {
        tenant: id.parse().unwrap(),
        trust_domains: vec![domain.to_owned()],
        dns_suffixes: vec![domain.to_owned()],
        pinned: vec![],
    };
    IdentityRules::new(vec![tenant("default", "test.example"), tenant("b", "b.example")])
}

fn bound(authority: &Authority, tenant: &str, domain: &str) -> ClientCa {
    let binding = CaBinding {
        tenants: [tenant.parse().unwrap()].into(),
        trust_domains: [domain.to_owned()].into(),
        dns_suffixes: [domain.to_owned()].into(),
    };
    ClientCa { vouches_for: VouchesFor::Only(binding), ..believed(authority.der()) }
}

#[tokio::test]
async fn the_ca_of_one_tenant_makes_nobody_of_another() {
    let gateway = Gateway::start().await;
    let (ca_of_default, ca_of_b) = (Authority::new("default's"), Authority::new("b's"));
    let cas =
        vec![bound(&ca_of_default, "default", "test.example"), bound(&ca_of_b, "b", "b.example")];
    let trust = ClientTrust::new(cas, tenants()).unwrap();
    gateway.acceptor.replace_trust(trust).unwrap();
    let named = |name: &str| {
        let mut params = client("/app");
        params.subject_alt_names = match name.strip_prefix("dns:") {
            Some(name) => vec![SanType::DnsName(name.try_into().unwrap())],
            None => vec![SanType::URI(name.try_into().unwrap())],
        };
        params
    };
    let (admin, b) = ("spiffe://test.example/admin", "spiffe://b.example/app");
    let (host, host_of_b) = ("dns:a.test.example", "dns:a.b.example");
    let own = [
        (&ca_of_default, admin, "default:spiffe://test.example/admin"),
        (&ca_of_default, host, "default:dns:a.test.example"),
        (&ca_of_b, b, "b:spiffe://b.example/app"),
        (&ca_of_b, host_of_b, "b:dns:a.b.example"),
    ];
    for (ca, name, who) in own {
        assert_eq!(taken_for(&gateway, &ca.sign(&named(name))).await.unwrap(), who);
    }
    let others =
        [(&ca_of_b, admin), (&ca_of_b, host), (&ca_of_default, b), (&ca_of_default, host_of_b)];
    for (ca, name) in others {
        let nobody = taken_for(&gateway, &ca.sign(&named(name))).await;
        assert_eq!(nobody, Err(NoIdentity::NotVouchedFor), "{name}");
    }
}

/// An intermediate below the CAs of two tenants: the path counts by which the certificate is somebody.
#[tokio::test]
async fn of_two_paths_that_one_counts_by_which_the_certificate_is_somebody() {
    let gateway = Gateway::start().await;
    let (ca_of_default, ca_of_b) = (Authority::new("default's"), Authority::new("b's"));
    let shared = ca_of_b.below(authority("shared"));
    let crossed = ca_of_default.cross(&shared, &authority("shared"));
    let cas =
        vec![bound(&ca_of_default, "default", "test.example"), bound(&ca_of_b, "b", "b.example")];
    let trust = ClientTrust::new(cas, tenants()).unwrap();
    gateway.acceptor.replace_trust(trust).unwrap();
    let with = |chain: Vec<Vec<u8>>| Leaf { chain, ..shared.client("/app") };
    for chain in [vec![shared.der(), crossed.clone()], vec![crossed.clone(), shared.der()]] {
        assert_eq!(taken_for(&gateway, &with(chain)).await.unwrap(), APP);
    }
    let only_b = taken_for(&gateway, &with(vec![shared.der()])).await;
    assert_eq!(only_b, Err(NoIdentity::NotVouchedFor));
}

#[test]
fn a_ca_that_is_bound_twice_to_different_things_is_refused() {
    let ca = Authority::new("clients");
    let (a, b) = (bound(&ca, "default", "test.example"), bound(&ca, "b", "b.example"));
    let trust = |cas: Vec<ClientCa>| ClientTrust::new(cas, tenants());
    let refused = trust(vec![a.clone(), b.clone()]).unwrap_err();
    assert!(matches!(refused, TrustError::BoundTwice { .. }), "{refused}");
    let lenient = ClientCa { allow_no_extended_key_usage: true, ..a.clone() };
    trust(vec![a.clone(), lenient]).unwrap_err();
    // Another certificate of the same CA is no way round that.
    let renewed = ca.cross(&ca, &authority("clients"));
    assert_ne!(renewed, ca.der());
    let again = |ca: &ClientCa| ClientCa { certificate: renewed.clone(), ..ca.clone() };
    trust(vec![a.clone(), again(&b)]).unwrap_err();
    trust(vec![a.clone(), again(&a), a]).unwrap();
}

/// A session carries the chain of its first handshake, and the CA that vouched then.
#[tokio::test]
async fn a_resumed_session_knows_its_ca() {
    let gateway = Gateway::start().await;
    let ca_of_b = Authority::new("b's");
    let cas = vec![bound(&ca_of_b, "b", "b.example"), believed(gateway.clients.der())];
    let trust = || ClientTrust::new(cas.clone(), tenants()).unwrap();
    gateway.acceptor.replace_trust(trust()).unwrap();
    let intermediate = ca_of_b.below(authority("intermediate"));
    let mut params = client("/app");
    params.subject_alt_names = vec![SanType::URI("spiffe://b.example/x".try_into().unwrap())];
    let leaf = intermediate.sign(&params).over(&[&intermediate]);
    let client = gateway.client(Some(&leaf));
    gateway.connect(&client).await.0.unwrap();
    // The verifier of the trust that follows has never seen the chain.
    gateway.acceptor.replace_trust(trust()).unwrap();
    let (served, _connected) = gateway.connect(&client).await;
    let served = served.unwrap();
    let kind = served.stream.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Resumed));
    let evidence = served.peer.evidence.unwrap();
    let identity = evidence.check().unwrap().identity.clone().unwrap();
    assert_eq!(identity.tenant.as_str(), "b");
}

/// The CAs that clients are told of are the anchors: by them they choose the certificate that they send.
#[tokio::test]
async fn clients_are_told_the_names_of_the_anchors() {
    let gateway = Gateway::start().await;
    let root = Authority::new("root");
    let issuing = root.below(authority("issuing"));
    gateway.acceptor.replace_trust(trust(&[&issuing])).unwrap();
    let (told, resolver) = crate::harness::Told::new();
    let mut client = gateway.client(None);
    client.0.client_auth_cert_resolver = resolver;
    gateway.connect(&client).await.1.unwrap();
    let told = told.lock().unwrap().clone();
    let expected = chancery_x509::ParsedCertificate::from_der(&issuing.der()).unwrap();
    assert_eq!(told, [expected.subject_der().to_vec()]);
}
