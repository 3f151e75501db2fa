//! Tests of signed requests: what is parsed and verified, and what is refused.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn signing_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256",
        "x": base64url::encode(&point[1..33]), "y": base64url::encode(&point[33..]),
    })
}

fn sign(key: &EcdsaKeyPair, protected: &Value, payload: &[u8]) -> Value {
    let protected = base64url::encode(protected.to_string());
    let payload = base64url::encode(payload);
    let input = format!("{protected}.{payload}");
    let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    json!({"protected": protected, "payload": payload, "signature": base64url::encode(signature)})
}

fn account_key(key: &EcdsaKeyPair) -> AccountKey {
    serde_json::from_value(jwk(key)).unwrap()
}

fn parse(body: &Value) -> Result<SignedRequest, JwsError> {
    SignedRequest::parse(body.to_string().as_bytes())
}

#[test]
fn gives_the_payload_to_the_signer_s_key_only() {
    let key = signing_key();
    let header = json!({"alg": "ES256", "nonce": "n", "url": "https://a/b", "jwk": jwk(&key)});
    let request = || parse(&sign(&key, &header, br#"{"x":1}"#)).unwrap();
    let Signer::Key(own) = request().signer().clone() else { panic!("signed by a bare key") };
    let own = own.check().unwrap();
    assert_eq!(request().url(), "https://a/b");
    assert_eq!(request().nonce(), Some("n"));
    assert_eq!(request().verify(&own).unwrap().json::<Value>().unwrap(), json!({"x": 1}));
    let other = account_key(&signing_key());
    assert_eq!(request().verify(&other), Err(JwsError::BadSignature));
}

#[test]
fn a_changed_header_or_payload_does_not_verify() {
    let key = signing_key();
    let own = account_key(&key);
    let header = json!({"alg": "ES256", "nonce": "n", "url": "https://a/b", "jwk": jwk(&key)});
    let signed = sign(&key, &header, b"{}");
    let mut changed = signed.clone();
    changed["payload"] = json!(base64url::encode(b"{ }"));
    assert_eq!(parse(&changed).unwrap().verify(&own), Err(JwsError::BadSignature));
    let mut changed = signed;
    let header = json!({"alg": "ES256", "nonce": "m", "url": "https://a/b", "jwk": jwk(&key)});
    changed["protected"] = json!(base64url::encode(header.to_string()));
    assert_eq!(parse(&changed).unwrap().verify(&own), Err(JwsError::BadSignature));
}

#[test]
fn jwk_xor_kid() {
    let key = signing_key();
    let both = json!({"alg": "ES256", "url": "u", "jwk": jwk(&key), "kid": "k"});
    let neither = json!({"alg": "ES256", "url": "u"});
    for header in [both, neither] {
        assert!(matches!(parse(&sign(&key, &header, b"")), Err(JwsError::Malformed(_))));
    }
}

#[test]
fn algorithm_fits_key() {
    let key = signing_key();
    let own = account_key(&key);
    for alg in ["none", "HS256", "es256", "ES512", ""] {
        let header = json!({"alg": alg, "url": "u", "jwk": jwk(&key)});
        let refused = parse(&sign(&key, &header, b""));
        assert!(matches!(refused, Err(JwsError::BadAlgorithm(_))), "{alg}");
    }
    for alg in ["ES384", "RS256", "EdDSA"] {
        // An attacker who brings a key could have brought one that fits.
        let header = json!({"alg": alg, "url": "u", "jwk": jwk(&key)});
        let refused = parse(&sign(&key, &header, b"")).unwrap().verify(&own);
        let fits = BadKey::OtherAlgorithm {
            alg: Algorithm::from_name(alg).unwrap().name(),
            fits: "ES256",
        };
        assert_eq!(refused, Err(JwsError::BadKey(fits)), "{alg}");
        let header = json!({"alg": alg, "url": "u", "kid": "k"});
        let refused = parse(&sign(&key, &header, b"")).unwrap().verify(&own);
        assert!(matches!(refused, Err(JwsError::BadAlgorithm(_))), "{alg}");
    }
}

#[test]
fn members_that_nobody_knows_are_ignored() {
    let key = signing_key();
    let mut signed = sign(&key, &json!({"alg": "ES256", "url": "u", "kid": "k", "b": 1}), b"{}");
    signed["anything"] = json!({"a": [1]});
    signed["header"] = json!(null);
    assert_eq!(parse(&signed).unwrap().verify(&account_key(&key)).unwrap().as_bytes(), b"{}");
}

#[test]
fn single_signature_and_nothing_unprotected() {
    let key = signing_key();
    let signed = sign(&key, &json!({"alg": "ES256", "url": "u", "kid": "k"}), b"");
    assert!(parse(&signed).is_ok());
    for (name, value) in [
        ("header", json!({"alg": "ES256"})),
        ("header", json!({})),
        ("signatures", json!([signed.clone()])),
        ("signatures", json!([])),
    ] {
        let mut changed = signed.clone();
        changed[name] = value;
        assert!(matches!(parse(&changed), Err(JwsError::Malformed(_))), "{name}");
    }
    let text = signed.to_string();
    let twice = text.replacen('{', r#"{"payload":"","#, 1);
    assert!(matches!(SignedRequest::parse(twice.as_bytes()), Err(JwsError::Malformed(_))));
}

#[test]
fn critical_extensions_and_a_missing_url_are_refused() {
    let key = signing_key();
    for header in [
        json!({"alg": "ES256", "url": "u", "kid": "k", "crit": ["b64"], "b64": false}),
        json!({"alg": "ES256", "url": "u", "kid": "k", "crit": null}),
        json!({"alg": "ES256", "url": "u", "kid": "k", "b64": false}),
        json!({"alg": "ES256", "url": "u", "kid": "k", "crit": []}),
        json!({"alg": "ES256", "kid": "k"}),
        json!({"url": "u", "kid": "k"}),
    ] {
        assert!(matches!(parse(&sign(&key, &header, b"")), Err(JwsError::Malformed(_))));
    }
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[expect(dead_code, reason = "only whether it is read counts")]
    x: String,
}

#[test]
fn an_array_is_not_taken_for_an_object() {
    let key = signing_key();
    let good = json!({"alg": "ES256", "url": "u", "kid": "k"});
    let signed = sign(&key, &good, b"[\"x\"]");
    let part = |name: &str| signed[name].clone();
    let list = json!([part("protected"), part("payload"), part("signature"), null, null]);
    for list in [list.to_string(), format!(" \n{list}")] {
        assert!(matches!(SignedRequest::parse(list.as_bytes()), Err(JwsError::Malformed(_))));
    }
    // With and without the members that are left out above, to show that their number is not the
    // cause.
    for header in
        [json!(["ES256", null, "u", null, "k", null]), json!(["ES256", "n", "u", null, "k"])]
    {
        let parsed = parse(&sign(&key, &header, b""));
        assert!(matches!(parsed, Err(JwsError::Malformed(_))), "{header}");
    }
    for jwk in [json!(["EC", "P-256", "x", "y", null, null]), json!([])] {
        let header = json!({"alg": "ES256", "url": "u", "jwk": jwk});
        assert!(matches!(parse(&sign(&key, &header, b"")), Err(JwsError::Malformed(_))), "{jwk}");
    }
    let payload = parse(&signed).unwrap().verify(&account_key(&key)).unwrap();
    assert!(matches!(payload.json::<Wanted>(), Err(JwsError::Malformed(_))));
}

#[test]
fn padded_base64url_is_tolerated() {
    let key = signing_key();
    let own = account_key(&key);
    let header = base64url::encode(json!({"alg": "ES256", "url": "u", "kid": "k!"}).to_string());
    let payload = "YQ==";
    let input = format!("{header}.{payload}");
    let signature = key.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    let signature = format!("{}==", base64url::encode(signature));
    let body = json!({"protected": header, "payload": payload, "signature": signature});
    assert_eq!(parse(&body).unwrap().verify(&own).unwrap().as_bytes(), b"a");
}

#[test]
fn deep_json_and_long_bodies_are_errors() {
    let deep = "[".repeat(30_000);
    let key = signing_key();
    let own = account_key(&key);
    assert!(matches!(SignedRequest::parse(deep.as_bytes()), Err(JwsError::Malformed(_))));
    let header = json!({"alg": "ES256", "url": "u", "kid": "k"});
    let payload = parse(&sign(&key, &header, deep.as_bytes())).unwrap().verify(&own).unwrap();
    assert!(matches!(payload.json::<Value>(), Err(JwsError::Malformed(_))));
    let long = " ".repeat(MAX_BODY + 1);
    assert!(matches!(SignedRequest::parse(long.as_bytes()), Err(JwsError::Malformed(_))));
}

proptest! {
    #[test]
    fn never_panics_on_bytes(body: Vec<u8>) {
        let _ = SignedRequest::parse(&body);
    }

    #[test]
    fn never_panics_on_nearly_right_input(
        alg in "(ES256|RS256|EdDSA|none|.{0,8})",
        kty in "(EC|RSA|OKP|.{0,4})",
        crv in "(P-256|P-384|Ed25519|.{0,6})",
        member in "[A-Za-z0-9_=-]{0,700}",
        payload in ".{0,40}",
        signature in "[A-Za-z0-9_=+-]{0,100}",
    ) {
        let jwk = json!({"kty": kty, "crv": crv, "x": member, "y": member, "n": member, "e": member});
        let header = json!({"alg": alg, "url": "u", "nonce": "n", "jwk": jwk});
        let body = json!({
            "protected": base64url::encode(header.to_string()), "payload": payload,
            "signature": signature,
        });
        let _ = parse(&body);
    }
}
