use std::sync::Arc;

use chancery_keys::pkcs11::{GenerateError, Usage};
use chancery_keys::software::{AES_KEY_BYTES, SoftwareSigner, generate, generate_secret};
use chancery_keys::{KeyType, SignError, Signer};
use chancery_x509::{KeyAlgorithm, SignatureAlgorithm};

use crate::harness::{config, intruder, name, run, signer, with_token};
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use zeroize::Zeroizing;

#[test]
fn every_key_type_signs_with_every_algorithm_of_its_own() {
    with_token("signing::every_key_type_signs_with_every_algorithm_of_its_own", || {
        use SignatureAlgorithm as A;
        let cases: [(KeyType, &[A]); 5] = [
            (KeyType::EcdsaP256, &[A::EcdsaP256Sha256]),
            (KeyType::EcdsaP384, &[A::EcdsaP384Sha384]),
            (KeyType::EcdsaP521, &[A::EcdsaP521Sha512]),
            (KeyType::Ed25519, &[A::Ed25519]),
            (
                KeyType::Rsa2048,
                &[A::RsaPkcs1Sha256, A::RsaPkcs1Sha384, A::RsaPkcs1Sha512, A::RsaPssSha256],
            ),
        ];
        let signer = signer();
        run(async {
            for (key_type, algorithms) in cases {
                let key = name(key_type.as_str());
                let public = signer.generate(&key, key_type).await.unwrap();
                for algorithm in algorithms {
                    let signature = signer.sign(&key, *algorithm, b"message").await.unwrap();
                    public.verify(*algorithm, b"message", &signature).unwrap();
                    assert!(public.verify(*algorithm, b"another", &signature).is_err());
                }
            }
            let (key, algorithm) = (name("ecdsa-p256"), A::RsaPssSha256);
            assert_eq!(
                signer.sign(&key, algorithm, b"m").await,
                Err(SignError::Unsupported { key, algorithm })
            );
        });
        assert!(signer.shutdown());
    });
}

#[test]
fn keys_are_found_again_after_a_restart() {
    with_token("signing::keys_are_found_again_after_a_restart", || {
        let first = signer();
        let public = run(first.generate(&name("issuing-1"), KeyType::EcdsaP384)).unwrap();
        run(first.generate_wrapping_key(&name("seal"))).unwrap();
        drop(first);

        let second = signer();
        assert!(second.contains(&name("issuing-1")) && second.contains(&name("seal")));
        assert!(!second.contains(&name("issuing-2")));
        assert_eq!(second.public_key(&name("issuing-1")).unwrap(), public);
        assert_eq!(public.algorithm(), KeyAlgorithm::EcdsaP384);
        let algorithm = SignatureAlgorithm::EcdsaP384Sha384;
        let key = name("issuing-1");
        let signature = run(second.sign(&key, algorithm, b"m")).unwrap();
        public.verify(algorithm, b"m", &signature).unwrap();
        assert_eq!(
            run(second.sign(&name("seal"), algorithm, b"m")),
            Err(SignError::UnknownKey { key: name("seal") })
        );
    });
}

#[test]
fn generated_keys_cannot_be_taken_out() {
    with_token("signing::generated_keys_cannot_be_taken_out", || {
        let signer = signer();
        run(signer.generate(&name("k"), KeyType::EcdsaP256)).unwrap();
        run(signer.generate_wrapping_key(&name("w"))).unwrap();
        let session = intruder();
        for (class, secret) in [
            (ObjectClass::PRIVATE_KEY, AttributeType::Value),
            (ObjectClass::SECRET_KEY, AttributeType::Value),
        ] {
            let found = session.find_objects(&[Attribute::Class(class)]).unwrap();
            assert_eq!(found.len(), 1);
            let read = session
                .get_attributes(
                    found[0],
                    &[
                        AttributeType::Sensitive,
                        AttributeType::AlwaysSensitive,
                        AttributeType::NeverExtractable,
                        secret,
                    ],
                )
                .unwrap();
            assert_eq!(
                read,
                [
                    Attribute::Sensitive(true),
                    Attribute::AlwaysSensitive(true),
                    Attribute::NeverExtractable(true)
                ]
            );
        }
    });
}

#[test]
fn a_name_is_given_once() {
    with_token("signing::a_name_is_given_once", || {
        let signer = signer();
        let key = name("k");
        run(async {
            let (one, two) = tokio::join!(
                signer.generate(&key, KeyType::EcdsaP256),
                signer.generate(&key, KeyType::EcdsaP256)
            );
            let refused = one.err().or(two.err());
            assert_eq!(refused, Some(GenerateError::Exists { key: key.clone() }));
            assert!(signer.public_key(&key).is_ok());
        });
    });
}

#[test]
fn many_callers_share_the_sessions() {
    with_token("signing::many_callers_share_the_sessions", || {
        for session_copies in [false, true] {
            let mut config = config();
            config.session_copies = session_copies;
            let signer = Arc::new(chancery_keys::pkcs11::Pkcs11Signer::open(config).unwrap());
            let key = name(if session_copies { "copied" } else { "plain" });
            run(async {
                let public = signer.generate(&key, KeyType::EcdsaP256).await.unwrap();
                let calls: Vec<_> = (0..64_u8)
                    .map(|number| {
                        let (signer, key, public) =
                            (Arc::clone(&signer), key.clone(), public.clone());
                        tokio::spawn(async move {
                            let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
                            let message = [number; 100];
                            let signature = signer.sign(&key, algorithm, &message).await.unwrap();
                            public.verify(algorithm, &message, &signature).unwrap();
                        })
                    })
                    .collect();
                for call in calls {
                    call.await.unwrap();
                }
            });
            let copies = intruder().find_objects(&[Attribute::Token(false)]).unwrap().len();
            assert!(if session_copies { copies > 0 } else { copies == 0 }, "{copies} copies");
        }
    });
}

#[test]
fn a_destroyed_key_is_gone_from_the_token() {
    with_token("signing::a_destroyed_key_is_gone_from_the_token", || {
        let signer = signer();
        let (gone, stays) = (name("gone"), name("stays"));
        run(async {
            for key in [&gone, &stays] {
                signer.generate(key, KeyType::EcdsaP256).await.unwrap();
            }
            signer.generate_wrapping_key(&name("wrapping")).await.unwrap();
            // A session that has used the key remembers its handle.
            let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
            signer.sign(&gone, algorithm, b"m").await.unwrap();
            for key in [&gone, &name("wrapping"), &name("never-there")] {
                signer.destroy(key).await.unwrap();
            }
            let refused = signer.sign(&gone, algorithm, b"m").await;
            assert_eq!(refused, Err(SignError::UnknownKey { key: gone.clone() }));
            signer.sign(&stays, algorithm, b"m").await.unwrap();
        });
        let labels = [b"gone".as_slice(), b"wrapping"];
        for label in labels {
            let template = [Attribute::Token(true), Attribute::Label(label.to_vec())];
            assert!(intruder().find_objects(&template).unwrap().is_empty());
        }
        // The name is free again.
        run(signer.generate(&gone, KeyType::EcdsaP384)).unwrap();
    });
}

#[test]
fn keys_of_others_are_brought_into_the_token_and_stay_there() {
    with_token("signing::keys_of_others_are_brought_into_the_token_and_stay_there", || {
        let signer = signer();
        run(async {
            let own = SoftwareSigner::new();
            for key_type in
                [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521, KeyType::Rsa2048]
            {
                let (key, pkcs8) = (name(key_type.as_str()), generate(key_type).unwrap());
                let public = own.insert_pkcs8(key.clone(), pkcs8.clone()).unwrap();
                signer.import(&key, pkcs8.clone(), &public, Usage::SIGN).await.unwrap();
                let taken = signer.import(&key, pkcs8, &public, Usage::SIGN).await;
                assert_eq!(taken, Err(GenerateError::Exists { key: key.clone() }));
                let algorithm = key_type.default_algorithm();
                let signature = signer.sign(&key, algorithm, b"message").await.unwrap();
                public.verify(algorithm, b"message", &signature).unwrap();
            }
            let other = own.public_key(&name("ecdsa-p256")).unwrap();
            let mismatch = generate(KeyType::EcdsaP256).unwrap();
            let refused = signer.import(&name("mismatch"), mismatch, &other, Usage::SIGN).await;
            assert!(matches!(refused, Err(GenerateError::Token { .. })), "{refused:?}");
            assert!(!signer.contains(&name("mismatch")));
            let broken = signer
                .import(&name("broken"), Zeroizing::new(vec![1; 100]), &other, Usage::SIGN)
                .await;
            assert!(matches!(broken, Err(GenerateError::Token { .. })), "{broken:?}");

            // SoftHSM unwraps no keys of this type; nothing of it is left.
            let pkcs8 = generate(KeyType::Ed25519).unwrap();
            let public = own.insert_pkcs8(name("ed25519"), pkcs8.clone()).unwrap();
            let refused = signer.import(&name("ed25519"), pkcs8, &public, Usage::SIGN).await;
            assert!(matches!(refused, Err(GenerateError::Token { .. })), "{refused:?}");
            assert!(!signer.contains(&name("ed25519")));

            let secret = generate_secret(AES_KEY_BYTES).unwrap();
            own.insert_wrapping_key(name("aes"), &secret).unwrap();
            signer.import_wrapping_key(&name("aes"), secret).await.unwrap();
            let wrapped = own.wrap(&name("aes"), b"secret", b"aad").unwrap();
            let opened = signer.unwrap(&name("aes"), &wrapped, b"aad").await.unwrap();
            assert_eq!(**opened, *b"secret");
            let keys = signer.inspect().await.unwrap();
            assert_eq!(keys.len(), 5);
            assert!(keys.iter().all(|key| key.is_protected() && !key.local), "{keys:?}");
        });
        // Nothing of what it took to bring them in is left.
        let template = [Attribute::Class(ObjectClass::SECRET_KEY)];
        assert_eq!(intruder().find_objects(&template).unwrap().len(), 1);
    });
}
