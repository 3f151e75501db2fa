use std::convert::Infallible;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use chancery_ca::{Issued, OcspAnswer, OcspError, OcspResponder};
use chancery_keys::KeyType;
use chancery_keys::software::{SoftwareSigner, generate};
use chancery_x509::{
    ExtendedKeyUsage, ExtraExtension, OcspFailure, ParsedCertificate, RevocationReason, Serial,
};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::harness::{DAY, Software, proposal, revoked, start};

/// How long answers are valid in these tests.
const VALIDITY: Duration = Duration::from_hours(10);

fn responder(ca: &Software) -> OcspResponder {
    OcspResponder::new(ca.ca.clone(), ca.ca.issuer_id(), VALIDITY)
}

async fn issue(ca: &Software) -> Issued {
    ca.ca.sign(ca.ca.prepare(proposal(), start()).unwrap()).await.unwrap()
}

/// A key with a certificate for signing answers.
async fn delegate(ca: &Software) -> (Zeroizing<Vec<u8>>, Vec<u8>) {
    let key = generate(KeyType::EcdsaP256).unwrap();
    let public = SoftwareSigner::new().insert_pkcs8("k".parse().unwrap(), key.clone()).unwrap();
    let mut proposed = proposal();
    proposed.public_key = public;
    proposed.extended_key_usages = vec![ExtendedKeyUsage::OcspSigning];
    proposed.extra = vec![ExtraExtension::OcspNoCheck];
    proposed.not_after = start() + DAY * 7;
    let issued = ca.ca.sign(ca.ca.prepare(proposed, start()).unwrap()).await.unwrap();
    (key, issued.der)
}

/// A request about one certificate of the CA (RFC 6960 §4.1.1), without a nonce.
fn request(ca: &Software, serial: &Serial) -> Vec<u8> {
    request_below(ca.ca.issuing_der(), serial)
}

/// The same about a certificate that the CA with this certificate issued.
pub(crate) fn request_below(issuing: &[u8], serial: &Serial) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let tagged = |tag: u8, bytes: &[u8]| [&[tag, length(bytes)][..], bytes].concat();
    let issuing = ParsedCertificate::from_der(issuing).unwrap();
    let hash = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let key = issuing.public_key().unwrap();
    let id = [
        tagged(0x30, b"\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00"),
        tagged(0x04, hash(issuing.subject_der()).as_ref()),
        tagged(0x04, hash(key.key_bits()).as_ref()),
        tagged(0x02, integer(serial.as_bytes())),
    ];
    let list = tagged(0x30, &tagged(0x30, &tagged(0x30, &id.concat())));
    tagged(0x30, &tagged(0x30, &list))
}

/// The content of an INTEGER (X.690 §8.3.2): without leading zeros that its sign does not need. One serial
/// number in 256 begins with a zero.
fn integer(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0, rest @ ..] if rest.first().is_some_and(|next| *next < 0x80) => integer(rest),
        _ => bytes,
    }
}

async fn ask(responder: &OcspResponder, request: &[u8], now: Timestamp) -> OcspAnswer {
    responder.answer(request, now, async |_| Ok::<_, Infallible>(true)).await
}

#[tokio::test]
async fn an_answer_is_signed_once_until_half_of_its_time_has_passed() {
    let ca = Software::first_start().await;
    let responder = responder(&ca);
    let request = request(&ca, &issue(&ca).await.serial);
    assert_eq!(ask(&responder, &request, start()).await, OcspFailure::TryLater.into());
    let (key, certificate) = delegate(&ca).await;
    responder.delegate(key, certificate).unwrap();

    let first = ask(&responder, &request, start()).await;
    assert_eq!(first.reusable, Some((start(), start() + VALIDITY)));
    let before_half = start() + VALIDITY / 2 - Duration::from_secs(1);
    assert_eq!(ask(&responder, &request, before_half).await, first);
    let later = ask(&responder, &request, start() + VALIDITY / 2).await;
    assert_ne!(later.der, first.der);

    // With another signer, and a certificate that ends soon, everything is signed anew.
    let (key, certificate) = delegate(&ca).await;
    responder.delegate(key, certificate).unwrap();
    let at_the_end = start() + DAY * 7 - Duration::from_hours(1);
    let (_, until) = ask(&responder, &request, at_the_end).await.reusable.unwrap();
    assert_eq!(until, start() + DAY * 7, "no answer outlives its signer");
}

#[tokio::test]
async fn a_revocation_is_told_at_once() {
    let ca = Software::first_start().await;
    let responder = responder(&ca);
    let (key, certificate) = delegate(&ca).await;
    responder.delegate(key, certificate).unwrap();
    let serial = issue(&ca).await.serial;
    let request = request(&ca, &serial);
    let good = ask(&responder, &request, start()).await;
    ca.ca.revoke(revoked(&ca.ca, serial, RevocationReason::Superseded, start())).await.unwrap();
    let revoked = ask(&responder, &request, start()).await;
    assert_ne!(revoked.der, good.der);
    assert_eq!(ask(&responder, &request, start()).await, revoked, "and is kept like every other");
}

#[tokio::test]
async fn what_was_not_issued_and_what_cannot_be_told_is_not_signed() {
    let ca = Software::first_start().await;
    let responder = responder(&ca);
    let (key, certificate) = delegate(&ca).await;
    responder.delegate(key, certificate).unwrap();
    let request = request(&ca, &Serial::from_be_bytes(&[5; 20]).unwrap());
    let unknown = responder.answer(&request, start(), async |_| Ok::<_, Infallible>(false)).await;
    assert_eq!(unknown, OcspFailure::Unauthorized.into());
    let failed = responder.answer(&request, start(), async |_| Err("the store is away")).await;
    assert_eq!(failed, OcspFailure::TryLater.into());
    assert_eq!(ask(&responder, b"garbage", start()).await, OcspFailure::Malformed.into());
    // Of another CA.
    let other = Software::first_start().await;
    let foreign = self::request(&other, &issue(&other).await.serial);
    assert_eq!(ask(&responder, &foreign, start()).await, OcspFailure::Unauthorized.into());
}

#[tokio::test]
async fn only_a_certificate_of_this_ca_for_the_key_can_be_a_signer_s() {
    let ca = Software::first_start().await;
    let responder = responder(&ca);
    let (key, _) = delegate(&ca).await;
    let (_, certificate) = delegate(&ca).await;
    let refused = responder.delegate(key, certificate).unwrap_err();
    assert!(matches!(refused, OcspError::Certificate("it is for another key")), "{refused}");
    let other = Software::first_start().await;
    let (key, certificate) = delegate(&other).await;
    let refused = responder.delegate(key, certificate).unwrap_err();
    assert!(matches!(refused, OcspError::Certificate("it is not the issuing CA's")), "{refused}");
}
