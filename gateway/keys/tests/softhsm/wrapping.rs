use chancery_keys::{KeyType, WrapError};
use zeroize::Zeroizing;

use crate::harness::{name, run, signer, with_token};

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
