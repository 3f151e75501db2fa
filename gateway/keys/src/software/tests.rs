//! Tests of the software signer: signatures, wrapping, RSA decryption and HMAC.

use super::*;
use crate::KeyType;

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn algorithms(key_type: KeyType) -> &'static [SignatureAlgorithm] {
    use SignatureAlgorithm as A;
    match key_type {
        KeyType::EcdsaP256 => &[A::EcdsaP256Sha256],
        KeyType::EcdsaP384 => &[A::EcdsaP384Sha384],
        KeyType::EcdsaP521 => &[A::EcdsaP521Sha512],
        KeyType::Ed25519 => &[A::Ed25519],
        KeyType::MlDsa44 => &[A::MlDsa44],
        KeyType::MlDsa65 => &[A::MlDsa65],
        KeyType::MlDsa87 => &[A::MlDsa87],
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
            &[A::RsaPkcs1Sha256, A::RsaPkcs1Sha384, A::RsaPkcs1Sha512, A::RsaPssSha256]
        }
    }
}

async fn signs_and_verifies(key_type: KeyType) {
    let (signer, key) = (SoftwareSigner::new(), name("k"));
    let public = signer.insert_pkcs8(key.clone(), generate(key_type).unwrap()).unwrap();
    assert_eq!(signer.public_key(&key).unwrap(), public);
    for algorithm in algorithms(key_type) {
        let signature = signer.sign(&key, *algorithm, b"message").await.unwrap();
        public.verify(*algorithm, b"message", &signature).unwrap();
        assert!(public.verify(*algorithm, b"another", &signature).is_err());
    }
    let foreign = match key_type {
        KeyType::Ed25519 => SignatureAlgorithm::EcdsaP256Sha256,
        _ => SignatureAlgorithm::Ed25519,
    };
    assert_eq!(
        signer.sign(&key, foreign, b"message").await,
        Err(SignError::Unsupported { key, algorithm: foreign })
    );
}

#[tokio::test]
async fn ecdsa_p256() {
    signs_and_verifies(KeyType::EcdsaP256).await;
}

#[tokio::test]
async fn ecdsa_p384() {
    signs_and_verifies(KeyType::EcdsaP384).await;
    signs_and_verifies(KeyType::EcdsaP521).await;
}

#[tokio::test]
async fn ed25519() {
    signs_and_verifies(KeyType::Ed25519).await;
}

#[tokio::test]
async fn ml_dsa() {
    signs_and_verifies(KeyType::MlDsa44).await;
    signs_and_verifies(KeyType::MlDsa65).await;
    signs_and_verifies(KeyType::MlDsa87).await;
}

#[tokio::test]
async fn rsa() {
    signs_and_verifies(KeyType::Rsa2048).await;
    signs_and_verifies(KeyType::Rsa3072).await;
}

#[tokio::test]
async fn a_removed_key_is_unknown() {
    let (signer, key) = (SoftwareSigner::new(), name("root"));
    signer.insert_pkcs8(key.clone(), generate(KeyType::Ed25519).unwrap()).unwrap();
    assert!(signer.contains(&key));
    assert!(signer.remove(&key));
    assert!(!signer.remove(&key));
    assert_eq!(
        signer.sign(&key, SignatureAlgorithm::Ed25519, b"m").await,
        Err(SignError::UnknownKey { key })
    );
}

#[test]
fn a_name_keeps_its_key() {
    let (signer, key) = (SoftwareSigner::new(), name("k"));
    let first = generate(KeyType::EcdsaP256).unwrap();
    let public = signer.insert_pkcs8(key.clone(), first.clone()).unwrap();
    assert_eq!(signer.insert_pkcs8(key.clone(), first), Ok(public.clone()));
    let second = generate(KeyType::EcdsaP256).unwrap();
    assert_eq!(
        signer.insert_pkcs8(key.clone(), second),
        Err(InsertError::Exists { name: key.clone() })
    );
    assert_eq!(signer.public_key(&key), Ok(public));
}

#[test]
fn refuses_what_is_no_private_key() {
    let signer = SoftwareSigner::new();
    let mut broken = generate(KeyType::EcdsaP256).unwrap();
    broken.truncate(20);
    for bytes in [broken, Zeroizing::new(vec![]), Zeroizing::new(b"-----BEGIN".to_vec())] {
        assert_eq!(
            signer.insert_pkcs8(name("k"), bytes),
            Err(InsertError::Malformed { name: name("k") })
        );
    }
    assert!(!signer.contains(&name("k")));
}

#[test]
fn wrapped_bytes_open_with_their_key_and_purpose_only() {
    let signer = SoftwareSigner::new();
    for key in ["a", "b"] {
        signer.insert_wrapping_key(name(key), &generate_secret(AES_KEY_BYTES).unwrap()).unwrap();
    }
    let wrapped = signer.wrap(&name("a"), b"secret", b"purpose").unwrap();
    assert_eq!(**signer.unwrap(&name("a"), &wrapped, b"purpose").unwrap(), *b"secret");
    for (key, purpose) in [("a", b"another"), ("b", b"purpose")] {
        let refused = signer.unwrap(&name(key), &wrapped, purpose);
        assert_eq!(refused, Err(WrapError::Refused { key: name(key) }));
    }
    assert_ne!(signer.wrap(&name("a"), b"secret", b"purpose").unwrap(), wrapped);
    assert_eq!(signer.unwrap(&name("a"), &wrapped[..20], b""), Err(WrapError::Malformed));
    assert!(matches!(signer.wrap(&name("c"), b"", b""), Err(WrapError::Key(_))));
    let short = Zeroizing::new(vec![0; AES_KEY_BYTES - 1]);
    assert!(signer.insert_wrapping_key(name("c"), &short).is_err());
}

#[test]
fn rsa_keys_decrypt_and_take_keys_in() {
    let signer = SoftwareSigner::new();
    let rsa = signer.insert_pkcs8(name("rsa"), generate(KeyType::Rsa2048).unwrap()).unwrap();
    let secret = generate(KeyType::Rsa4096).unwrap();
    for hash in [OaepHash::Sha1, OaepHash::Sha256, OaepHash::Sha384, OaepHash::Sha512] {
        let encrypted = encrypt(&rsa, hash, b"short").unwrap();
        assert_eq!(**signer.decrypt(&name("rsa"), hash, &encrypted).unwrap(), *b"short");
        let wrapped = wrap_key(&rsa, hash, &secret).unwrap();
        assert_eq!(signer.unwrap_key(&name("rsa"), hash, &wrapped).unwrap(), secret);
        for cut in [0, 255, 256, wrapped.len() - 1] {
            let refused = signer.unwrap_key(&name("rsa"), hash, &wrapped[..cut]);
            assert_eq!(refused, Err(OaepError::Refused), "{cut}");
        }
    }
    let other_hash = encrypt(&rsa, OaepHash::Sha1, b"short").unwrap();
    let refused = signer.decrypt(&name("rsa"), OaepHash::Sha256, &other_hash);
    assert_eq!(refused, Err(OaepError::Refused));
    let long = encrypt(&rsa, OaepHash::Sha256, &[0; 191]);
    assert_eq!(long, Err(OaepError::TooLong { limit: 190 }));
    let ec = signer.insert_pkcs8(name("ec"), generate(KeyType::EcdsaP256).unwrap()).unwrap();
    assert_eq!(encrypt(&ec, OaepHash::Sha256, b""), Err(OaepError::NoRsaKey));
    assert_eq!(signer.decrypt(&name("ec"), OaepHash::Sha256, b""), Err(OaepError::NoRsaKey));
}

#[test]
fn macs_are_those_of_rfc_4231() {
    let signer = SoftwareSigner::new();
    signer.insert_mac_key(name("m"), Zeroizing::new(b"Jefe".to_vec()));
    let mac = signer.mac(&name("m"), Sha2::Sha256, b"what do ya want for nothing?").unwrap();
    let expected = [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e];
    assert_eq!(mac[..8], expected);
    let verify = |message: &[u8]| signer.verify_mac(&name("m"), Sha2::Sha256, message, &mac);
    assert_eq!(verify(b"what do ya want for nothing?"), Ok(true));
    assert_eq!(verify(b"what do ya want for nothing!"), Ok(false));
    let of_another_kind = signer.wrap(&name("m"), b"", b"");
    assert!(matches!(of_another_kind, Err(WrapError::Key(SignError::UnknownKey { .. }))));
}
