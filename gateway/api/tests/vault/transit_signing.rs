//! Signatures as Vault's clients ask for them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    RSA_PSS_SHA256, RSA_PSS_SHA512, RsaPssSaltLength, RsaSignatureEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_keys::KeyType;
use chancery_keys::software::{OaepHash, generate, wrap_key};
use chancery_x509::{PublicKey, pem};
use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture};

/// `hello`.
const MESSAGE: &str = "aGVsbG8=";

/// Brings in a key whose private half stays here too, and gives it.
async fn brought_in(f: &Fixture, name: &str) -> KeyPair {
    let pkcs8 = generate(KeyType::Rsa2048).unwrap();
    let to = f.admin("GET", "/v1/transit/wrapping_key").await.data();
    let to = pem::decode(pem::PUBLIC_KEY, to["public_key"].as_str().unwrap()).unwrap();
    let to = PublicKey::from_spki_der(&to[0]).unwrap();
    let wrapped = wrap_key(&to, OaepHash::Sha256, &pkcs8).unwrap();
    let body = json!({"ciphertext": STANDARD.encode(wrapped), "type": "rsa-2048"});
    f.admin_sends("POST", &format!("/v1/transit/keys/{name}/import"), body).await.data();
    KeyPair::from_pkcs8(&pkcs8).unwrap()
}

/// What Vault makes of the message.
fn signed(pair: &KeyPair, how: &'static RsaSignatureEncoding) -> String {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(how, &SystemRandom::new(), b"hello", &mut signature).unwrap();
    format!("vault:v1:{}", STANDARD.encode(signature))
}

async fn verify(f: &Fixture, key: &str, signature: &str, more: Value) -> Answer {
    let mut body = json!({"input": MESSAGE, "signature": signature});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    f.admin_sends("POST", &format!("/v1/transit/verify/{key}"), body).await
}

#[tokio::test]
async fn pss_signatures_with_a_salt_of_any_length_verify() {
    let f = Fixture::new();
    let pair = brought_in(&f, "rsa").await;
    macro_rules! with_salt {
        ($how:ident, $length:expr) => {
            signed(&pair, &const { $how.with_pss_salt_length($length) })
        };
    }
    // What Vault signs with unless told otherwise: the longest salt.
    let longest = with_salt!(RSA_PSS_SHA256, RsaPssSaltLength::Max);
    let short = with_salt!(RSA_PSS_SHA256, RsaPssSaltLength::Custom(20));
    let usual = signed(&pair, &RSA_PSS_SHA256);
    for (signature, salt, valid) in [
        (&longest, json!(null), true),
        (&longest, json!("auto"), true),
        (&longest, json!(0), true),
        (&longest, json!("222"), true),
        (&longest, json!("hash"), false),
        (&longest, json!(20), false),
        (&short, json!("auto"), true),
        (&short, json!(20), true),
        (&short, json!("hash"), false),
        (&usual, json!("auto"), true),
        (&usual, json!("hash"), true),
        (&usual, json!("-1"), true),
        (&usual, json!(32), true),
        (&usual, json!(222), false),
    ] {
        let verified = verify(&f, "rsa", signature, json!({"salt_length": salt})).await.data();
        assert_eq!(verified["valid"], json!(valid), "{salt}");
    }
    let wrong = json!({"input": "aGFsbG8="});
    assert_eq!(verify(&f, "rsa", &longest, wrong).await.data()["valid"], json!(false));
    let sha512 = with_salt!(RSA_PSS_SHA512, RsaPssSaltLength::Max);
    let asked = json!({"hash_algorithm": "sha2-512"});
    assert_eq!(verify(&f, "rsa", &sha512, asked).await.data()["valid"], json!(true));
    assert_eq!(verify(&f, "rsa", &sha512, json!({})).await.data()["valid"], json!(false));
    // Longer than any.
    let verified = verify(&f, "rsa", &usual, json!({"salt_length": 100_000})).await.data();
    assert_eq!(verified["valid"], json!(false));
    for bad in ["x", "-2", "1.5"] {
        let answer = verify(&f, "rsa", &usual, json!({"salt_length": bad})).await;
        assert_eq!(answer.errors(400), "salt_length must be auto, hash or a number of bytes");
    }
}

#[tokio::test]
async fn signing_takes_the_salt_lengths_that_mean_the_hash_s_and_ignores_them_elsewhere() {
    let f = Fixture::new();
    for kind in ["rsa-2048", "ecdsa-p256", "ed25519"] {
        let uri = format!("/v1/transit/keys/{kind}");
        f.admin_sends("POST", &uri, json!({"type": kind})).await.data();
    }
    let sign = async |key: &str, more: Value| {
        let mut body = json!({"input": MESSAGE});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        f.admin_sends("POST", &format!("/v1/transit/sign/{key}"), body).await
    };
    for salt in
        [json!(null), json!(""), json!("auto"), json!("hash"), json!(0), json!("32"), json!(-1)]
    {
        let made = sign("rsa-2048", json!({"salt_length": salt})).await.data();
        let signature = made["signature"].as_str().unwrap();
        for asked in ["auto", "hash"] {
            let verified = verify(&f, "rsa-2048", signature, json!({"salt_length": asked})).await;
            assert_eq!(verified.data()["valid"], json!(true), "{salt} {asked}");
        }
    }
    let other = sign("rsa-2048", json!({"salt_length": 20})).await.errors(400);
    assert!(other.contains("salt_length must be hash or auto"), "{other}");
    // It means nothing to these.
    for (key, more) in [
        ("rsa-2048", json!({"salt_length": 20, "signature_algorithm": "pkcs1v15"})),
        ("ecdsa-p256", json!({"salt_length": 20, "signature_algorithm": "pss"})),
        ("ed25519", json!({"salt_length": "100000"})),
    ] {
        let made = sign(key, more.clone()).await.data();
        let signature = made["signature"].as_str().unwrap();
        assert_eq!(verify(&f, key, signature, more).await.data()["valid"], json!(true), "{key}");
    }
}

#[tokio::test]
async fn base64_may_have_line_breaks() {
    let f = Fixture::new();
    f.admin_sends("POST", "/v1/transit/keys/aes", json!({})).await.data();
    f.admin_sends("POST", "/v1/transit/keys/ec", json!({"type": "ecdsa-p256"})).await.data();
    let broken = |text: &str| format!("{}\r\n{}\n", &text[..12], &text[12..]);
    let plaintext = STANDARD.encode("a text that is longer than a line of base64");
    let body = json!({"plaintext": broken(&plaintext), "associated_data": "aGVs\nbG8="});
    let made = f.admin_sends("POST", "/v1/transit/encrypt/aes", body).await.data();
    let body = json!({"ciphertext": broken(made["ciphertext"].as_str().unwrap()), "associated_data": MESSAGE});
    let opened = f.admin_sends("POST", "/v1/transit/decrypt/aes", body).await.data();
    assert_eq!(opened["plaintext"], json!(plaintext));
    let body = json!({"input": "aGVs\nbG8="});
    let made = f.admin_sends("POST", "/v1/transit/sign/ec", body).await.data();
    let signature = broken(made["signature"].as_str().unwrap());
    assert_eq!(verify(&f, "ec", &signature, json!({})).await.data()["valid"], json!(true));
    let backup = f.admin("GET", "/v1/transit/backup/aes").await.data();
    let backup = backup["backup"].as_str().unwrap();
    let (head, tail) = backup.split_at(40);
    let body = json!({"backup": format!("{head}\n{tail}\n")});
    let restored = f.admin_sends("POST", "/v1/transit/restore/again", body).await;
    assert_eq!(restored.status, 200, "{restored:?}");
    for bad in ["aGVs bG8=", "aGVs\tbG8=", "aGVsbG8", "aGVs_G8="] {
        let body = json!({"plaintext": bad});
        f.admin_sends("POST", "/v1/transit/encrypt/aes", body).await.errors(400);
    }
}
