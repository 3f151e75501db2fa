use chancery_keys::pkcs11::{OpenError, PinRefused, Pkcs11Signer, TokenSelector};
use chancery_keys::{KeyType, SignError, Signer};
use chancery_pkcs11_faults::{Effect, Fault, Plan};
use chancery_x509::SignatureAlgorithm;
use zeroize::Zeroizing;

use crate::harness::{
    LABEL, another_token, config, faulty, import, module, name, run, signer, threads, with_faults,
    with_token,
};

#[test]
fn a_wrong_pin_is_refused_by_name_and_the_module_left_usable() {
    with_token("opening::a_wrong_pin_is_refused_by_name_and_the_module_left_usable", || {
        let mut wrong = config();
        wrong.tokens[0].pin = Zeroizing::new("000000".to_owned());
        let refused = Pkcs11Signer::open(wrong).unwrap_err();
        assert!(matches!(refused, OpenError::Pin(PinRefused::Wrong { .. })), "{refused}");
        assert!(!refused.to_string().contains("000000"));
        drop(signer());
    });
}

#[test]
fn a_missing_token_is_told_with_what_is_there() {
    with_token("opening::a_missing_token_is_told_with_what_is_there", || {
        let mut other = config();
        other.tokens[0].token = TokenSelector::Label("nowhere".to_owned());
        let refused = Pkcs11Signer::open(other).unwrap_err().to_string();
        assert!(refused.contains("nowhere") && refused.contains(LABEL), "{refused}");
    });
}

#[test]
fn a_token_is_chosen_by_serial_number_where_labels_repeat() {
    with_token("opening::a_token_is_chosen_by_serial_number_where_labels_repeat", || {
        another_token(LABEL);
        let refused = Pkcs11Signer::open(config()).unwrap_err();
        let OpenError::AmbiguousToken { present, .. } = &refused else { panic!("{refused}") };
        let serial = present.split("serial ").nth(1).unwrap().split(')').next().unwrap();
        let mut by_serial = config();
        by_serial.tokens[0].token = TokenSelector::Serial(serial.to_owned());
        Pkcs11Signer::open(by_serial).unwrap();
    });
}

#[test]
fn a_module_is_opened_once_per_process() {
    with_token("opening::a_module_is_opened_once_per_process", || {
        let first = signer();
        let refused = Pkcs11Signer::open(config()).unwrap_err();
        assert!(matches!(refused, OpenError::AlreadyInitialised { .. }), "{refused}");
        run(first.generate(&name("k"), KeyType::Ed25519)).unwrap();
        drop(first);
        drop(signer());
    });
}

#[test]
fn nothing_is_left_of_a_start_that_fails_at_the_second_token() {
    with_token("opening::nothing_is_left_of_a_start_that_fails_at_the_second_token", || {
        another_token("second");
        import("k", &[LABEL, "second"]);
        let mut two = config();
        two.tokens.push(two.tokens[0].clone());
        two.tokens[1].token = TokenSelector::Label("second".to_owned());
        two.sessions = 4;
        drop(Pkcs11Signer::open(two.clone()).unwrap());
        two.tokens[1].pin = Zeroizing::new("000000".to_owned());
        for _ in 0..40 {
            let refused = Pkcs11Signer::open(two.clone()).unwrap_err();
            assert!(matches!(refused, OpenError::Pin(PinRefused::Wrong { .. })), "{refused}");
            assert_eq!(threads(), [] as [String; 0]);
        }
        // The module was finalised each time.
        drop(signer());
    });
}

#[test]
fn nothing_is_left_of_a_start_whose_last_worker_gets_no_session() {
    const FUNCTION_FAILED: u64 = 0x06;
    let name = "opening::nothing_is_left_of_a_start_whose_last_worker_gets_no_session";
    with_faults(name, |plan| {
        another_token("second");
        let mut two = faulty(&config());
        two.tokens.push(two.tokens[0].clone());
        two.tokens[1].token = TokenSelector::Label("second".to_owned());
        let fault = Fault::at("C_OpenSession", Effect::Return(FUNCTION_FAILED)).after(3);
        plan.set(&Plan::of(fault));
        assert!(Pkcs11Signer::open(two).is_err());
        assert_eq!(threads(), [] as [String; 0]);
    });
}

#[test]
fn what_a_token_says_of_itself_may_be_rubbish_where_nobody_needs_it() {
    with_faults(
        "opening::what_a_token_says_of_itself_may_be_rubbish_where_nobody_needs_it",
        |plan| {
            let mut idle = faulty(&config());
            idle.idle = std::time::Duration::from_millis(10);
            plan.set(&Plan {
                utc_time: Some("yesterday \u{e4}".to_owned()),
                c_strings: true,
                session_state: Some(77),
                ..Plan::default()
            });
            let signer = Pkcs11Signer::open(idle).unwrap();
            run(async {
                signer.generate(&name("k"), KeyType::EcdsaP256).await.unwrap();
                for _ in 0..20 {
                    let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
                    signer.sign(&name("k"), algorithm, b"m").await.unwrap();
                }
            });
            assert_eq!(signer.status().remove(0).trouble, None);
        },
    );
}

#[test]
fn an_opening_that_waits_for_a_token_ends_when_it_is_told_to() {
    with_faults("opening::an_opening_that_waits_for_a_token_ends_when_it_is_told_to", |plan| {
        another_token("second");
        plan.set(&Plan { away: vec![LABEL.to_owned(), "second".to_owned()], ..Plan::default() });
        let mut two = faulty(&config());
        two.tokens.push(two.tokens[0].clone());
        two.tokens[1].token = TokenSelector::Label("second".to_owned());
        two.patience = std::time::Duration::from_hours(24);
        let stop = two.stop.clone();
        let opening = {
            let two = two.clone();
            std::thread::spawn(move || Pkcs11Signer::open(two).map(drop))
        };
        stop.now();
        let stopped = opening.join().unwrap().unwrap_err();
        assert!(matches!(stopped, OpenError::Stopped), "{stopped}");
        assert_eq!(threads(), [] as [String; 0]);
        // The module was finalised.
        plan.set(&Plan::default());
        two.stop = chancery_keys::pkcs11::Stop::default();
        drop(Pkcs11Signer::open(two).unwrap());
    });
}

#[test]
fn a_malformed_object_takes_no_other_key_along() {
    const GENERAL_ERROR: u64 = 0x05;
    const ATTRIBUTE_VALUE_INVALID: u64 = 0x13;
    with_faults("opening::a_malformed_object_takes_no_other_key_along", |plan| {
        let first = Pkcs11Signer::open(faulty(&config())).unwrap();
        for key in ["a", "b", "c"] {
            run(first.generate(&name(key), KeyType::EcdsaP256)).unwrap();
        }
        drop(first);
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        for code in [GENERAL_ERROR, ATTRIBUTE_VALUE_INVALID] {
            // What is asked of an object is asked in two calls, and if one fails, one by one.
            for times in [1, 2, 4, 6] {
                let fault = Fault::at("C_GetAttributeValue", Effect::Return(code)).times(times);
                plan.set(&Plan::of(fault));
                let signer = Pkcs11Signer::open(faulty(&config())).unwrap();
                let signs = ["a", "b", "c"].map(|key| {
                    run(signer.sign(&name(key), algorithm, b"m")).map(drop).map_err(|error| {
                        // One of which even the name cannot be read is as if it were not there.
                        let known = matches!(error, SignError::Failed { .. });
                        assert!(known || times > 1, "{code:x} {times}: {error:?}");
                    })
                });
                let count = signs.iter().filter(|signs| signs.is_ok()).count();
                assert_eq!(count, 2, "{code:x} {times}");
                assert_eq!(signer.status().remove(0).trouble, None);
                if times > 1 {
                    continue;
                }
                // Asked for, it is named; and nobody gets another key under its name.
                let at = signs.iter().position(Result::is_err).unwrap();
                let odd = name(["a", "b", "c"][at]);
                let told = run(signer.sign(&odd, algorithm, b"m")).unwrap_err().to_string();
                assert!(told.contains(odd.as_str()) && told.contains("repair"), "{told}");
                assert!(run(signer.generate(&odd, KeyType::EcdsaP256)).is_err());
            }
        }
    });
}

#[test]
fn a_device_that_goes_while_its_keys_are_read_loses_none() {
    const DEVICE_REMOVED: u64 = 0x32;
    with_faults("opening::a_device_that_goes_while_its_keys_are_read_loses_none", |plan| {
        let first = Pkcs11Signer::open(faulty(&config())).unwrap();
        run(first.generate(&name("k"), KeyType::EcdsaP256)).unwrap();
        drop(first);
        for calls in 0..6 {
            let fault = Fault::at("C_GetAttributeValue", Effect::Return(DEVICE_REMOVED));
            plan.set(&Plan::of(fault.after(calls).times(1)));
            let mut patient = faulty(&config());
            patient.patience = std::time::Duration::from_mins(1);
            let signer = Pkcs11Signer::open(patient).unwrap();
            run(signer.sign(&name("k"), SignatureAlgorithm::EcdsaP256Sha256, b"m")).unwrap();
        }
    });
}

#[test]
fn after_shutdown_there_are_no_signatures() {
    with_token("opening::after_shutdown_there_are_no_signatures", || {
        let signer = signer();
        let key = name("k");
        run(signer.generate(&key, KeyType::Ed25519)).unwrap();
        assert!(signer.shutdown());
        let answer = run(signer.sign(&key, SignatureAlgorithm::Ed25519, b"m"));
        assert!(matches!(answer, Err(SignError::Unavailable { .. })), "{answer:?}");
        assert!(run(signer.generate(&name("l"), KeyType::Ed25519)).is_err());
    });
}

#[test]
fn what_is_no_module_is_refused_by_name() {
    let mut config = config();
    config.tokens[0].module = "/nowhere/libhsm.so".into();
    let refused = Pkcs11Signer::open(config).unwrap_err().to_string();
    assert!(refused.contains("/nowhere/libhsm.so"), "{refused}");
    assert!(!module().is_empty());
}

#[test]
fn settings_of_zero_are_refused_by_name() {
    for setting in ["sessions", "queue"] {
        let mut config = config();
        match setting {
            "sessions" => config.sessions = 0,
            _ => config.queue = 0,
        }
        let refused = Pkcs11Signer::open(config).unwrap_err();
        assert!(refused.to_string().contains(setting), "{refused}");
    }
}

#[test]
fn after_shutdown_the_module_is_free_for_others_whoever_still_holds_the_signer() {
    let name =
        "opening::after_shutdown_the_module_is_free_for_others_whoever_still_holds_the_signer";
    with_token(name, || {
        let first = signer();
        assert!(first.shutdown());
        drop(signer());
        drop(first);
        drop(signer());
    });
}
