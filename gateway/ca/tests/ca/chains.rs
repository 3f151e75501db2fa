//! Chains made elsewhere: those are installed below which `openssl` accepts certificates, and the others
//! are not.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use chancery_ca::{CaConfig, CaKeys, Ceremony, CeremonyError, ChainNotice, Parent};
use chancery_keys::software::SoftwareSigner;
use chancery_store::memory::MemoryStore;
use chancery_x509::pem;
use jiff::Timestamp;

use crate::harness::{at, config};

/// The extensions of three certificates, as `openssl` has them in its configuration.
#[derive(Clone, Copy)]
struct Chain {
    root: &'static str,
    middle: &'static str,
    issuing: &'static str,
    /// The subject of the one in the middle.
    middle_name: &'static str,
    root_days: &'static str,
}

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
                  subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n";

const GOOD: Chain = Chain {
    root: CA,
    middle: CA,
    issuing: "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
              subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n",
    middle_name: "/CN=Middle",
    root_days: "9000",
};

/// Certificates that are made by the command begin when the test runs.
fn later() -> Timestamp {
    at("2031-01-01T00:00:00Z")
}

struct Openssl {
    directory: tempfile::TempDir,
}

impl Openssl {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn try_run(&self, arguments: &str) -> (bool, String) {
        let ran = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.path())
            .output()
            .expect("these tests need the command openssl");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn run(&self, arguments: &str) {
        let (fine, said) = self.try_run(arguments);
        assert!(fine, "openssl {arguments}: {said}");
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        pem::decode(pem::CERTIFICATE, &text).unwrap().remove(0)
    }

    /// A key and a request for it.
    fn request(&self, name: &str, subject: &str) {
        self.run(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        self.run(&format!(
            "req -new -key {name}.key -subj {subject} -config req.cnf -out {name}.csr"
        ));
    }

    fn sign(&self, request: &str, issuer: &str, extensions: &str) {
        self.write(&format!("{request}.ext"), extensions);
        self.run(&format!(
            "x509 -req -in {request}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days \
             8000 -extfile {request}.ext -out {request}.pem"
        ));
    }

    /// Makes the chain for this request, and the same for a key that `openssl` has, with a certificate
    /// below it. Whether `openssl` accepts that one.
    fn make(&self, chain: Chain, csr: &[u8]) -> (bool, String) {
        self.write("req.cnf", format!("[req]\ndistinguished_name=dn\n[dn]\n[v]\n{}", chain.root));
        self.request("root", "/CN=Root");
        self.run(&format!(
            "req -x509 -key root.key -subj /CN=Root -days {} -config req.cnf -extensions v -out \
             root.pem",
            chain.root_days
        ));
        self.request("middle", chain.middle_name);
        self.sign("middle", "root", chain.middle);
        self.write("issuing.csr", pem::encode(pem::CERTIFICATE_REQUEST, csr));
        self.sign("issuing", "middle", chain.issuing);
        self.request("twin", "/CN=Issuing");
        self.sign("twin", "middle", chain.issuing);
        self.request("leaf", "/CN=leaf");
        self.sign("leaf", "twin", "subjectAltName=DNS:leaf.example.com\n");
        let untrusted = ["twin.pem", "middle.pem"]
            .map(|name| std::fs::read_to_string(self.path().join(name)).unwrap());
        self.write("untrusted.pem", untrusted.concat());
        let now = later().as_second();
        self.try_run(&format!(
            "verify -attime {now} -CAfile root.pem -untrusted untrusted.pem leaf.pem"
        ))
    }

    fn chain(&self) -> [Vec<u8>; 3] {
        ["issuing.pem", "middle.pem", "root.pem"].map(|name| self.read(name))
    }
}

/// What `openssl` and a ceremony make of a chain.
async fn judged(chain: Chain) -> ((bool, String), Result<Vec<ChainNotice>, CeremonyError>) {
    let openssl = Openssl::new();
    let config = CaConfig { parent: Parent::Elsewhere, ..config() };
    let keys = CaKeys::Software(Arc::new(SoftwareSigner::new()));
    let ceremony = Ceremony::new(&config, Arc::new(MemoryStore::new()), &keys).unwrap();
    let csr = ceremony.request().await.unwrap();
    let verdict = openssl.make(chain, &csr);
    (verdict, ceremony.install(&openssl.chain(), later()).await)
}

fn with(extensions: &'static str, of: fn(&mut Chain) -> &mut &'static str) -> Chain {
    let mut chain = GOOD;
    *of(&mut chain) = extensions;
    chain
}

fn root(chain: &mut Chain) -> &mut &'static str {
    &mut chain.root
}

fn middle(chain: &mut Chain) -> &mut &'static str {
    &mut chain.middle
}

fn issuing(chain: &mut Chain) -> &mut &'static str {
    &mut chain.issuing
}

/// The extensions of a CA with one of them replaced, or one more.
macro_rules! ca {
    ($basic:literal, $usage:literal, $more:literal) => {
        concat!(
            "basicConstraints=critical,",
            $basic,
            "\nkeyUsage=critical,",
            $usage,
            "\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n",
            $more
        )
    };
    ($more:literal) => {
        ca!("CA:TRUE", "keyCertSign,cRLSign", $more)
    };
}

#[tokio::test]
async fn a_chain_is_installed_where_openssl_accepts_what_is_below_it() {
    let cases = [
        ("as it should be", GOOD, None),
        (
            "the root signs no certificates",
            with(ca!("CA:TRUE", "cRLSign", ""), root),
            Some("keyCertSign"),
        ),
        (
            "the one in the middle signs no certificates",
            with(ca!("CA:TRUE", "cRLSign,digitalSignature", ""), middle),
            Some("keyCertSign"),
        ),
        (
            "the one that issues signs no certificates",
            with(ca!("CA:TRUE", "cRLSign", ""), issuing),
            Some("keyCertSign"),
        ),
        (
            "the one in the middle is no CA's",
            with(ca!("CA:FALSE", "keyCertSign", ""), middle),
            Some("not a CA's"),
        ),
        (
            "no room below the one in the middle",
            with(ca!("CA:TRUE,pathlen:0", "keyCertSign,cRLSign", ""), middle),
            Some("path length"),
        ),
        (
            "no room for two below the root",
            with(ca!("CA:TRUE,pathlen:1", "keyCertSign,cRLSign", ""), root),
            Some("path length"),
        ),
        (
            "room for two below the root",
            with(ca!("CA:TRUE,pathlen:2", "keyCertSign,cRLSign", ""), root),
            None,
        ),
        ("the root has ended", Chain { root_days: "1", ..GOOD }, Some("only")),
        (
            "the authority key identifier is another one",
            with(
                "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
                 subjectKeyIdentifier=hash\n\
                 2.5.29.35=DER:301680140102030405060708091011121314151617181920\n",
                middle,
            ),
            Some("authority key identifier"),
        ),
        (
            "a name outside the constraints of the root",
            Chain {
                root: ca!("nameConstraints=critical,permitted;DNS:example.com\n"),
                middle: ca!("subjectAltName=DNS:pki.example.net\n"),
                ..GOOD
            },
            Some("not permitted"),
        ),
        (
            "a name within the constraints of the root",
            Chain {
                root: ca!("nameConstraints=critical,permitted;DNS:example.com\n"),
                middle: ca!("subjectAltName=DNS:pki.example.com\n"),
                ..GOOD
            },
            None,
        ),
        (
            "networks",
            with(
                ca!(
                    "nameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0,excluded;DNS:a.test\n"
                ),
                middle,
            ),
            None,
        ),
        (
            "a critical extension that nobody knows",
            with(ca!("1.2.3.4=critical,ASN1:UTF8String:x\n"), middle),
            Some("critical extension"),
        ),
        ("another extension", with(ca!("1.2.3.4=ASN1:UTF8String:x\n"), middle), None),
    ];
    for (what, chain, refusal) in cases {
        let ((accepted, said), installed) = judged(chain).await;
        assert_eq!(accepted, refusal.is_none(), "{what}: openssl says {said}");
        match (installed, refusal) {
            (Ok(_), None) => {}
            (Err(refused), Some(told)) => {
                assert!(refused.to_string().contains(told), "{what}: {refused}");
            }
            (other, _) => panic!("{what}: {other:?}, and openssl says {said}"),
        }
    }
}

#[tokio::test]
async fn what_openssl_accepts_and_rustls_does_not_is_not_installed() {
    let cases = [
        ("URIs", with(ca!("nameConstraints=critical,excluded;URI:evil.example\n"), root)),
        (
            "e-mail addresses",
            with(ca!("nameConstraints=critical,permitted;email:a.test\n"), middle),
        ),
        (
            "directory names",
            with(
                ca!("nameConstraints=critical,excluded;dirName:subtree\n[subtree]\nO=Evil\n"),
                middle,
            ),
        ),
        ("critical extension", with(ca!("certificatePolicies=critical,1.2.3.4\n"), middle)),
        // The verifier counts certificates whose issuer has the same name.
        (
            "path length",
            Chain {
                root: ca!("CA:TRUE,pathlen:1", "keyCertSign,cRLSign", ""),
                middle_name: "/CN=Root",
                ..GOOD
            },
        ),
    ];
    for (told, chain) in cases {
        let ((accepted, said), installed) = judged(chain).await;
        assert!(accepted, "{told}: openssl says {said}");
        let refused = installed.unwrap_err().to_string();
        assert!(refused.contains(told), "{told}: {refused}");
    }
}

#[tokio::test]
async fn what_is_worth_knowing_of_a_chain_is_told() {
    let (_, installed) = judged(GOOD).await;
    // `openssl` hashes the key in another way.
    let notices = installed.unwrap();
    assert!(matches!(&notices[..], [ChainNotice::OtherKeyIdentifier { .. }]), "{notices:?}");
    let limited = with(ca!("extendedKeyUsage=serverAuth\n"), middle);
    let (_, installed) = judged(limited).await;
    let told: Vec<String> = installed.unwrap().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|one| one.contains("`Middle`") && one.contains("clients")), "{told:?}");
}

#[tokio::test]
async fn a_root_without_an_end_is_read() {
    let openssl = Openssl::new();
    openssl.write("req.cnf", format!("[req]\ndistinguished_name=dn\n[dn]\n[v]\n{CA}"));
    openssl.request("root", "/CN=Root");
    openssl.write("index.txt", "");
    openssl.write("serial", "01\n");
    openssl.write(
        "ca.cnf",
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n\
         default_md=sha256\npolicy=p\nx509_extensions=v\n[p]\ncommonName=supplied\n[v]\n"
            .to_owned()
            + CA,
    );
    openssl.run(
        "ca -batch -config ca.cnf -selfsign -keyfile root.key -in root.csr -out root.pem -notext \
         -enddate 99991231235959Z",
    );
    let read = chancery_x509::ParsedCertificate::from_der(&openssl.read("root.pem")).unwrap();
    assert!(read.not_after() > at("9999-12-30T00:00:00Z"), "{}", read.not_after());
}
