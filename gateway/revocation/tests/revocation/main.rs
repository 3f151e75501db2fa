//! What CRLs say as time goes by, and what cannot be used. The CAs are of `openssl`, as somebody else's are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chancery_identity::{CaId, Clock, EvidenceError, Lineage, Link};
use chancery_revocation::{ForeignCa, Freshness, Revocation, Settings, Source, WhenUnknown};
use chancery_x509::{ParsedCertificate, pem};
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);
const CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = crlnumber\n\
    default_md = sha256\ncertificate = ca.pem\nprivate_key = key.pem\n";
const REVOKED: &str = "0b";

struct Theirs {
    directory: TempDir,
    clock: Clock,
    revocation: Revocation,
}

impl Theirs {
    /// A CA that has revoked one certificate, at the beginning of 2030.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2030-01-01T00:00:00Z".parse().unwrap());
        let revocation = Revocation::new(directory.path().join("kept"), clock.clone());
        let theirs = Self { directory, clock, revocation };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem";
        theirs.run(&format!("req -x509 {new_key} -subj /CN=Theirs -days 9000 -out ca.pem"));
        theirs.write("crlnumber", "01\n");
        let index = format!("R\t400101000000Z\t260101000000Z\t{}\tunknown\t/CN=x\n", "0B");
        theirs.write("index.txt", &index);
        theirs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, command: &str) {
        let ran = Command::new("openssl")
            .args(command.split_whitespace())
            .current_dir(self.directory.path())
            .output()
            .expect("these tests need the command openssl");
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// A CRL that is good for the first two days of 2030, with what these extensions say.
    fn crl(&self, extensions: &str) {
        self.crl_of("ca.pem", "key.pem", extensions);
    }

    fn crl_of(&self, ca: &str, key: &str, extensions: &str) {
        let section = format!("crl_extensions = more\n[more]\n{extensions}\n");
        self.write("openssl.cnf", &(CONFIG.to_owned() + &section));
        let times = "-crl_lastupdate 20300101000000Z -crl_nextupdate 20300103000000Z";
        let of = format!("-cert {ca} -keyfile {key}");
        self.run(&format!("ca -config openssl.cnf -gencrl {of} {times} -out their.crl"));
    }

    /// Makes a CA below theirs, which a client has shown; gives its identity.
    fn subordinate(&self, name: &str) -> CaId {
        let new_key =
            format!("-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key");
        let below = format!("-CA ca.pem -CAkey key.pem -out {name}.pem");
        self.run(&format!("req -x509 {new_key} -subj /CN={name} -days 9000 {below}"));
        let text = fs::read_to_string(self.path(&format!("{name}.pem"))).unwrap();
        let ca = ParsedCertificate::from_pem(&text).unwrap();
        let id = CaId::new(ca.subject_der(), ca.public_key().unwrap().spki_der());
        let leaf = Link { issuer: id, ..self.link("c") };
        let lineage = Lineage { ca: self.id(), links: vec![leaf, self.link("d")] };
        drop(self.revocation.settle(&lineage, &[ca.der().to_vec()]));
        id
    }

    fn settings(&self) -> Settings {
        Settings {
            crls: vec![Source::parse("their.crl", self.directory.path()).unwrap()],
            ocsp: None,
            refresh: DAY,
            grace: Duration::ZERO,
            when_unknown: WhenUnknown::Refuse,
            largest_crl: 1 << 20,
            ocsp_wait: Duration::from_secs(1),
        }
    }

    async fn watch(&self, settings: Settings) {
        let text = fs::read_to_string(self.path("ca.pem")).unwrap();
        let certificates = pem::certificates(&text).unwrap();
        let ca = ForeignCa { origin: "theirs".to_owned(), certificates, settings };
        self.revocation.replace(vec![ca]).await.unwrap();
    }

    fn id(&self) -> CaId {
        let text = fs::read_to_string(self.path("ca.pem")).unwrap();
        let ca = ParsedCertificate::from_pem(&text).unwrap();
        CaId::new(ca.subject_der(), ca.public_key().unwrap().spki_der())
    }

    fn link(&self, serial: &str) -> Link {
        Link { issuer: self.id(), serial: serial.to_owned(), is_ca: false, crl_points: vec![] }
    }

    fn check(&self, link: Link) -> Result<(), EvidenceError> {
        self.revocation.check(&Lineage { ca: self.id(), links: vec![link] })
    }

    fn of(&self, serial: &str) -> Result<(), EvidenceError> {
        self.check(self.link(serial))
    }

    fn error(&self) -> String {
        self.revocation.report()[0].crls[0].error.clone().unwrap_or_default()
    }
}

const PLAIN: &str = "authorityKeyIdentifier = keyid";

#[tokio::test]
async fn a_crl_counts_until_its_end_and_what_it_revoked_stays_revoked() {
    let theirs = Theirs::new();
    theirs.crl(PLAIN);
    assert_eq!(theirs.of("a"), Ok(()), "nobody is asked about it");
    theirs.watch(theirs.settings()).await;
    assert_eq!((theirs.of("a"), theirs.of(REVOKED)), (Ok(()), Err(EvidenceError::Revoked)));
    let ca = Link { is_ca: true, ..theirs.link(REVOKED) };
    assert_eq!(theirs.check(ca), Err(EvidenceError::CaRevoked));
    theirs.clock.advance(2 * DAY);
    assert_eq!(theirs.of("a"), Ok(()));
    theirs.clock.advance(Duration::from_secs(1));
    assert_eq!(theirs.of("a"), Err(EvidenceError::StatusUnknown));
    assert_eq!(theirs.of(REVOKED), Err(EvidenceError::Revoked));
    let report = theirs.revocation.report();
    assert_eq!((report[0].crls[0].status, report[0].is_well()), (Freshness::Stale, false));
    let stranger = Lineage { ca: CaId::new(b"x", b"y"), links: vec![theirs.link("a")] };
    assert_eq!(theirs.revocation.check(&stranger), Ok(()), "of another CA nothing is asked");

    theirs.watch(Settings { grace: DAY, ..theirs.settings() }).await;
    assert_eq!(theirs.of("a"), Ok(()));
    theirs.clock.advance(DAY);
    assert_eq!(theirs.of("a"), Err(EvidenceError::StatusUnknown));
    theirs.watch(Settings { when_unknown: WhenUnknown::Accept, ..theirs.settings() }).await;
    assert_eq!((theirs.of("a"), theirs.of(REVOKED)), (Ok(()), Err(EvidenceError::Revoked)));
}

#[tokio::test]
async fn a_crl_says_nothing_about_certificates_that_are_not_in_its_scope() {
    let theirs = Theirs::new();
    let point = |what: &str| format!("issuingDistributionPoint = critical,@point\n[point]\n{what}");
    theirs.crl(&point("fullname = URI:http://their/1.crl\nonlyuser = TRUE"));
    theirs.watch(theirs.settings()).await;
    let named = |url: &str| theirs.link("a").with_crl_points(vec![url.to_owned()]);
    assert_eq!(theirs.check(named("http://their/1.crl")), Ok(()));
    assert_eq!(theirs.check(named("http://their/2.crl")), Err(EvidenceError::StatusUnknown));
    assert_eq!(theirs.of("a"), Err(EvidenceError::StatusUnknown));
    let ca = Link { is_ca: true, ..named("http://their/1.crl") };
    assert_eq!(theirs.check(ca), Err(EvidenceError::StatusUnknown));
}

#[tokio::test]
async fn what_cannot_be_used_leaves_what_was_there_and_says_why() {
    let theirs = Theirs::new();
    theirs.watch(theirs.settings()).await;
    assert_eq!(theirs.of("a"), Err(EvidenceError::StatusUnknown));
    assert_eq!(theirs.error(), "there is no such file");
    theirs.crl(PLAIN);
    theirs.watch(theirs.settings()).await;
    assert_eq!((theirs.of("a"), theirs.error()), (Ok(()), String::new()));

    theirs.crl("2.5.29.27 = critical,DER:02:01:01");
    theirs.watch(theirs.settings()).await;
    assert!(theirs.error().contains("it is a delta CRL"), "{}", theirs.error());
    fs::write(theirs.path("their.crl"), vec![b' '; (1 << 20) + 1]).unwrap();
    theirs.watch(theirs.settings()).await;
    assert!(theirs.error().contains("more than 1048576 bytes"), "{}", theirs.error());
    let both = fs::read_to_string(theirs.path("ca.pem")).unwrap();
    theirs.write("their.crl", &both);
    theirs.watch(theirs.settings()).await;
    assert!(theirs.error().contains("no `-----BEGIN X509 CRL"), "{}", theirs.error());
    assert_eq!((theirs.of("a"), theirs.of(REVOKED)), (Ok(()), Err(EvidenceError::Revoked)));
}

/// One who can choose what an address answers has CRLs of several issuers, for several scopes, of several times.
#[tokio::test]
async fn crls_of_other_issuers_and_scopes_take_nothing_back() {
    let theirs = Theirs::new();
    theirs.write("index.txt", "");
    theirs.crl(PLAIN);
    let older = fs::read(theirs.path("their.crl")).unwrap();
    theirs.write("index.txt", "R\t400101000000Z\t260101000000Z\t0B\tunknown\t/CN=x\n");
    theirs.crl(PLAIN);
    theirs.watch(theirs.settings()).await;
    let both = || (theirs.of("a"), theirs.of(REVOKED));
    let revoked = (Ok(()), Err(EvidenceError::Revoked));
    assert_eq!(both(), revoked);
    let older_is_refused = async || {
        fs::write(theirs.path("their.crl"), &older).unwrap();
        theirs.watch(theirs.settings()).await;
        assert!(theirs.error().contains("older than the one"), "{}", theirs.error());
        assert_eq!(both(), revoked);
    };
    older_is_refused().await;

    // A genuine one of a CA below, which has revoked nobody.
    theirs.write("index.txt", "");
    let below = theirs.subordinate("below");
    theirs.crl_of("below.pem", "below.key", PLAIN);
    theirs.watch(theirs.settings()).await;
    assert_eq!((theirs.error(), both()), (String::new(), revoked));
    let of_below = Link { issuer: below, ..theirs.link(REVOKED) };
    assert_eq!(theirs.check(of_below.clone()), Ok(()), "each number is its issuer's");
    older_is_refused().await;

    // A newer one of the same CA that is about CAs only, and one for a distribution point.
    for scope in ["onlyCA = TRUE", "fullname = URI:http://their/1.crl"] {
        theirs.crl(&format!("issuingDistributionPoint = critical,@point\n[point]\n{scope}"));
        theirs.watch(theirs.settings()).await;
        assert_eq!((theirs.error(), both()), (String::new(), revoked), "{scope}");
        older_is_refused().await;
    }

    // It is all the same after a start.
    let started = Revocation::new(theirs.path("kept"), theirs.clock.clone());
    let again = Theirs { revocation: started, ..theirs };
    again.watch(again.settings()).await;
    assert!(again.error().contains("older than the one"), "{}", again.error());
    assert_eq!((again.of("a"), again.of(REVOKED)), revoked);
    assert_eq!(again.check(of_below), Ok(()));

    // There is an end to how many there are, and it is said.
    for at in 0..8 {
        let point = format!("fullname = URI:http://their/more/{at}.crl");
        again.crl(&format!("issuingDistributionPoint = critical,@point\n[point]\n{point}"));
        again.watch(again.settings()).await;
    }
    assert!(again.error().contains("CRLs of 8 other issuers or scopes"), "{}", again.error());
    assert_eq!((again.of("a"), again.of(REVOKED)), revoked);
}

#[tokio::test]
async fn what_is_kept_is_verified_again_and_goes_with_its_source() {
    let theirs = Theirs::new();
    theirs.crl(PLAIN);
    theirs.watch(theirs.settings()).await;
    let kept = || fs::read_dir(theirs.path("kept")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(kept().count(), 2);
    fs::remove_file(theirs.path("their.crl")).unwrap();

    let started = |clock: &Clock| Revocation::new(theirs.path("kept"), clock.clone());
    let again =
        Theirs { revocation: started(&theirs.clock), clock: theirs.clock.clone(), ..Theirs::new() };
    let lineage = Lineage { ca: theirs.id(), links: vec![theirs.link("a")] };
    let ca = |settings| ForeignCa {
        origin: "theirs".to_owned(),
        certificates: pem::certificates(&fs::read_to_string(theirs.path("ca.pem")).unwrap())
            .unwrap(),
        settings,
    };
    again.revocation.replace(vec![ca(theirs.settings())]).await.unwrap();
    assert_eq!(again.revocation.check(&lineage), Ok(()), "without the file");

    // Somebody has changed what is kept.
    let list = kept().find(|path| path.extension() == Some("crl".as_ref())).unwrap();
    let mut der = fs::read(&list).unwrap();
    *der.last_mut().unwrap() ^= 1;
    fs::write(&list, der).unwrap();
    let revocation = started(&theirs.clock);
    revocation.replace(vec![ca(theirs.settings())]).await.unwrap();
    assert_eq!(revocation.check(&lineage), Err(EvidenceError::StatusUnknown));

    let elsewhere = Source::parse("other.crl", Path::new("/nowhere")).unwrap();
    let settings = Settings { crls: vec![elsewhere], ..theirs.settings() };
    revocation.replace(vec![ca(settings)]).await.unwrap();
    assert_eq!(kept().count(), 0);
}
