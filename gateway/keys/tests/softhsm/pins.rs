//! Logins that fail, and how often a PIN is tried then.

use std::path::Path;
use std::time::Duration;

use chancery_keys::pkcs11::{OpenError, PinRefused, Pkcs11Config, Pkcs11Signer};
use chancery_keys::{KeyType, Signer};
use chancery_pkcs11_faults::{Effect, Fault, Plan};
use chancery_x509::SignatureAlgorithm;

use crate::harness::{LABEL, config, faulty, name, run, with_faults};

// Return codes by PKCS#11 §A.
const HOST_MEMORY: u64 = 0x02;
const SLOT_ID_INVALID: u64 = 0x03;
const GENERAL_ERROR: u64 = 0x05;
const FUNCTION_FAILED: u64 = 0x06;
const ARGUMENTS_BAD: u64 = 0x07;
const DEVICE_ERROR: u64 = 0x30;
const DEVICE_REMOVED: u64 = 0x32;
const PIN_INCORRECT: u64 = 0xa0;
const PIN_LOCKED: u64 = 0xa4;
const TOKEN_NOT_PRESENT: u64 = 0xe0;
const SESSION_CLOSED: u64 = 0xb0;
const SESSION_HANDLE_INVALID: u64 = 0xb3;
const TOKEN_NOT_RECOGNIZED: u64 = 0xe1;
const CRYPTOKI_NOT_INITIALIZED: u64 = 0x190;
const VENDOR_DEFINED: u64 = 0x8000_0123;

/// What a module may answer to a wrong PIN without saying so. That the token is away is not the case if it
/// answers everything else.
const UNCLEAR: [u64; 13] = [
    HOST_MEMORY,
    SLOT_ID_INVALID,
    GENERAL_ERROR,
    FUNCTION_FAILED,
    ARGUMENTS_BAD,
    DEVICE_ERROR,
    DEVICE_REMOVED,
    SESSION_CLOSED,
    SESSION_HANDLE_INVALID,
    TOKEN_NOT_PRESENT,
    TOKEN_NOT_RECOGNIZED,
    CRYPTOKI_NOT_INITIALIZED,
    VENDOR_DEFINED,
];

// Flags by PKCS#11 §3.3.
const USER_PIN_COUNT_LOW: u64 = 0x0001_0000;
const USER_PIN_FINAL_TRY: u64 = 0x0002_0000;
const USER_PIN_LOCKED: u64 = 0x0004_0000;

/// A signer behind the module that fails, which counts tries in this directory.
fn counting(lockouts: &Path) -> Pkcs11Config {
    let mut config = faulty(&config());
    config.pin_lockouts = Some(lockouts.to_owned());
    config.login_pause = Duration::from_millis(20);
    config
}

fn logins(answer: u64) -> Plan {
    Plan::of(Fault::at("C_Login", Effect::Return(answer)))
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn an_unclear_answer_is_tried_once_more_and_then_never() {
    with_faults("pins::an_unclear_answer_is_tried_once_more_and_then_never", |plan| {
        for code in UNCLEAR {
            let lockouts = tempfile::tempdir().unwrap();
            plan.set(&logins(code));
            let before = plan.tries();
            let mut patient = counting(lockouts.path());
            patient.patience = Duration::from_mins(1);
            let refused = Pkcs11Signer::open(patient).unwrap_err();
            let OpenError::Pin(PinRefused::Unclear { lockout: Some(lockout), .. }) = &refused
            else {
                panic!("{code:x}: {refused}");
            };
            let told = refused.to_string();
            assert!(
                told.contains("CKR_") && told.contains(&lockout.display().to_string()),
                "{told}"
            );
            assert_eq!(plan.tries() - before, 2, "{code:x}");
            for _ in 0..3 {
                let refused = Pkcs11Signer::open(counting(lockouts.path())).unwrap_err();
                assert!(matches!(refused, OpenError::PinLockedOut { .. }), "{code:x}: {refused}");
            }
            assert_eq!(plan.tries() - before, 2, "{code:x}");

            // It is enough to do what the message says.
            std::fs::remove_file(lockout).unwrap();
            plan.set(&Plan::default());
            drop(Pkcs11Signer::open(counting(lockouts.path())).unwrap());
            assert_eq!(files(lockouts.path()), 0);
        }
    });
}

#[test]
fn an_unclear_answer_while_serving_is_tried_once_more_and_then_never() {
    with_faults(
        "pins::an_unclear_answer_while_serving_is_tried_once_more_and_then_never",
        |plan| {
            for code in [
                GENERAL_ERROR,
                FUNCTION_FAILED,
                ARGUMENTS_BAD,
                DEVICE_REMOVED,
                TOKEN_NOT_PRESENT,
                VENDOR_DEFINED,
            ] {
                let lockouts = tempfile::tempdir().unwrap();
                let signer = Pkcs11Signer::open(counting(lockouts.path())).unwrap();
                let before = plan.tries();
                plan.set(&Plan { away: vec![LABEL.to_owned()], ..Plan::default() });
                run(async {
                    let sign = async || {
                        signer.sign(&name("k"), SignatureAlgorithm::EcdsaP256Sha256, b"m").await
                    };
                    if !signer.contains(&name("k")) {
                        plan.set(&Plan::default());
                        signer.generate(&name("k"), KeyType::EcdsaP256).await.unwrap();
                        plan.set(&Plan { away: vec![LABEL.to_owned()], ..Plan::default() });
                    }
                    let trouble = || signer.status().remove(0).trouble;
                    while trouble().is_none() {
                        let _ = sign().await;
                    }
                    plan.set(&logins(code));
                    while !trouble().is_some_and(|trouble| trouble.contains("not tried again")) {
                        assert!(sign().await.is_err());
                        tokio::task::yield_now().await;
                    }
                    for _ in 0..50 {
                        assert!(sign().await.is_err());
                    }
                });
                drop(signer);
                assert_eq!(plan.tries() - before, 2, "{code:x}");
                let refused = Pkcs11Signer::open(counting(lockouts.path())).unwrap_err();
                assert!(matches!(refused, OpenError::PinLockedOut { .. }), "{code:x}: {refused}");
                plan.set(&Plan::default());
            }
        },
    );
}

#[test]
fn flags_that_show_a_counted_pin_leave_no_second_try() {
    with_faults("pins::flags_that_show_a_counted_pin_leave_no_second_try", |plan| {
        for flag in [USER_PIN_COUNT_LOW, USER_PIN_FINAL_TRY, USER_PIN_LOCKED] {
            // Even a device that calls itself removed has counted if it says so.
            for code in [GENERAL_ERROR, DEVICE_REMOVED] {
                let lockouts = tempfile::tempdir().unwrap();
                let before = plan.tries();
                plan.set(&Plan { flags_after_failed_login: flag, ..logins(code) });
                let mut patient = counting(lockouts.path());
                patient.patience = Duration::from_mins(1);
                let refused = Pkcs11Signer::open(patient).unwrap_err();
                let unclear = matches!(refused, OpenError::Pin(PinRefused::Unclear { .. }));
                assert!(unclear, "{code:x}, {flag:x}: {refused}");
                assert_eq!(plan.tries() - before, 1, "{code:x}, {flag:x}");
                let refused = Pkcs11Signer::open(counting(lockouts.path())).unwrap_err();
                assert!(matches!(refused, OpenError::PinLockedOut { .. }), "{refused}");
                assert_eq!(plan.tries() - before, 1, "{code:x}, {flag:x}");
            }
        }
    });
}

#[test]
fn flags_that_cannot_be_read_leave_no_second_try_until_they_can() {
    with_faults("pins::flags_that_cannot_be_read_leave_no_second_try_until_they_can", |plan| {
        let lockouts = tempfile::tempdir().unwrap();
        // What is asked before the login is answered: two slots when the token is looked for, then its flags.
        let blind = Fault::at("C_GetTokenInfo", Effect::Return(GENERAL_ERROR)).after(3);
        let mut plan_of_both = logins(GENERAL_ERROR);
        plan_of_both.faults.push(blind);
        plan.set(&plan_of_both);
        drop(Pkcs11Signer::open(counting(lockouts.path())).unwrap_err());
        assert_eq!(plan.tries(), 1);
        drop(Pkcs11Signer::open(counting(lockouts.path())).unwrap_err());
        plan.set(&Plan { token_flags: USER_PIN_COUNT_LOW, ..Plan::default() });
        let refused = Pkcs11Signer::open(counting(lockouts.path())).unwrap_err();
        assert!(matches!(refused, OpenError::Pin(PinRefused::Unclear { .. })), "{refused}");
        assert_eq!(plan.tries(), 1);
    });
}

#[test]
fn one_unclear_answer_is_forgotten_after_a_login() {
    with_faults("pins::one_unclear_answer_is_forgotten_after_a_login", |plan| {
        let lockouts = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            plan.set(&Plan::of(Fault::at("C_Login", Effect::Return(GENERAL_ERROR)).times(1)));
            drop(Pkcs11Signer::open(counting(lockouts.path())).unwrap());
            assert_eq!(files(lockouts.path()), 0);
        }
        assert_eq!(plan.tries(), 6);
    });
}

#[test]
fn a_device_that_is_away_costs_no_try() {
    with_faults("pins::a_device_that_is_away_costs_no_try", |plan| {
        for code in [DEVICE_REMOVED, TOKEN_NOT_PRESENT] {
            let lockouts = tempfile::tempdir().unwrap();
            let before = plan.tries();
            let mut lost = Plan::of(Fault::at("C_Login", Effect::Return(code)).times(5));
            // It does not answer what is asked after each of the logins: its flags. Before, it is asked for them
            // three times, twice of them while it is looked for.
            for login in 0..5 {
                let flags = Fault::at("C_GetTokenInfo", Effect::Return(code));
                lost.faults.push(flags.after(3 + 3 * login).times(1));
            }
            plan.set(&lost);
            let mut patient = counting(lockouts.path());
            patient.patience = Duration::from_mins(1);
            drop(Pkcs11Signer::open(patient).unwrap());
            assert_eq!(plan.tries() - before, 6, "{code:x}");
            assert_eq!(files(lockouts.path()), 0, "{code:x}");
        }
    });
}

#[test]
fn a_locked_pin_is_no_matter_for_the_next_process() {
    with_faults("pins::a_locked_pin_is_no_matter_for_the_next_process", |plan| {
        let lockouts = tempfile::tempdir().unwrap();
        plan.set(&logins(PIN_LOCKED));
        let refused = Pkcs11Signer::open(counting(lockouts.path())).unwrap_err();
        assert!(matches!(refused, OpenError::Pin(PinRefused::Locked)), "{refused}");
        // The security officer has set a new one.
        plan.set(&Plan::default());
        drop(Pkcs11Signer::open(counting(lockouts.path())).unwrap());
    });
}

#[test]
fn a_try_that_cannot_be_counted_is_not_made() {
    with_faults("pins::a_try_that_cannot_be_counted_is_not_made", |plan| {
        let nowhere = tempfile::tempdir().unwrap().path().join("gone");
        let refused = Pkcs11Signer::open(counting(&nowhere)).unwrap_err();
        assert!(matches!(refused, OpenError::Uncounted(_)), "{refused}");
        assert_eq!(plan.tries(), 0);
    });
}

#[test]
fn a_refused_pin_names_what_to_remove() {
    with_faults("pins::a_refused_pin_names_what_to_remove", |plan| {
        let lockouts = tempfile::tempdir().unwrap();
        plan.set(&logins(PIN_INCORRECT));
        let refused = Pkcs11Signer::open(counting(lockouts.path())).unwrap_err();
        let OpenError::Pin(PinRefused::Wrong { lockout: Some(lockout) }) = &refused else {
            panic!("{refused}");
        };
        assert!(lockout.exists());
        assert!(refused.to_string().contains(&lockout.display().to_string()), "{refused}");
        assert_eq!(plan.tries(), 1);
    });
}
