//! CRLs that `openssl` makes, as some CA of somebody else would.

use std::fmt::Write as _;

use chancery_x509::{
    ListError, NotTheIssuers, ParsedCertificate, RevocationList, Serial, UnverifiedList,
};
use proptest::prelude::*;

use crate::openssl::OpenSsl;

/// A CA of `openssl ca`, in a directory of its own.
struct Authority(OpenSsl);

const CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = crlnumber\n\
    default_md = sha256\ncertificate = ca.pem\nprivate_key = key.pem\n";

impl Authority {
    fn new(usage: &str) -> Self {
        let openssl = OpenSsl::new();
        openssl.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
        openssl.run(&format!(
            "req -x509 -new -key key.pem -subj /CN=Their-CA -days 30 -out ca.pem \
             -addext keyUsage=critical,{usage}"
        ));
        openssl.write("crlnumber", b"0a\n");
        openssl.write("index.txt", b"");
        openssl.write("openssl.cnf", CONFIG.as_bytes());
        Self(openssl)
    }

    fn certificate(&self) -> ParsedCertificate {
        ParsedCertificate::from_pem(std::str::from_utf8(&self.0.read("ca.pem")).unwrap()).unwrap()
    }

    /// A CRL with these serial numbers and reasons, and with what this section of a configuration adds.
    fn crl(&self, entries: &[(&str, &str)], extensions: &str) -> Vec<u8> {
        let mut index = String::new();
        for (serial, reason) in entries {
            let reason = if reason.is_empty() { String::new() } else { format!(",{reason}") };
            let line =
                format!("R\t350101000000Z\t260101000000Z{reason}\t{serial}\tunknown\t/CN=x\n");
            index.write_str(&line).unwrap();
        }
        self.0.write("index.txt", index.as_bytes());
        let config = format!("{CONFIG}crl_extensions = extensions\n[extensions]\n{extensions}\n");
        self.0.write("openssl.cnf", config.as_bytes());
        self.0.run("ca -config openssl.cnf -gencrl -crldays 7 -out crl.pem");
        self.0.run("crl -in crl.pem -outform DER -out crl.der");
        self.0.read("crl.der")
    }
}

fn serial(text: &str) -> Serial {
    text.parse().unwrap()
}

fn read(der: &[u8]) -> Result<UnverifiedList, ListError> {
    UnverifiedList::from_der(der.to_vec())
}

fn list(authority: &Authority, der: &[u8]) -> RevocationList {
    read(der).unwrap().verified_by(&authority.certificate()).unwrap().0
}

const PLAIN: &str = "authorityKeyIdentifier = keyid";

#[test]
fn a_crl_tells_which_certificates_are_revoked() {
    let ca = Authority::new("keyCertSign,cRLSign");
    let entries = [
        ("0A", ""),
        ("00FF", "keyCompromise"),
        ("1234", "certificateHold"),
        ("05", "removeFromCRL"),
    ];
    let found = list(&ca, &ca.crl(&entries, PLAIN));
    for revoked in ["a", "ff", "1234"] {
        assert!(found.is_revoked(&serial(revoked)), "{revoked}");
    }
    for good in ["5", "b", "ff00", "0"] {
        assert!(!found.is_revoked(&serial(good)), "{good}");
    }
    assert_eq!((found.len(), found.number()), (3, Some(&serial("a"))));
    assert!(found.next_update() > found.this_update());
    let next = list(&ca, &ca.crl(&entries, PLAIN));
    assert!(found.is_older_than(&next) && !next.is_older_than(&found));
    assert!(list(&ca, &ca.crl(&[], PLAIN)).is_empty());
}

#[test]
fn a_crl_of_version_1_is_read() {
    let ca = Authority::new("keyCertSign,cRLSign");
    ca.0.run("ca -config openssl.cnf -gencrl -crldays 7 -out crl.pem");
    // `openssl ca` writes a number into every CRL of a CA that counts them.
    let config = CONFIG.replace("crlnumber = crlnumber\n", "");
    ca.0.write("openssl.cnf", config.as_bytes());
    ca.0.write("index.txt", b"R\t350101000000Z\t260101000000Z\t07\tunknown\t/CN=x\n");
    ca.0.run("ca -config openssl.cnf -gencrl -crldays 7 -out crl.pem");
    ca.0.run("crl -in crl.pem -outform DER -out crl.der");
    let found = list(&ca, &ca.0.read("crl.der"));
    assert!(found.is_revoked(&serial("7")) && found.number().is_none());
}

#[test]
fn a_crl_is_worth_nothing_unless_its_issuer_signed_it() {
    let (ca, other) =
        (Authority::new("keyCertSign,cRLSign"), Authority::new("keyCertSign,cRLSign"));
    let der = ca.crl(&[("0A", "")], PLAIN);
    let why = |der: &[u8], certificate: &ParsedCertificate| {
        read(der).unwrap().verified_by(certificate).unwrap_err().1
    };
    // Of the same name, and of another key.
    assert_eq!(why(&der, &other.certificate()), NotTheIssuers::Signature);
    let mut forged = der.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(why(&forged, &ca.certificate()), NotTheIssuers::Signature);
    let silent = Authority::new("keyCertSign");
    assert_eq!(why(&der, &silent.certificate()), NotTheIssuers::KeyUsage);
    let unnamed = OpenSsl::new();
    unnamed.run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    unnamed.run("req -x509 -new -key key.pem -subj /CN=Another -days 30 -out ca.pem");
    let another =
        ParsedCertificate::from_pem(std::str::from_utf8(&unnamed.read("ca.pem")).unwrap());
    assert_eq!(why(&der, &another.unwrap()), NotTheIssuers::Name);
}

#[test]
fn what_says_less_than_a_complete_crl_is_refused_and_the_cause_is_told() {
    let ca = Authority::new("keyCertSign,cRLSign");
    let refused = |extensions: &str| read(&ca.crl(&[], extensions)).unwrap_err();
    let point = |what: &str| format!("issuingDistributionPoint = critical,@point\n[point]\n{what}");
    let delta = "2.5.29.27 = critical,DER:02:01:01";
    assert_eq!(refused(delta), ListError::Delta);
    assert_eq!(refused(&point("indirectCRL = TRUE")), ListError::Indirect);
    assert_eq!(refused(&point("onlysomereasons = keyCompromise")), ListError::SomeReasons);
    assert_eq!(refused(&point("onlyAA = TRUE")), ListError::AttributeCertificates);
    assert_eq!(refused(&point("relativename = rdn\n[rdn]\nCN = x")), ListError::DistributionPoint);
    let unknown = refused("1.2.3.4 = critical,DER:05:00");
    assert!(matches!(unknown, ListError::CriticalExtension(_)), "{unknown}");
    assert!(read(&ca.crl(&[], "1.2.3.4 = DER:05:00")).is_ok(), "what is not critical is ignored");
}

#[test]
fn a_crl_says_which_certificates_it_is_about() {
    let ca = Authority::new("keyCertSign,cRLSign");
    let scope = |what: &str| {
        let point = format!("issuingDistributionPoint = critical,@point\n[point]\n{what}");
        list(&ca, &ca.crl(&[], &point)).scope().clone()
    };
    let users = scope("onlyuser = TRUE");
    assert!(users.covers(false, &[]) && !users.covers(true, &[]));
    let cas = scope("onlyCA = TRUE");
    assert!(cas.covers(true, &[]) && !cas.covers(false, &[]));
    let shard = scope("fullname = URI:http://a/1.crl,URI:http://b/1.crl");
    let points = |urls: &[&str]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(shard.covers(false, &points(&["ldap://x", "http://b/1.crl"])));
    assert!(!shard.covers(false, &points(&["http://a/2.crl"])));
    assert!(!shard.covers(false, &[]), "it is about those that name it, and no others");
    let all = list(&ca, &ca.crl(&[], PLAIN)).scope().clone();
    assert!(all.covers(true, &[]) && all.covers(false, &points(&["http://a/2.crl"])));
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_changed_byte_breaks_it_or_is_believed(
        at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        static MADE: std::sync::OnceLock<(Vec<u8>, ParsedCertificate)> = std::sync::OnceLock::new();
        let (der, certificate) = MADE.get_or_init(|| {
            let ca = Authority::new("keyCertSign,cRLSign");
            let point = "issuingDistributionPoint = critical,@point\n[point]\nfullname = URI:http://a/";
            (ca.crl(&[("0A", "keyCompromise"), ("0B", "")], point), ca.certificate())
        });
        let mut changed = der.clone();
        let at = at.index(changed.len());
        let same = changed[at] == value;
        changed[at] = value;
        if let Ok(list) = read(&changed) {
            prop_assert_eq!(list.verified_by(certificate).is_ok(), same);
        }
        let _ = read(&der[..cut.index(der.len())]);
    }
}
