//! Devices that fail, as a module before SoftHSM plays them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chancery_keys::pkcs11::{OpenError, PinRefused, Pkcs11Config, Pkcs11Signer};
use chancery_keys::{KeyName, KeyType, SignError, Signer};
use chancery_pkcs11_faults::{Effect, Fault, Plan, PlanFile};
use chancery_x509::SignatureAlgorithm;
use tokio::task::JoinSet;

use crate::harness::{LABEL, another_token, config, faulty, import, name, run, with_faults};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

// Return codes by PKCS#11 §A.
const HOST_MEMORY: u64 = 0x02;
const GENERAL_ERROR: u64 = 0x05;
const FUNCTION_FAILED: u64 = 0x06;
const DEVICE_ERROR: u64 = 0x30;
const DEVICE_MEMORY: u64 = 0x31;
const DEVICE_REMOVED: u64 = 0x32;
const KEY_HANDLE_INVALID: u64 = 0x60;
const OBJECT_HANDLE_INVALID: u64 = 0x82;
const OPERATION_ACTIVE: u64 = 0x90;
const PIN_INCORRECT: u64 = 0xa0;
const SESSION_CLOSED: u64 = 0xb0;
const SESSION_COUNT: u64 = 0xb1;
const SESSION_HANDLE_INVALID: u64 = 0xb3;
const TOKEN_NOT_PRESENT: u64 = 0xe0;
const TOKEN_NOT_RECOGNIZED: u64 = 0xe1;
const USER_NOT_LOGGED_IN: u64 = 0x101;
const CRYPTOKI_NOT_INITIALIZED: u64 = 0x190;
const VENDOR_DEFINED: u64 = 0x8000_0001;

const CODES: [u64; 17] = [
    HOST_MEMORY,
    GENERAL_ERROR,
    FUNCTION_FAILED,
    DEVICE_ERROR,
    DEVICE_MEMORY,
    DEVICE_REMOVED,
    KEY_HANDLE_INVALID,
    OBJECT_HANDLE_INVALID,
    OPERATION_ACTIVE,
    SESSION_CLOSED,
    SESSION_COUNT,
    SESSION_HANDLE_INVALID,
    TOKEN_NOT_PRESENT,
    TOKEN_NOT_RECOGNIZED,
    USER_NOT_LOGGED_IN,
    CRYPTOKI_NOT_INITIALIZED,
    VENDOR_DEFINED,
];

/// A signer with a key `k`, and the plan that it is subject to.
fn signer(config: &Pkcs11Config) -> Arc<Pkcs11Signer> {
    let signer = Pkcs11Signer::open(faulty(config)).unwrap();
    if !signer.contains(&name("k")) {
        run(signer.generate(&name("k"), KeyType::EcdsaP256)).unwrap();
    }
    Arc::new(signer)
}

/// One signature, which verifies if there is one.
async fn sign(signer: &Pkcs11Signer, message: &[u8]) -> Result<(), SignError> {
    let key = name("k");
    let signature = signer.sign(&key, P256, message).await?;
    let public = signer.public_key(&key).unwrap();
    public.verify(P256, message, &signature).expect("what leaves verifies");
    Ok(())
}

/// Asks until there is a signature: service resumes by itself.
async fn resumes(signer: &Pkcs11Signer) {
    while sign(signer, b"again").await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// Asks for signatures all the time, in several tasks, while `meanwhile` goes on; gives what failed.
async fn under_load(
    signer: &Arc<Pkcs11Signer>,
    meanwhile: impl AsyncFnOnce(),
) -> (usize, Vec<SignError>) {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let (signer, over) = (Arc::clone(signer), Arc::clone(&over));
        tasks.spawn(async move {
            let (mut signed, mut failed) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                match sign(&signer, format!("{task}").as_bytes()).await {
                    Ok(()) => signed += 1,
                    Err(error) => failed.push(error),
                }
                tokio::task::yield_now().await;
            }
            (signed, failed)
        });
    }
    meanwhile().await;
    over.store(true, Ordering::Relaxed);
    let all = tasks.join_all().await;
    let signed = all.iter().map(|(signed, _)| signed).sum();
    (signed, all.into_iter().flat_map(|(_, failed)| failed).collect())
}

#[test]
fn service_resumes_after_every_return_code_at_every_call() {
    with_faults("devices::service_resumes_after_every_return_code_at_every_call", |plan| {
        let signer = signer(&config());
        run(async {
            for function in [
                "C_SignInit",
                "C_Sign",
                "C_OpenSession",
                "C_GetSessionInfo",
                "C_GetSlotList",
                "C_GetTokenInfo",
                "C_FindObjectsInit",
                "C_FindObjects",
            ] {
                for code in CODES {
                    let mut faults = Plan::of(Fault::at(function, Effect::Return(code)).times(5));
                    // What is called only for a fresh session is called for one now.
                    let lost = Effect::Return(SESSION_HANDLE_INVALID);
                    faults.faults.push(Fault::at("C_SignInit", lost).times(2));
                    plan.set(&faults);
                    let (_, failed) = under_load(&signer, async || {
                        for _ in 0..10 {
                            let _ = sign(&signer, b"one of ten").await;
                        }
                        plan.set(&Plan::default());
                        resumes(&signer).await;
                    })
                    .await;
                    for error in failed {
                        assert!(
                            matches!(
                                error,
                                SignError::Unavailable { .. } | SignError::UnknownKey { .. }
                            ),
                            "{function} {code:#x}: {error:?}"
                        );
                    }
                }
            }
        });
        assert!(plan.logins().iter().all(|code| *code == 0), "{:?}", plan.logins());
    });
}

#[test]
fn a_wrong_signature_does_not_leave() {
    with_faults("devices::a_wrong_signature_does_not_leave", |plan| {
        let signer = signer(&config());
        run(async {
            plan.set(&Plan::of(Fault::at("C_Sign", Effect::Corrupt).times(20)));
            let (_, failed) = under_load(&signer, async || {
                while !matches!(sign(&signer, b"m").await, Err(SignError::Mismatch { .. })) {}
                plan.set(&Plan::default());
                resumes(&signer).await;
            })
            .await;
            assert!(failed.iter().all(|error| matches!(error, SignError::Mismatch { .. })));
        });
    });
}

#[test]
fn nobody_waits_for_a_token_that_hangs_and_it_is_used_again_when_it_does_not() {
    with_faults(
        "devices::nobody_waits_for_a_token_that_hangs_and_it_is_used_again_when_it_does_not",
        |plan| {
            let mut config = config();
            config.deadline = Duration::from_millis(100);
            let signer = signer(&config);
            run(async {
                plan.set(&Plan::of(Fault::at("C_Sign", Effect::Hang)));
                // As many as there are sessions hang; then it is known that the token does.
                loop {
                    match sign(&signer, b"m").await {
                        Err(SignError::Timeout { after }) => assert_eq!(after, config.deadline),
                        Err(SignError::Unavailable { reason }) => {
                            assert!(reason.contains("hangs"), "{reason}");
                            break;
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert!(signer.status()[0].trouble.is_some());
                plan.set(&Plan::default());
                resumes(&signer).await;
                assert_eq!(signer.status()[0].trouble, None);
            });
        },
    );
}

#[test]
fn answers_are_not_stuck_behind_a_call_that_hangs() {
    with_faults("devices::answers_are_not_stuck_behind_a_call_that_hangs", |plan| {
        let mut config = config();
        config.sessions = 1;
        let signer = signer(&config);
        run(async {
            // During the first call the others are queued, so that the second answer waits for company.
            let first = Fault::at("C_Sign", Effect::Delay(50)).times(1);
            let third = Fault::at("C_Sign", Effect::Hang).after(1);
            plan.set(&Plan { faults: vec![first, third], ..Plan::default() });
            let answered = async {
                let (first, second) = tokio::join!(sign(&signer, b"1"), sign(&signer, b"2"));
                first.and(second).unwrap();
                plan.set(&Plan::default());
            };
            let ((), third, fourth) =
                tokio::join!(answered, sign(&signer, b"3"), sign(&signer, b"4"));
            third.and(fourth).unwrap();
        });
    });
}

#[test]
fn a_slow_token_serves_as_fast_as_it_can() {
    with_faults("devices::a_slow_token_serves_as_fast_as_it_can", |plan| {
        let signer = signer(&config());
        run(async {
            plan.set(&Plan::of(Fault::at("C_Sign", Effect::Delay(20))));
            for _ in 0..5 {
                sign(&signer, b"m").await.unwrap();
            }
        });
    });
}

#[test]
fn a_token_that_was_away_is_used_again_in_whichever_slot_it_comes_back() {
    with_faults(
        "devices::a_token_that_was_away_is_used_again_in_whichever_slot_it_comes_back",
        |plan| {
            let signer = signer(&config());
            run(async {
                let (signed, _) = under_load(&signer, async || {
                    for slots_moved_by in [7, 0, 1000] {
                        plan.set(&Plan { away: vec![LABEL.to_owned()], ..Plan::default() });
                        // It is known that the token is away, and said at once.
                        while signer.status()[0].trouble.is_none() {
                            let _ = sign(&signer, b"m").await;
                        }
                        let refused = sign(&signer, b"m").await.unwrap_err();
                        assert!(matches!(refused, SignError::Unavailable { .. }), "{refused:?}");
                        plan.set(&Plan { slots_moved_by, ..Plan::default() });
                        resumes(&signer).await;
                    }
                })
                .await;
                assert!(signed > 0);
            });
            assert!(plan.logins().iter().all(|code| *code == 0), "{:?}", plan.logins());
        },
    );
}

#[test]
fn a_token_that_nobody_uses_is_looked_after() {
    with_faults("devices::a_token_that_nobody_uses_is_looked_after", |plan| {
        let mut config = config();
        config.idle = Duration::from_millis(5);
        let signer = signer(&config);
        run(async {
            // Nobody asks anything of it, and it is known all the same that it went away and came back.
            plan.set(&Plan { away: vec![LABEL.to_owned()], ..Plan::default() });
            while signer.status()[0].trouble.is_none() {
                tokio::task::yield_now().await;
            }
            plan.set(&Plan::default());
            while signer.status()[0].trouble.is_some() {
                tokio::task::yield_now().await;
            }
            sign(&signer, b"m").await.unwrap();
        });
        assert!(plan.logins().iter().all(|code| *code == 0), "{:?}", plan.logins());
    });
}

/// As with modules that know a session's state without asking the device.
#[test]
fn a_token_that_went_away_under_sessions_that_seem_well_is_known_to_be_away() {
    let test = "devices::a_token_that_went_away_under_sessions_that_seem_well_is_known_to_be_away";
    with_faults(test, |plan| {
        let mut config = config();
        config.idle = Duration::from_millis(5);
        let signer = signer(&config);
        run(async {
            plan.set(&Plan::of(Fault::at("C_GetTokenInfo", Effect::Return(DEVICE_REMOVED))));
            while signer.status()[0].trouble.is_none() {
                tokio::task::yield_now().await;
            }
            plan.set(&Plan::default());
            while signer.status()[0].trouble.is_some() {
                tokio::task::yield_now().await;
            }
            sign(&signer, b"m").await.unwrap();
        });
        assert!(plan.logins().iter().all(|code| *code == 0), "{:?}", plan.logins());
    });
}

#[test]
fn a_token_that_is_not_there_at_the_start_is_waited_for() {
    with_faults("devices::a_token_that_is_not_there_at_the_start_is_waited_for", |plan| {
        drop(signer(&config()));
        plan.set(&Plan { away: vec![LABEL.to_owned()], ..Plan::default() });
        let refused = Pkcs11Signer::open(faulty(&config())).unwrap_err();
        assert!(matches!(refused, OpenError::NoSuchToken { .. }), "{refused}");

        let mut patient = faulty(&config());
        patient.patience = Duration::from_mins(1);
        let opening = std::thread::spawn(move || Pkcs11Signer::open(patient));
        plan.set(&Plan::default());
        let signer = opening.join().unwrap().unwrap();
        run(resumes(&signer));
    });
}

#[test]
fn a_token_with_few_sessions_serves_with_those() {
    with_faults("devices::a_token_with_few_sessions_serves_with_those", |plan| {
        plan.set(&Plan { sessions: Some(3), ..Plan::default() });
        let signer = signer(&config());
        run(async {
            let (signed, failed) = under_load(&signer, async || {
                for _ in 0..20 {
                    sign(&signer, b"m").await.unwrap();
                }
            })
            .await;
            assert!(signed > 0 && failed.is_empty(), "{signed}: {failed:?}");
        });
        drop(signer);
        plan.set(&Plan { sessions: Some(2), ..Plan::default() });
        let refused = Pkcs11Signer::open(faulty(&config())).unwrap_err();
        assert!(matches!(refused, OpenError::TooFewSessions { limit: 2 }), "{refused}");
    });
}

#[test]
fn a_refused_pin_is_tried_once_whatever_happens() {
    with_faults("devices::a_refused_pin_is_tried_once_whatever_happens", |plan| {
        let signer = signer(&config());
        let before = plan.logins().len();
        // The token goes and comes back, and then does not know the PIN any more.
        plan.set(&Plan { away: vec![LABEL.to_owned()], ..Plan::default() });
        run(async {
            while signer.status()[0].trouble.is_none() {
                let _ = sign(&signer, b"m").await;
            }
            plan.set(&Plan::of(Fault::at("C_Login", Effect::Return(PIN_INCORRECT))));
            let refused = |trouble: &str| trouble.contains("refused the PIN");
            while !signer.status()[0].trouble.as_deref().is_some_and(refused) {
                tokio::task::yield_now().await;
            }
            let (_, failed) = under_load(&signer, async || {
                for _ in 0..50 {
                    assert!(sign(&signer, b"m").await.is_err());
                }
            })
            .await;
            assert!(failed.iter().all(|error| matches!(error, SignError::Unavailable { .. })));
        });
        assert_eq!(plan.logins()[before..], [PIN_INCORRECT]);
    });
}

#[test]
fn the_last_try_of_a_pin_is_left_to_somebody_else() {
    with_faults("devices::the_last_try_of_a_pin_is_left_to_somebody_else", |plan| {
        const USER_PIN_FINAL_TRY: u64 = 0x0002_0000;
        plan.set(&Plan { token_flags: USER_PIN_FINAL_TRY, ..Plan::default() });
        let refused = Pkcs11Signer::open(faulty(&config())).unwrap_err();
        assert!(matches!(refused, OpenError::Pin(PinRefused::FinalTry)), "{refused}");
        assert!(plan.logins().is_empty());
    });
}

/// A signer for two tokens that both hold the key `k`.
fn with_two(plan: &PlanFile, config: &Pkcs11Config) -> Arc<Pkcs11Signer> {
    another_token("second");
    import("k", &[LABEL, "second"]);
    let mut config = faulty(config);
    let mut second = config.tokens[0].clone();
    second.token = chancery_keys::pkcs11::TokenSelector::Label("second".to_owned());
    config.tokens.push(second);
    plan.set(&Plan::default());
    Arc::new(Pkcs11Signer::open(config).unwrap())
}

#[test]
fn when_one_of_two_tokens_dies_nobody_hears_of_it() {
    with_faults("devices::when_one_of_two_tokens_dies_nobody_hears_of_it", |plan| {
        let signer = with_two(&plan, &config());
        run(async {
            let (signed, failed) = under_load(&signer, async || {
                for away in [LABEL, "second"] {
                    plan.set(&Plan { away: vec![away.to_owned()], ..Plan::default() });
                    let dead = |signer: &Pkcs11Signer| {
                        signer.status().iter().any(|one| one.token == away && one.trouble.is_some())
                    };
                    while !dead(&signer) {
                        sign(&signer, b"m").await.unwrap();
                    }
                    for _ in 0..100 {
                        sign(&signer, b"m").await.unwrap();
                    }
                    plan.set(&Plan::default());
                    while dead(&signer) {
                        sign(&signer, b"m").await.unwrap();
                    }
                }
            })
            .await;
            assert!(signed > 0 && failed.is_empty(), "{signed}: {failed:?}");
        });
    });
}

#[test]
fn when_one_of_two_tokens_hangs_the_other_one_serves() {
    with_faults("devices::when_one_of_two_tokens_hangs_the_other_one_serves", |plan| {
        let mut config = config();
        config.deadline = Duration::from_secs(5);
        let signer = with_two(&plan, &config);
        run(async {
            plan.set(&Plan::of(Fault::at("C_Sign", Effect::Hang).on(LABEL)));
            for _ in 0..20 {
                sign(&signer, b"m").await.unwrap();
            }
            plan.set(&Plan::default());
        });
    });
}

#[test]
fn one_name_for_two_different_keys_is_refused() {
    with_faults("devices::one_name_for_two_different_keys_is_refused", |plan| {
        another_token("second");
        import("k", &[LABEL]);
        import("k", &["second"]);
        let mut config = faulty(&config());
        let mut second = config.tokens[0].clone();
        second.token = chancery_keys::pkcs11::TokenSelector::Label("second".to_owned());
        config.tokens.push(second);
        plan.set(&Plan::default());
        let signer = Pkcs11Signer::open(config).unwrap();
        let key: KeyName = name("k");
        let refused = Err(SignError::Ambiguous { key: key.clone() });
        assert_eq!(run(sign(&signer, b"m")), refused);
        assert!(signer.public_key(&key).is_err());
    });
}

#[test]
fn a_drained_token_is_asked_nothing_new_until_it_is_resumed() {
    with_faults("devices::a_drained_token_is_asked_nothing_new_until_it_is_resumed", |plan| {
        let signer = with_two(&plan, &config());
        run(async {
            assert!(signer.drain("second", true));
            assert!(!signer.drain("no such token", true));
            // Were it asked, it would not answer.
            plan.set(&Plan::of(Fault::at("C_Sign", Effect::Hang).on("second")));
            for _ in 0..20 {
                sign(&signer, b"m").await.unwrap();
            }
            plan.set(&Plan::default());
            let told = signer.status();
            let second = told.iter().find(|one| one.token == "second").unwrap();
            assert!(second.drained && second.trouble.is_none() && second.outstanding == 0);
            assert!(signer.drain(LABEL, true));
            let refused = sign(&signer, b"m").await.unwrap_err();
            assert!(refused.to_string().contains("drained"), "{refused}");
            assert!(signer.drain("second", false));
            sign(&signer, b"m").await.unwrap();
        });
    });
}

#[test]
fn a_key_that_is_made_for_ever_does_not_keep_the_signer_from_ending() {
    with_faults(
        "devices::a_key_that_is_made_for_ever_does_not_keep_the_signer_from_ending",
        |plan| {
            let mut short = config();
            short.deadline = Duration::from_millis(10);
            let signer = Arc::new(Pkcs11Signer::open(faulty(&short)).unwrap());
            plan.set(&Plan::of(Fault::at("C_GenerateKeyPair", Effect::Hang)));
            let making = {
                let signer = Arc::clone(&signer);
                std::thread::spawn(move || run(signer.generate(&name("k"), KeyType::EcdsaP256)))
            };
            while plan.hangs() == 0 {
                std::thread::yield_now();
            }
            assert!(!signer.shutdown(), "the module is in use");
            plan.set(&Plan::default());
            let _ = making.join().unwrap();
            assert!(signer.shutdown());
        },
    );
}
