//! Lints the content of a certificate before it is signed; other modules lint its names and extensions.

use der::{Decode, Encode};
use x509_cert::certificate::{Rfc5280, TbsCertificateInner, Version};

use super::context::Context;
use super::{Finding, Findings, extensions, names};
use crate::{Issuer, Kind, PublicKey, Serial, ToBeSigned, time};

/// Everything that is wrong with a certificate's content, given who will sign it and what it was
/// meant to be. Whether the certified key is a strong one is not looked at here, since that takes
/// long and is known before: [`PublicKey::check_strength`].
pub fn certificate(content: &ToBeSigned, issuer: &Issuer, kind: Kind) -> Vec<Finding> {
    let mut findings = Findings::default();
    let tbs = match TbsCertificateInner::<Rfc5280>::from_der(content.der()) {
        Ok(tbs) => tbs,
        Err(error) => {
            findings.note("not-der", format!("the certificate does not decode: {error}"));
            return findings.0;
        }
    };
    // Also finds a time in the wrong one of the two encodings of RFC 5280 §4.1.2.5.
    findings.require(
        tbs.to_der().ok().as_deref() == Some(content.der()),
        "not-der",
        "the certificate is not in the distinguished encoding",
    );
    let spki = tbs.subject_public_key_info().to_der().unwrap_or_default();
    let public_key = match PublicKey::from_spki_der(&spki) {
        Ok(key) => key,
        Err(error) => {
            findings.note("public-key", error.to_string());
            return findings.0;
        }
    };
    let context = Context { tbs: &tbs, issuer, kind, public_key: &public_key };
    fields(&context, content, &mut findings);
    validity(&context, &mut findings);
    names::subject_and_alternatives(&context, &mut findings);
    extensions::all(&context, &mut findings);
    findings.0
}

fn fields(context: &Context<'_>, content: &ToBeSigned, findings: &mut Findings) {
    let tbs = context.tbs;
    findings.require(
        tbs.version() == Version::V3,
        "version",
        "extensions need version 3 (RFC 5280 §4.1.2.1)",
    );
    match Serial::from_be_bytes(tbs.serial_number().as_bytes()) {
        Ok(serial) => {
            let encoded = tbs.serial_number().as_bytes();
            findings.require(
                encoded.len() <= 20 && encoded.first().is_some_and(|first| first & 0x80 == 0),
                "serial-range",
                "the serial number is negative or longer than 20 bytes (RFC 5280 §4.1.2.2)",
            );
            // 159 random bits are below 2^95 once in 2^64 times: then something is broken.
            findings.require(
                serial.bit_length() >= 95,
                "serial-entropy",
                "the serial number is too small to hold 159 random bits",
            );
        }
        Err(error) => findings.note("serial-range", error.to_string()),
    }
    let named = tbs.signature().to_der().unwrap_or_default();
    findings.require(
        named == content.algorithm().algorithm_identifier()
            && content.algorithm().fits(context.issuer.public_key.algorithm()),
        "signature-algorithm",
        "the signature's algorithm is not one of the issuer's key (RFC 5280 §4.1.1.2)",
    );
    findings.require(
        !tbs.issuer().is_empty()
            && tbs.issuer().to_der().ok().as_deref() == Some(context.issuer.name_der.as_slice()),
        "issuer-name",
        "the issuer's name is empty or not the issuer's subject (RFC 5280 §4.1.2.4)",
    );
    findings.require(
        context.is_root() || context.issuer.public_key != *context.public_key,
        "key-is-issuers",
        "the certified key is the issuer's own",
    );
    findings.require(
        tbs.issuer_unique_id().is_none() && tbs.subject_unique_id().is_none(),
        "unique-id",
        "unique identifiers must not be used (RFC 5280 §4.1.2.8)",
    );
}

fn validity(context: &Context<'_>, findings: &mut Findings) {
    let validity = context.tbs.validity();
    let bounds = (time::from_der(&validity.not_before), time::from_der(&validity.not_after));
    let (Some(not_before), Some(not_after)) = bounds else {
        findings.note("validity", "the validity is not a possible time".to_owned());
        return;
    };
    findings.require(
        not_before <= not_after,
        "validity",
        "the validity ends before it begins (RFC 5280 §4.1.2.5)",
    );
    findings.require(
        context.issuer.not_before <= not_before && not_after <= context.issuer.not_after,
        "validity-outside-issuer",
        "the validity is not inside the issuer's own",
    );
}
