use std::sync::Arc;
use std::time::Duration;

use chancery_keys::pkcs11::Pkcs11Signer;
use chancery_keys::{KeyName, KeyType, SignError, Signer};
use chancery_x509::SignatureAlgorithm;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use tokio::task::JoinSet;

use crate::harness::{PIN, config, intruder, name, run, signer, with_token};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

fn objects(session: &Session, class: ObjectClass, label: &str) -> Vec<ObjectHandle> {
    let template = [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())];
    session.find_objects(&template).unwrap()
}

fn sign(signer: &Pkcs11Signer, key: &KeyName) -> Result<Vec<u8>, SignError> {
    run(signer.sign(key, P256, b"message"))
}

#[test]
fn a_logout_behind_its_back_is_repaired() {
    with_token("faults::a_logout_behind_its_back_is_repaired", || {
        let signer = signer();
        let key = name("k");
        run(signer.generate(&key, KeyType::EcdsaP256)).unwrap();
        sign(&signer, &key).unwrap();
        // The login is the whole process's: this logs every session out.
        intruder().logout().unwrap();
        for _ in 0..4 {
            sign(&signer, &key).unwrap();
        }
    });
}

#[test]
fn a_deleted_key_is_unknown_and_the_others_go_on() {
    with_token("faults::a_deleted_key_is_unknown_and_the_others_go_on", || {
        let signer = signer();
        let (gone, stays) = (name("gone"), name("stays"));
        for key in [&gone, &stays] {
            run(signer.generate(key, KeyType::EcdsaP256)).unwrap();
            sign(&signer, key).unwrap();
        }
        let session = intruder();
        for object in objects(&session, ObjectClass::PRIVATE_KEY, "gone") {
            session.destroy_object(object).unwrap();
        }
        for _ in 0..4 {
            assert_eq!(sign(&signer, &gone), Err(SignError::UnknownKey { key: gone.clone() }));
            sign(&signer, &stays).unwrap();
        }
    });
}

#[test]
fn two_keys_with_one_id_are_refused() {
    with_token("faults::two_keys_with_one_id_are_refused", || {
        let first = signer();
        let (one, two) = (name("one"), name("two"));
        run(first.generate(&one, KeyType::EcdsaP256)).unwrap();
        run(first.generate(&two, KeyType::EcdsaP256)).unwrap();
        let session = intruder();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for label in ["one", "two"] {
                let object = objects(&session, class, label)[0];
                session.update_attributes(object, &[Attribute::Id(vec![1])]).unwrap();
            }
        }
        drop(session);
        drop(first);

        let second = signer();
        for key in [one, two] {
            let refused = Err(SignError::Ambiguous { key: key.clone() });
            assert_eq!(sign(&second, &key), refused);
            assert!(second.public_key(&key).is_err());
        }
    });
}

#[test]
fn an_ambiguity_that_arises_later_is_refused_too() {
    with_token("faults::an_ambiguity_that_arises_later_is_refused_too", || {
        let signer = signer();
        let (one, two) = (name("one"), name("two"));
        run(signer.generate(&one, KeyType::EcdsaP256)).unwrap();
        run(signer.generate(&two, KeyType::EcdsaP256)).unwrap();
        let session = intruder();
        let id = |label| {
            let object = objects(&session, ObjectClass::PRIVATE_KEY, label)[0];
            let wanted = [cryptoki::object::AttributeType::Id];
            session.get_attributes(object, &wanted).unwrap().remove(0)
        };
        let taken = id("one");
        let object = objects(&session, ObjectClass::PRIVATE_KEY, "two")[0];
        session.update_attributes(object, &[taken]).unwrap();
        assert_eq!(sign(&signer, &one), Err(SignError::Ambiguous { key: one.clone() }));
    });
}

#[test]
fn a_signature_of_another_key_does_not_leave() {
    with_token("faults::a_signature_of_another_key_does_not_leave", || {
        let signer = signer();
        let (one, two) = (name("one"), name("two"));
        run(signer.generate(&one, KeyType::EcdsaP256)).unwrap();
        run(signer.generate(&two, KeyType::EcdsaP256)).unwrap();
        let session = intruder();
        let private = |label| objects(&session, ObjectClass::PRIVATE_KEY, label)[0];
        let id_of = |label| {
            let wanted = [cryptoki::object::AttributeType::Id];
            session.get_attributes(private(label), &wanted).unwrap().remove(0)
        };
        // The private halves change places.
        let (first, second) = (id_of("one"), id_of("two"));
        session.update_attributes(private("one"), &[second]).unwrap();
        session.update_attributes(private("two"), &[first]).unwrap();
        for key in [one, two] {
            assert_eq!(sign(&signer, &key), Err(SignError::Mismatch { key: key.clone() }));
        }
    });
}

#[test]
fn a_full_queue_is_busy_at_once() {
    with_token("faults::a_full_queue_is_busy_at_once", || {
        let mut config = config();
        config.sessions = 1;
        config.queue = 1;
        let signer = Arc::new(Pkcs11Signer::open(config).unwrap());
        run(async {
            signer.generate(&name("k"), KeyType::Rsa2048).await.unwrap();
            // One at work and one waiting: of this many at once most find no room.
            let mut calls = JoinSet::new();
            for _ in 0..200 {
                let signer = Arc::clone(&signer);
                calls.spawn(async move {
                    signer.sign(&name("k"), SignatureAlgorithm::RsaPkcs1Sha256, b"m").await
                });
            }
            let (mut busy, mut signed) = (0, 0);
            for answer in calls.join_all().await {
                match answer {
                    Err(SignError::Busy { waiting: 1 }) => busy += 1,
                    Ok(_) => signed += 1,
                    Err(unexpected) => panic!("{unexpected}"),
                }
            }
            assert!(busy > 0 && signed > 0, "{busy} busy, {signed} signed");
        });
    });
}

#[test]
fn nobody_waits_beyond_the_deadline() {
    with_token("faults::nobody_waits_beyond_the_deadline", || {
        let mut config = config();
        config.deadline = Duration::ZERO;
        let signer = Pkcs11Signer::open(config).unwrap();
        let key = name("k");
        run(signer.generate(&key, KeyType::EcdsaP256)).unwrap();
        assert_eq!(sign(&signer, &key), Err(SignError::Timeout { after: Duration::ZERO }));
    });
}

#[test]
fn a_pin_that_was_refused_once_is_not_tried_again() {
    with_token("faults::a_pin_that_was_refused_once_is_not_tried_again", || {
        let signer = signer();
        let key = name("k");
        run(signer.generate(&key, KeyType::EcdsaP256)).unwrap();
        let (ours, other) = (AuthPin::from(PIN), AuthPin::from("161803"));
        let session = intruder();
        session.set_pin(&ours, &other).unwrap();
        session.logout().unwrap();
        let refused = sign(&signer, &key).unwrap_err();
        assert!(refused.to_string().contains("refused the PIN"), "{refused}");

        // Now the signer's PIN would be right again; but it must not try.
        session.login(UserType::User, Some(&other)).unwrap();
        session.set_pin(&other, &ours).unwrap();
        session.logout().unwrap();
        assert_eq!(sign(&signer, &key), Err(refused));
    });
}
