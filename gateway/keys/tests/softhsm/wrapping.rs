use chancery_keys::pkcs11::{Brought, Usage};
use chancery_keys::software::{
    AES_KEY_BYTES, OaepHash, SoftwareSigner, encrypt, generate, generate_secret, wrap_key,
};
use chancery_keys::{KeyType, SignError, Signer as _, WrapError};
use chancery_x509::SignatureAlgorithm;
use cryptoki::object::{Attribute, ObjectClass};
use zeroize::Zeroizing;

use crate::harness::{intruder, name, run, signer, with_token};

#[test]
fn what_was_wrapped_opens_for_the_same_key_and_purpose_only() {
    with_token("wrapping::what_was_wrapped_opens_for_the_same_key_and_purpose_only", || {
        let signer = signer();
        let (key, other) = (name("seal"), name("other"));
        run(async {
            signer.generate_wrapping_key(&key).await.unwrap();
            signer.generate_wrapping_key(&other).await.unwrap();
            let secret = Zeroizing::new(b"0123456789abcdef0123456789abcdef".to_vec());
            let wrapped = signer.wrap(&key, secret.clone(), b"root key").await.unwrap();
            assert!(!wrapped.windows(8).any(|part| part == b"01234567"));
            assert_ne!(signer.wrap(&key, secret.clone(), b"root key").await.unwrap(), wrapped);
            assert_eq!(signer.unwrap(&key, &wrapped, b"root key").await, Ok(secret.clone()));

            let refused = |key: &chancery_keys::KeyName| {
                Err::<Zeroizing<Vec<u8>>, _>(WrapError::Refused { key: key.clone() })
            };
            assert_eq!(signer.unwrap(&key, &wrapped, b"else").await, refused(&key));
            assert_eq!(signer.unwrap(&other, &wrapped, b"root key").await, refused(&other));
            for position in 1..wrapped.len() {
                let mut flipped = wrapped.clone();
                flipped[position] ^= 1;
                assert_eq!(signer.unwrap(&key, &flipped, b"root key").await, refused(&key));
            }
            let cut = signer.unwrap(&key, &wrapped[..20], b"root key").await;
            assert_eq!(cut, Err(WrapError::Malformed));
            // After all those refusals it still works.
            assert_eq!(signer.unwrap(&key, &wrapped, b"root key").await, Ok(secret));
        });
    });
}

#[test]
fn a_signing_key_wraps_nothing() {
    with_token("wrapping::a_signing_key_wraps_nothing", || {
        let signer = signer();
        let key = name("k");
        run(async {
            signer.generate(&key, KeyType::EcdsaP256).await.unwrap();
            let refused = signer.wrap(&key, Zeroizing::new(vec![1]), b"").await;
            assert!(matches!(refused, Err(WrapError::Key(_))), "{refused:?}");
        });
    });
}

#[test]
fn rsa_keys_decrypt_and_wrap_if_they_were_made_for_it() {
    with_token("wrapping::rsa_keys_decrypt_and_wrap_if_they_were_made_for_it", || {
        let signer = signer();
        let (key, other, signs) = (name("decrypts"), name("both"), name("signs"));
        let algorithm = SignatureAlgorithm::RsaPssSha256;
        run(async {
            let public = signer.generate_for(&key, KeyType::Rsa2048, Usage::DECRYPT).await.unwrap();
            signer.generate_for(&other, KeyType::Rsa2048, Usage::SIGN_AND_DECRYPT).await.unwrap();
            signer.generate(&signs, KeyType::Rsa2048).await.unwrap();
            let made = encrypt(&public, OaepHash::Sha1, b"hunter2").unwrap();
            let opened = signer.decrypt(&key, OaepHash::Sha1, &made).await.unwrap();
            assert_eq!(&opened[..], b"hunter2");
            let refused = signer.decrypt(&other, OaepHash::Sha1, &made).await;
            assert_eq!(refused, Err(WrapError::Refused { key: other.clone() }));
            for cut in [&made[1..], &[0; 300]] {
                assert!(signer.decrypt(&key, OaepHash::Sha1, cut).await.is_err());
            }

            // Each does what it was made for, and is not asked for more.
            signer.sign(&other, algorithm, b"message").await.unwrap();
            let no_use = |error: &SignError| matches!(error, SignError::Failed { .. });
            assert!(no_use(&signer.sign(&key, algorithm, b"message").await.unwrap_err()));
            for (key, hash) in [(&signs, OaepHash::Sha1), (&key, OaepHash::Sha256)] {
                let refused = signer.try_decryption(key, hash).await.unwrap_err();
                assert!(matches!(&refused, WrapError::Key(error) if no_use(error)), "{refused:?}");
            }

            let secret = Zeroizing::new(b"0123456789abcdef0123456789abcdef".to_vec());
            assert!(signer.wrap(&signs, secret.clone(), b"root key").await.is_err());
            let wrapped = signer.wrap(&key, secret.clone(), b"root key").await.unwrap();
            assert!(!wrapped.windows(8).any(|part| part == b"01234567"));
            assert_eq!(signer.unwrap(&key, &wrapped, b"root key").await, Ok(secret.clone()));
            assert!(signer.unwrap(&key, &wrapped, b"else").await.is_err());
            assert!(signer.unwrap(&other, &wrapped, b"root key").await.is_err());
            for position in 0..wrapped.len() {
                let mut flipped = wrapped.clone();
                flipped[position] ^= 1;
                let refused = signer.unwrap(&key, &flipped, b"root key").await;
                assert!(refused.is_err(), "{position}");
            }
            assert_eq!(signer.unwrap(&key, &wrapped, b"root key").await, Ok(secret));
        });
        // The next process reads from the token what each is for.
        drop(signer);
        let signer = crate::harness::signer();
        run(async {
            assert!(signer.sign(&key, algorithm, b"message").await.is_err());
            signer.try_decryption(&key, OaepHash::Sha1).await.unwrap();
            signer.sign(&other, algorithm, b"message").await.unwrap();
            assert!(signer.try_decryption(&signs, OaepHash::Sha1).await.is_err());
        });
    });
}

#[test]
fn an_rsa_key_that_is_brought_in_decrypts() {
    with_token("wrapping::an_rsa_key_that_is_brought_in_decrypts", || {
        let signer = signer();
        let key = name("brought");
        let pkcs8 = generate(KeyType::Rsa2048).unwrap();
        let public = SoftwareSigner::new().insert_pkcs8(key.clone(), pkcs8.clone()).unwrap();
        run(async {
            signer.import(&key, pkcs8, &public, Usage::SIGN_AND_DECRYPT).await.unwrap();
            let made = encrypt(&public, OaepHash::Sha1, b"hunter2").unwrap();
            let opened = signer.decrypt(&key, OaepHash::Sha1, &made).await.unwrap();
            assert_eq!(&opened[..], b"hunter2");
        });
    });
}

#[test]
fn keys_are_brought_in_that_only_the_token_unwraps() {
    with_token("wrapping::keys_are_brought_in_that_only_the_token_unwraps", || {
        let signer = signer();
        let (to, hash) = (name("to"), OaepHash::Sha1);
        let own = SoftwareSigner::new();
        run(async {
            let wrapping = signer.generate_for(&to, KeyType::Rsa2048, Usage::UNWRAP).await.unwrap();
            assert_eq!(signer.unwrapping_hash(&to).await, Ok(hash), "SoftHSM has SHA-1 only");
            let wrapped = |secret: &[u8]| {
                let bytes = wrap_key(&wrapping, hash, secret).unwrap();
                Brought::Wrapped { to: to.clone(), hash, bytes }
            };
            for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP521, KeyType::Rsa2048] {
                let (key, pkcs8) = (name(key_type.as_str()), generate(key_type).unwrap());
                let public = own.insert_pkcs8(key.clone(), pkcs8.clone()).unwrap();
                signer.import(&key, wrapped(&pkcs8), &public, Usage::SIGN).await.unwrap();
                let algorithm = key_type.default_algorithm();
                let signature = signer.sign(&key, algorithm, b"message").await.unwrap();
                public.verify(algorithm, b"message", &signature).unwrap();
            }
            let secret = generate_secret(AES_KEY_BYTES).unwrap();
            own.insert_wrapping_key(name("aes"), &secret).unwrap();
            signer.import_wrapping_key(&name("aes"), wrapped(&secret)).await.unwrap();
            let sealed = own.wrap(&name("aes"), b"secret", b"aad").unwrap();
            assert_eq!(**signer.unwrap(&name("aes"), &sealed, b"aad").await.unwrap(), *b"secret");

            // Another public half, another kind of key, too short a key, other bytes, another RSA key.
            let refused = name("refused");
            let other = own.public_key(&name("ecdsa-p256")).unwrap();
            let pkcs8 = generate(KeyType::EcdsaP256).unwrap();
            assert!(signer.import(&refused, wrapped(&pkcs8), &other, Usage::SIGN).await.is_err());
            let whole = wrap_key(&wrapping, hash, &pkcs8).unwrap();
            let mut changed = whole.clone();
            *changed.last_mut().unwrap() ^= 1;
            for bytes in [&whole[..whole.len() - 1], &whole[..100], &[], &changed] {
                let brought = Brought::Wrapped { to: to.clone(), hash, bytes: bytes.to_vec() };
                assert!(signer.import(&refused, brought, &other, Usage::SIGN).await.is_err());
            }
            for secret in [&[1; 16][..], &[1; 24], &[1; 30], &pkcs8] {
                let taken = signer.import_wrapping_key(&refused, wrapped(secret)).await;
                assert!(taken.is_err(), "{} bytes", secret.len());
            }
            let signs = name("rsa-2048");
            assert!(signer.unwrapping_hash(&signs).await.is_err());
            let brought = Brought::Wrapped { to: signs, hash, bytes: whole };
            assert!(signer.import(&refused, brought, &other, Usage::SIGN).await.is_err());
            assert!(!signer.contains(&refused));
            let keys = signer.inspect().await.unwrap();
            assert_eq!(keys.len(), 5);
            assert!(keys.iter().all(chancery_keys::pkcs11::TokenKey::is_protected), "{keys:?}");
        });
        // Nothing of what it took to bring them in is left.
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        assert_eq!(intruder().find_objects(&template).unwrap().len(), 1);
    });
}
