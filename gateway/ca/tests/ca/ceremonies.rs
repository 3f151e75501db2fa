//! Keys that are replaced, CAs whose parent is elsewhere, and the offline root that certifies them.

use std::sync::Arc;
use std::time::Duration;

use chancery_ca::offline::{
    OfflineError, OfflineRoot, RootPlan, Terms, TranscriptError, verify_transcript,
};
use chancery_ca::{
    Ca, CaConfig, CaKeys, Ceremony, CeremonyError, Issued, OcspResponder, OpenError, Parent,
    PrepareError,
};
use chancery_keys::KeyType;
use chancery_keys::software::SoftwareSigner;
use chancery_store::memory::MemoryStore;
use chancery_store::{Commit, SharedStore, Store as _};
use chancery_x509::{
    CertificateRequest, GeneralName, KeyUsage, NameConstraints, ParsedCertificate,
    RevocationReason, Subject, pem,
};

use crate::harness::{DAY, Software, config, proposal, public_key, read_crl, revoked, start};
use crate::ocsp::request_below;
use crate::openssl::{Files, issue};

fn software() -> CaKeys {
    CaKeys::Software(Arc::new(SoftwareSigner::new()))
}

fn elsewhere() -> CaConfig {
    CaConfig { parent: Parent::Elsewhere, ..config() }
}

fn plan() -> RootPlan {
    RootPlan {
        common_name: "Offline Root".to_owned(),
        key_type: KeyType::EcdsaP384,
        validity: DAY * 7300,
        path_length: Some(1),
        url_base: "http://pki.example/root/".to_owned(),
    }
}

fn terms() -> Terms {
    Terms {
        common_name: None,
        validity: DAY * 1000,
        path_length: Some(0),
        name_constraints: NameConstraints::default(),
    }
}

async fn offline_root() -> OfflineRoot {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let witnesses = vec!["Alice".to_owned(), "Bob".to_owned()];
    OfflineRoot::init(&plan(), store, software(), witnesses, start()).await.unwrap()
}

async fn request(store: &MemoryStore, config: &CaConfig) -> CertificateRequest {
    let keys = software();
    let ceremony = Ceremony::new(config, Arc::new(store.clone()), &keys).unwrap();
    CertificateRequest::from_der(&ceremony.request().await.unwrap()).unwrap()
}

async fn install(
    store: &MemoryStore,
    config: &CaConfig,
    chain: &[Vec<u8>],
) -> Result<(), CeremonyError> {
    let keys = software();
    let ceremony = Ceremony::new(config, Arc::new(store.clone()), &keys).unwrap();
    ceremony.install(chain, start()).await.map(drop)
}

async fn rotate(store: &MemoryStore, config: &CaConfig) -> Result<Vec<u8>, CeremonyError> {
    let keys = software();
    let ceremony = Ceremony::new(config, Arc::new(store.clone()), &keys).unwrap();
    ceremony.rotate(start()).await
}

async fn open(store: &MemoryStore, config: CaConfig) -> Result<Arc<Ca>, OpenError> {
    Ca::open(config, Arc::new(store.clone()), software(), start()).await
}

/// The files of a CA below an offline root, which has a CRL of its own.
async fn files(ca: &Ca, root: &OfflineRoot) -> Files {
    let files = Files::with_root_crl(ca, &root.crl(DAY * 30, start()).await.unwrap());
    files.write("root.pem", pem::encode(pem::CERTIFICATE, root.certificate()));
    files
}

#[tokio::test]
async fn a_ca_below_an_offline_root_issues_what_openssl_verifies() {
    let (store, root) = (MemoryStore::new(), offline_root().await);
    let refused = open(&store, elsewhere()).await.err().unwrap();
    assert!(refused.to_string().contains("chancery ca request"), "{refused}");
    let asked = request(&store, &elsewhere()).await;
    let key_id = asked.extensions().iter().find(|one| one.oid == "2.5.29.14").unwrap();
    assert_eq!(key_id.value[2..], asked.public_key().key_id());
    // A request that was lost is made anew, for the same key.
    assert_eq!(request(&store, &elsewhere()).await.public_key(), asked.public_key());
    assert!(open(&store, elsewhere()).await.is_err());
    let issuing = root.certify(&asked, &terms(), start()).await.unwrap();
    let chain = [issuing.clone(), root.certificate().to_vec()];
    install(&store, &elsewhere(), &chain).await.unwrap();

    let ca = open(&store, elsewhere()).await.unwrap();
    assert_eq!(ca.issuing_der(), issuing);
    assert_eq!(ca.root_id(), root.id());
    assert_eq!(ca.root_crl(), None);
    assert_eq!(ca.roots().collect::<Vec<_>>(), [root.certificate()]);
    let issued = issue(&ca, proposal()).await;
    assert_eq!(issued.chain, [issuing]);
    let files = files(&ca, &root).await;
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(fine, "{said}");

    // The root takes it back.
    let serial = *ParsedCertificate::from_der(ca.issuing_der()).unwrap().serial();
    root.revoke(serial, RevocationReason::CaCompromise, start()).await.unwrap();
    let again = root.revoke(serial, RevocationReason::CaCompromise, start()).await;
    assert!(matches!(again, Err(OfflineError::AlreadyRevoked(_))));
    let unknown = root.revoke(issued.serial, RevocationReason::Superseded, start()).await;
    assert!(matches!(unknown, Err(OfflineError::NotSigned(_))));
    files.write_crl("root-crl.pem", &root.crl(DAY * 30, start()).await.unwrap());
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(!fine && said.contains("certificate revoked"), "{said}");
}

#[tokio::test]
async fn only_a_chain_that_holds_and_is_for_the_requested_key_is_installed() {
    let (store, root) = (MemoryStore::new(), offline_root().await);
    let chain = [root.certificate().to_vec()];
    let nothing = install(&store, &elsewhere(), &chain).await;
    assert!(matches!(nothing, Err(CeremonyError::OneCertificate)), "{nothing:?}");
    let nothing = install(&store, &elsewhere(), &[]).await;
    assert!(matches!(nothing, Err(CeremonyError::EmptyChain)), "{nothing:?}");
    let asked = request(&store, &elsewhere()).await;
    let good = root.certify(&asked, &terms(), start()).await.unwrap();
    let other = request(&MemoryStore::new(), &elsewhere()).await;
    let other = root.certify(&other, &terms(), start()).await.unwrap();
    let another_root = offline_root().await;
    let anchor = root.certificate().to_vec();
    for (chain, said) in [
        (vec![other, anchor.clone()], "not for the key that was requested"),
        (vec![good.clone(), another_root.certificate().to_vec()], "not signed by the one above"),
        (vec![anchor.clone(), good.clone()], "the chain begins with a root"),
        (vec![good.clone(), good.clone()], "twice in the chain"),
        (vec![good.clone(), anchor.clone(), anchor.clone()], "twice in the chain"),
        (
            vec![good.clone(), another_root.certificate().to_vec(), anchor.clone()],
            "not signed by the one above",
        ),
        ([vec![good.clone()], vec![anchor.clone(); 8]].concat(), "more than eight certificates"),
    ] {
        let refused = install(&store, &elsewhere(), &chain).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{said}: {refused}");
    }
    install(&store, &elsewhere(), &[good.clone(), anchor.clone()]).await.unwrap();
    let twice = install(&store, &elsewhere(), &[good, anchor]).await;
    assert!(matches!(twice, Err(CeremonyError::NothingRequested)), "{twice:?}");
}

#[tokio::test]
async fn names_outside_the_constraints_of_the_chain_are_not_certified() {
    let (store, root) = (MemoryStore::new(), offline_root().await);
    let asked = request(&store, &elsewhere()).await;
    let name_constraints = NameConstraints {
        permitted: vec!["dns:example.com".parse().unwrap()],
        excluded: vec!["dns:secret.example.com".parse().unwrap()],
    };
    let constrained = Terms { name_constraints, ..terms() };
    let preview = root.preview(&asked, &constrained, start()).unwrap();
    assert_eq!(preview.path_length, constrained.path_length);
    assert_eq!(preview.name_constraints, constrained.name_constraints);
    let issuing = root.certify(&asked, &constrained, start()).await.unwrap();
    install(&store, &elsewhere(), &[issuing, root.certificate().to_vec()]).await.unwrap();
    let ca = open(&store, elsewhere()).await.unwrap();
    for outside in ["www.example.net", "a.secret.example.com"] {
        let mut proposed = proposal();
        proposed.subject = Subject::default();
        proposed.names = vec![GeneralName::dns(outside).unwrap()];
        let refused = ca.prepare(proposed, start());
        assert!(matches!(refused, Err(PrepareError::NotPermitted(_))), "{outside}: {refused:?}");
    }
    let issued = issue(&ca, proposal()).await;
    let files = files(&ca, &root).await;
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(fine, "{said}");
    let text = files.text("x509", "issuing.pem");
    for expected in ["X509v3 Name Constraints: critical", "DNS:example.com", "pathlen:0"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn nothing_is_made_that_ends_as_it_begins() {
    let nothing = RootPlan { validity: Duration::ZERO, ..plan() };
    assert!(matches!(nothing.preview(start()), Err(OfflineError::Validity)));
    let (store, root) = (MemoryStore::new(), offline_root().await);
    let asked = request(&store, &elsewhere()).await;
    let none = Terms { validity: Duration::ZERO, ..terms() };
    assert!(matches!(root.preview(&asked, &none, start()), Err(OfflineError::Validity)));
    assert!(matches!(root.crl(Duration::ZERO, start()).await, Err(OfflineError::Validity)));
}

#[tokio::test]
async fn constraints_that_verifiers_do_not_judge_are_not_certified() {
    let (store, root) = (MemoryStore::new(), offline_root().await);
    let asked = request(&store, &elsewhere()).await;
    let Software { ca, .. } = Software::first_start().await;
    let other = ParsedCertificate::from_der(ca.issuing_der()).unwrap();
    for unjudged in ["uri:prod.example", "email:example.com"] {
        for excluded in [false, true] {
            let tree = vec![unjudged.parse().unwrap()];
            let (permitted, excluded) = if excluded { (vec![], tree) } else { (tree, vec![]) };
            let name_constraints = NameConstraints { permitted, excluded };
            let terms = Terms { name_constraints, ..terms() };
            for refused in [
                root.preview(&asked, &terms, start()).unwrap_err(),
                root.certify(&asked, &terms, start()).await.unwrap_err(),
                root.cross_certify(&other, &terms, start()).await.unwrap_err(),
            ] {
                let refused = refused.to_string();
                assert!(refused.contains("name-constraints-unjudged"), "{unjudged}: {refused}");
            }
        }
    }
}

#[tokio::test]
async fn after_a_rotation_the_new_key_issues_and_the_old_one_answers_for_its_own() {
    let Software { ca, store, .. } = Software::first_start().await;
    let (before, old) = (issue(&ca, proposal()).await, ca.issuer_id().to_owned());
    let other = issue(&ca, proposal()).await;
    drop(ca);
    let new = rotate(&store, &config()).await.unwrap();
    let ca = open(&store, config()).await.unwrap();
    assert_eq!(ca.issuing_der(), new);
    assert_eq!(ca.issuer_ids().collect::<Vec<_>>(), [ca.issuer_id(), &old]);
    assert_eq!(ca.roots().count(), 1);
    assert!(pem::encode(pem::CERTIFICATE, &new).len() > 100);
    let name = ParsedCertificate::from_der(&new).unwrap();
    assert_eq!(name.subject_common_name(), Some("Test Issuing CA G2"));

    let after = issue(&ca, proposal()).await;
    let files = Files::of(&ca);
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &after.der));
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(fine, "{said}");
    // What was issued before is revoked in the CRL that it names.
    let mut gone = revoked(&ca, before.serial, RevocationReason::Superseded, start());
    gone.issuer.clone_from(&old);
    ca.revoke(gone).await.unwrap();
    assert!(ca.is_revoked(&old, &before.serial));
    assert!(!ca.is_revoked(ca.issuer_id(), &before.serial));
    assert_eq!(read_crl(&ca.crl_named(&old).unwrap()).revoked, [before.serial.to_string()]);
    assert_eq!(read_crl(&ca.crl()).revoked, [""; 0]);
    files.write_crl("crl.pem", &ca.crl_named(&old).unwrap());
    let former = pem::encode(pem::CERTIFICATE, ca.certificate(&old).unwrap());
    files.write("issuing.pem", former);
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &before.der));
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(!fine && said.contains("certificate revoked"), "{said}");
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &other.der));
    let (fine, said) = files.verify("sslserver", "leaf.pem");
    assert!(fine, "{said}");

    // The old key signs OCSP answers for its own without a delegate; the new one waits for one.
    let answer = async |issuer: &str, of: &Issued| {
        let responder = OcspResponder::new(Arc::clone(&ca), issuer, DAY);
        let request = request_below(ca.certificate(issuer).unwrap(), &of.serial);
        let issued = async |_| Ok::<_, std::convert::Infallible>(true);
        responder.answer(&request, start(), issued).await.der
    };
    assert!(answer(&old, &before).await.len() > 100);
    assert_eq!(answer(ca.issuer_id(), &after).await.len(), 5, "try later");
}

#[tokio::test]
async fn a_former_key_may_be_destroyed_and_what_it_revoked_stays_revoked() {
    let Software { ca, store, .. } = Software::first_start().await;
    let (before, old) = (issue(&ca, proposal()).await, ca.issuer_id().to_owned());
    ca.revoke(revoked(&ca, before.serial, RevocationReason::Superseded, start())).await.unwrap();
    let key = store.scan(b"_/ca/key/private-issuing-", None, 10).await.unwrap().pop().unwrap().key;
    drop(ca);
    rotate(&store, &config()).await.unwrap();
    store.commit(Commit::new().delete(key)).await.unwrap();
    let ca = open(&store, config()).await.unwrap();
    assert!(ca.is_revoked(&old, &before.serial));
    assert_eq!(ca.crl_named(&old), None);
    assert_eq!(read_crl(&ca.crl()).revoked, [""; 0]);
    // The key that issues has to be there.
    let current = store.scan(b"_/ca/key/private-issuing-", None, 10).await.unwrap();
    assert_eq!(current.len(), 1);
    store.commit(Commit::new().delete(current[0].key.clone())).await.unwrap();
    let missing = open(&store, config()).await.err().unwrap();
    assert!(matches!(missing, OpenError::KeyMissing { .. }), "{missing}");
}

#[tokio::test]
async fn a_ca_moves_below_another_root_and_both_are_trusted_meanwhile() {
    let Software { ca, store, .. } = Software::first_start().await;
    let (before, own_root) = (issue(&ca, proposal()).await, ca.root_der().to_vec());
    drop(ca);
    let root = offline_root().await;
    let asked = request(&store, &elsewhere()).await;
    assert_eq!(asked.common_name(), Some("Test Issuing CA G2"));
    let issuing = root.certify(&asked, &terms(), start()).await.unwrap();
    install(&store, &elsewhere(), &[issuing, root.certificate().to_vec()]).await.unwrap();
    let ca = open(&store, elsewhere()).await.unwrap();
    assert_eq!(ca.root_id(), root.id());
    assert_eq!(ca.roots().collect::<Vec<_>>(), [own_root.as_slice(), root.certificate()]);
    assert_eq!(pem::certificates(&ca.root_pem()).unwrap().len(), 2);
    // The root that is here goes on with its CRL.
    let parsed = ParsedCertificate::from_der(&own_root).unwrap();
    assert!(ca.crl_named(parsed.subject_key_id().unwrap()).is_some());
    assert!(
        ca.certificate(
            ParsedCertificate::from_der(&before.der).unwrap().authority_key_id().unwrap()
        )
        .is_some()
    );
    let refused = rotate(&store, &elsewhere()).await;
    assert!(matches!(refused, Err(CeremonyError::RootElsewhere)), "{refused:?}");
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_goes_on_with_the_same_key() {
    let Software { ca, store, .. } = Software::first_start().await;
    drop(ca);
    let asked = request(&store, &config()).await;
    let new = rotate(&store, &config()).await.unwrap();
    let new = ParsedCertificate::from_der(&new).unwrap();
    assert_eq!(new.public_key().unwrap(), asked.public_key());
    let none = rotate(&MemoryStore::new(), &config()).await;
    assert!(matches!(none, Err(CeremonyError::NoCa)), "{none:?}");
}

#[tokio::test]
async fn a_cross_certified_root_leads_to_the_other_one() {
    let Software { ca, .. } = Software::first_start().await;
    let issued = issue(&ca, proposal()).await;
    let root = offline_root().await;
    let own = ParsedCertificate::from_der(ca.root_der()).unwrap();
    let one_more = Terms { path_length: Some(1), ..terms() };
    let too_long = root.cross_certify(&own, &one_more, start()).await.unwrap_err();
    assert!(too_long.to_string().contains("path length"), "{too_long}");
    let roomy = RootPlan { path_length: Some(2), ..plan() };
    let store: SharedStore = Arc::new(MemoryStore::new());
    let root = OfflineRoot::init(&roomy, store, software(), vec![], start()).await.unwrap();
    let cross = root.cross_certify(&own, &one_more, start()).await.unwrap();
    let cross = ParsedCertificate::from_der(&cross).unwrap();
    assert_eq!(cross.subject_der(), own.subject_der());
    assert_eq!(cross.subject_key_id(), own.subject_key_id());

    // A verifier that trusts only the offline root gets there through it.
    let files = files(&ca, &root).await;
    let through = [ca.issuing_der().to_vec(), cross.der().to_vec()];
    files.write("issuing.pem", pem::encode_chain(through));
    files.write_crl("root-crl.pem", &ca.root_crl().unwrap());
    files.write_crl("offline-crl.pem", &root.crl(DAY * 30, start()).await.unwrap());
    files.write("leaf.pem", pem::encode(pem::CERTIFICATE, &issued.der));
    let (fine, said) = files.verify_with(&["-CRLfile", "offline-crl.pem"], "sslserver", "leaf.pem");
    assert!(fine, "{said}");
    let leaf = ParsedCertificate::from_der(&issued.der).unwrap();
    let no_ca = root.cross_certify(&leaf, &one_more, start()).await;
    assert!(matches!(no_ca, Err(OfflineError::Subject(_))), "{no_ca:?}");
}

/// What `openssl` made of these arguments, which write `out.pem`.
fn foreign(files: &Files, arguments: &str) -> ParsedCertificate {
    let (fine, said) = files.openssl(&arguments.split(' ').collect::<Vec<_>>());
    assert!(fine, "{said}");
    let (fine, text) = files.openssl(&["x509", "-in", "out.pem"]);
    assert!(fine, "{text}");
    ParsedCertificate::from_pem(&text).unwrap()
}

#[tokio::test]
async fn only_a_ca_that_is_what_it_says_is_certified_once_more() {
    let root = offline_root().await;
    let Software { ca, .. } = Software::first_start().await;
    let files = files(&ca, &root).await;
    let make = |what: &str| {
        let subject = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out out.pem -subj /CN=Other";
        foreign(&files, &format!("{subject} {what}"))
    };
    let refused = async |certificate: &ParsedCertificate, now| {
        root.cross_certify(certificate, &terms(), now).await.unwrap_err().to_string()
    };
    let leaf = make("-addext basicConstraints=critical,CA:FALSE");
    assert!(refused(&leaf, start()).await.contains("cannot be certified once more"));
    let other = make("-days 30");
    let ended = other.not_after() + DAY;
    assert!(refused(&other, ended).await.contains("the certificate ended at"));
    // The same name, with the key of somebody else.
    let mut forged = other.der().to_vec();
    let at = forged.len() - 10;
    forged[at] ^= 1;
    let forged = ParsedCertificate::from_der(&forged).unwrap();
    let said = refused(&forged, other.not_before()).await;
    assert!(said.contains("not signed by its own key"), "{said}");
    let weak = foreign(
        &files,
        "req -x509 -newkey rsa:1024 -nodes -keyout key.pem -out out.pem -subj /CN=Weak",
    );
    assert!(refused(&weak, weak.not_before()).await.contains("must not be certified"));
}

#[tokio::test]
async fn a_second_way_up_leads_no_further_than_the_first() {
    let root = offline_root().await;
    let Software { ca, .. } = Software::first_start().await;
    let files = files(&ca, &root).await;
    let limited = foreign(
        &files,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out out.pem -subj /CN=Other -days 9000 \
         -addext nameConstraints=critical,permitted;DNS:example.com",
    );
    let now = limited.not_before() + DAY;
    let own = NameConstraints::of(&limited).unwrap();
    let cross = root.cross_certify(&limited, &terms(), now).await.unwrap();
    let cross = ParsedCertificate::from_der(&cross).unwrap();
    assert_eq!(NameConstraints::of(&cross).unwrap(), own, "they are taken over");
    assert_eq!(cross.public_key().unwrap(), limited.public_key().unwrap());
    assert_eq!(cross.path_length(), Some(0));
    assert!(cross.not_after() <= now + DAY * 1000);
    let narrower =
        NameConstraints { excluded: vec!["dns:secret.example.com".parse().unwrap()], ..own };
    let narrow = Terms { name_constraints: narrower.clone(), ..terms() };
    let cross = root.cross_certify(&limited, &narrow, now).await.unwrap();
    let cross = ParsedCertificate::from_der(&cross).unwrap();
    assert_eq!(NameConstraints::of(&cross).unwrap(), narrower, "or others are given");
    // Never longer than the root that signs, nor deeper than it allows.
    let signer = ParsedCertificate::from_der(root.certificate()).unwrap();
    let long = Terms { validity: DAY * 20_000, ..terms() };
    let cross = root.cross_certify(&limited, &long, now).await.unwrap();
    let end = ParsedCertificate::from_der(&cross).unwrap().not_after();
    assert_eq!(end, signer.not_after());
    let deep = Terms { path_length: Some(1), ..terms() };
    let refused = root.cross_certify(&limited, &deep, now).await.unwrap_err().to_string();
    assert!(refused.contains("path length"), "{refused}");
}

#[tokio::test]
async fn the_transcript_tells_everything_and_cannot_be_changed() {
    let root = offline_root().await;
    let asked = request(&MemoryStore::new(), &elsewhere()).await;
    root.certify(&asked, &terms(), start()).await.unwrap();
    root.crl(DAY, start()).await.unwrap();
    let text = root.transcript().await.unwrap();
    let certificate = ParsedCertificate::from_der(root.certificate()).unwrap();
    assert_eq!(verify_transcript(&text, &certificate), Ok(3));
    let key = hex::encode(asked.public_key().fingerprint());
    for expected in ["\"init\"", "\"intermediate\"", "\"crl\"", "Alice", "Bob", &key] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let without = |at: usize| {
        let kept = lines.iter().enumerate().filter(|(line, _)| *line != at);
        kept.flat_map(|(_, line)| [*line, "\n"]).collect::<String>()
    };
    assert_eq!(verify_transcript(&without(1), &certificate), Err(TranscriptError::Order(2)));
    assert_eq!(verify_transcript(&without(2), &certificate), Err(TranscriptError::Signature));
    assert_eq!(verify_transcript(&without(3), &certificate), Err(TranscriptError::Unsigned));
    let forged = text.replace("Bob", "Rob");
    assert_eq!(verify_transcript(&forged, &certificate), Err(TranscriptError::Order(2)));
    let another = offline_root().await;
    let another = ParsedCertificate::from_der(another.certificate()).unwrap();
    assert_eq!(verify_transcript(&text, &another), Err(TranscriptError::Signature));
}

#[tokio::test]
async fn a_root_is_made_once_and_only_if_it_would_be_right() {
    let store: SharedStore = Arc::new(MemoryStore::new());
    let nameless = RootPlan { common_name: String::new(), ..plan() };
    let wrong = OfflineRoot::init(&nameless, Arc::clone(&store), software(), vec![], start()).await;
    assert!(wrong.err().unwrap().to_string().contains("common name"));
    let none = OfflineRoot::open(Arc::clone(&store), software(), vec![]).await;
    assert!(matches!(none.err(), Some(OfflineError::Missing)));
    OfflineRoot::init(&plan(), Arc::clone(&store), software(), vec![], start()).await.unwrap();
    let twice = OfflineRoot::init(&plan(), Arc::clone(&store), software(), vec![], start()).await;
    assert!(matches!(twice.err(), Some(OfflineError::Exists)));
    let root = OfflineRoot::open(store, software(), vec![]).await.unwrap();
    assert!(root.crl(Duration::from_hours(1), start()).await.is_ok());
    let parsed = ParsedCertificate::from_der(root.certificate()).unwrap();
    assert!(parsed.key_usages().unwrap().contains(KeyUsage::CrlSign));
    assert_ne!(parsed.public_key().unwrap(), &public_key(KeyType::EcdsaP384));
}
