//! Questions that `openssl ocsp` answers, as a responder of somebody else would.

use std::time::Duration;

use chancery_x509::{
    CertificateStatus, OcspAnswer, OcspAnswerError, OcspQuestion, ParsedCertificate,
    RevocationReason, Serial,
};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::openssl::OpenSsl;

const DAY: Duration = Duration::from_hours(24);
const LEEWAY: Duration = Duration::from_mins(5);
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// A CA that has issued 0x0a, revoked 0x0b for a reason, and has a responder with a certificate.
struct Authority {
    openssl: OpenSsl,
    certificate: ParsedCertificate,
}

impl Authority {
    fn new() -> Self {
        let openssl = OpenSsl::new();
        openssl.run(&format!(
            "req -x509 {NEW_KEY} -keyout key.pem -subj /CN=Their-CA -days 30 -out ca.pem"
        ));
        let index = "V\t350101000000Z\t\t0A\tunknown\t/CN=good\n\
             R\t350101000000Z\t260101000000Z,keyCompromise\t0B\tunknown\t/CN=bad\n";
        openssl.write("index.txt", index.as_bytes());
        let certificate = read(&openssl, "ca.pem");
        Self { openssl, certificate }
    }

    /// A certificate for a responder, by this CA, in `signer.pem`.
    fn appoint(&self, extensions: &str) {
        self.openssl.write("extensions", extensions.as_bytes());
        self.openssl.run(&format!(
            "req -new {NEW_KEY} -keyout signer.key -subj /CN=Responder -out signer.csr"
        ));
        self.openssl.run(
            "x509 -req -in signer.csr -CA ca.pem -CAkey key.pem -set_serial 0x77 -days 7 \
             -extfile extensions -out signer.pem",
        );
    }

    fn question(&self, serial: &str) -> OcspQuestion<'_> {
        OcspQuestion::new(&self.certificate, serial.parse().unwrap(), vec![7; 32]).unwrap()
    }

    /// What `openssl` answers to a question, signed as the options say.
    fn answers(&self, question: &OcspQuestion<'_>, options: &str) -> Vec<u8> {
        self.openssl.write("request.der", &question.to_der().unwrap());
        self.openssl.run(&format!(
            "ocsp -index index.txt -CA ca.pem -reqin request.der -respout response.der {options}"
        ));
        self.openssl.read("response.der")
    }

    fn asked(&self, serial: &str, options: &str) -> Result<OcspAnswer, OcspAnswerError> {
        let question = self.question(serial);
        let answer = self.answers(&question, options);
        question.read(&answer, now(), LEEWAY, DAY)
    }
}

fn read(openssl: &OpenSsl, file: &str) -> ParsedCertificate {
    ParsedCertificate::from_pem(std::str::from_utf8(&openssl.read(file)).unwrap()).unwrap()
}

/// The machine's time, which `openssl` writes into its answers.
fn now() -> Timestamp {
    let made = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
    Timestamp::try_from(made).unwrap()
}

const BY_CA: &str = "-rsigner ca.pem -rkey key.pem -ndays 2";
const BY_SIGNER: &str = "-rsigner signer.pem -rkey signer.key -ndays 2";

#[test]
fn a_responder_says_how_a_certificate_is() {
    let ca = Authority::new();
    let good = ca.asked("a", BY_CA).unwrap();
    assert_eq!((good.status, good.responder), (CertificateStatus::Good, None));
    assert!(good.next_update.unwrap() > good.this_update);
    let CertificateStatus::Revoked(entry) = ca.asked("b", BY_CA).unwrap().status else { panic!() };
    assert_eq!(entry.serial, "b".parse::<Serial>().unwrap());
    assert_eq!(entry.reason, RevocationReason::KeyCompromise);
    // A number whose first bit is set.
    assert_eq!(ca.asked("ff", BY_CA).unwrap().status, CertificateStatus::Unknown);
    assert_eq!(ca.asked("0", BY_CA).unwrap().status, CertificateStatus::Unknown);
    let by_key = ca.asked("a", &format!("{BY_CA} -resp_key_id")).unwrap();
    assert_eq!(by_key.status, CertificateStatus::Good);
    let endless = ca.asked("a", "-rsigner ca.pem -rkey key.pem").unwrap();
    assert_eq!(endless.next_update, None);
}

#[test]
fn the_issuer_appoints_responders_and_nobody_else_does() {
    let ca = Authority::new();
    ca.appoint("extendedKeyUsage = OCSPSigning\nkeyUsage = digitalSignature");
    let answer = ca.asked("a", BY_SIGNER).unwrap();
    assert_eq!(answer.responder, Some("77".parse().unwrap()), "it may be revoked itself");
    assert!(ca.asked("a", &format!("{BY_SIGNER} -resp_key_id")).is_ok());
    ca.appoint("extendedKeyUsage = OCSPSigning\nnoCheck = ignored");
    assert_eq!(ca.asked("a", BY_SIGNER).unwrap().responder, None);
    for wrong in [
        "extendedKeyUsage = serverAuth",
        "basicConstraints = CA:FALSE",
        "extendedKeyUsage = OCSPSigning\nkeyUsage = keyEncipherment",
    ] {
        ca.appoint(wrong);
        assert_eq!(ca.asked("a", BY_SIGNER), Err(OcspAnswerError::Signer), "{wrong}");
    }
    // Another CA of the same name appoints somebody.
    ca.appoint("extendedKeyUsage = OCSPSigning");
    let other = Authority::new();
    for file in ["signer.pem", "signer.key"] {
        other.openssl.write(file, &ca.openssl.read(file));
    }
    assert_eq!(other.asked("a", BY_SIGNER), Err(OcspAnswerError::Signer));
    // Without its certificate nobody knows who signed.
    assert_eq!(ca.asked("a", &format!("{BY_SIGNER} -resp_no_certs")), Err(OcspAnswerError::Signer));
}

#[test]
fn an_answer_that_is_old_early_or_to_something_else_is_none() {
    let ca = Authority::new();
    let question = ca.question("a");
    let answer = ca.answers(&question, BY_CA);
    let at = |moment: Timestamp| question.read(&answer, moment, LEEWAY, DAY);
    assert!(at(now()).is_ok());
    assert!(matches!(at(now() - 2 * LEEWAY), Err(OcspAnswerError::Early(_))));
    assert!(at(now() + 2 * DAY + LEEWAY / 2).is_ok());
    assert!(matches!(at(now() + 2 * DAY + 2 * LEEWAY), Err(OcspAnswerError::Late(_))));
    // One that names no end is good for as long as the asker says.
    let endless = ca.answers(&question, "-rsigner ca.pem -rkey key.pem");
    let read = |by| question.read(&endless, now() + by, LEEWAY, DAY);
    assert!(read(DAY).is_ok());
    assert!(matches!(read(DAY + 2 * LEEWAY), Err(OcspAnswerError::Late(_))));

    let another = ca.question("b").read(&answer, now(), LEEWAY, DAY);
    assert_eq!(another, Err(OcspAnswerError::AnotherCertificate));
    let other = Authority::new();
    let question_of_other = other.question("a");
    let of_other = question_of_other.read(&answer, now(), LEEWAY, DAY);
    assert_eq!(of_other, Err(OcspAnswerError::AnotherCertificate), "of the same name");
    let again = OcspQuestion::new(&ca.certificate, "a".parse().unwrap(), vec![8; 32]).unwrap();
    assert_eq!(again.read(&answer, now(), LEEWAY, DAY), Err(OcspAnswerError::Nonce));
    for (byte, said) in [(1, "malformedRequest"), (3, "tryLater"), (6, "unauthorized")] {
        let refused = question.read(&[0x30, 3, 0x0a, 1, byte], now(), LEEWAY, DAY);
        assert_eq!(refused, Err(OcspAnswerError::Refused(said)));
    }
}

proptest! {
    #[test]
    fn no_changed_byte_breaks_it_or_is_believed(
        at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        static MADE: std::sync::OnceLock<(Authority, Vec<u8>)> = std::sync::OnceLock::new();
        let (ca, answer) = MADE.get_or_init(|| {
            let ca = Authority::new();
            let answer = ca.answers(&ca.question("b"), BY_CA);
            (ca, answer)
        });
        let question = ca.question("b");
        let mut changed = answer.clone();
        let at = at.index(changed.len());
        changed[at] = value;
        if let Ok(read) = question.read(&changed, now(), LEEWAY, DAY) {
            // Bytes outside of what is signed, such as the certificates that come with it, may change.
            prop_assert!(matches!(read.status, CertificateStatus::Revoked(_)));
        }
        prop_assert!(question.read(&answer[..cut.index(answer.len())], now(), LEEWAY, DAY).is_err());
        prop_assert!(question.read(&bytes, now(), LEEWAY, DAY).is_err());
    }
}
