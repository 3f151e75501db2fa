//! An HSM that fails while the gateway serves.

use std::path::Path;
use std::time::Duration;

use chancery_integration::acme::request;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::hsm::Token;
use chancery_integration::process;
use chancery_integration::responder::Http01;
use chancery_integration::site::{self, Site};
use chancery_pkcs11_faults::{Effect, Fault, Plan};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_mins(1);
const PIN_INCORRECT: u64 = 0xa0;

fn tokens(gateway: &Gateway) -> (u16, serde_json::Value) {
    let answer = gateway.monitoring().send("GET", "/health/tokens", &[], b"");
    (answer.status, answer.json()["tokens"].clone())
}

#[test]
fn while_the_token_is_away_orders_wait_and_then_are_served() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let (token, plan) = Token::faulty(&site);
    let gateway = Options::new(&site).dns(&dns).faulty_token(&token, &plan).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    drop(account.obtain(&["a.example.com"], &responder));
    let (status, told) = tokens(&gateway);
    assert_eq!(
        (status, &told[0]["token"], &told[0]["up"]),
        (200, &Token::LABEL.into(), &true.into())
    );

    let names = ["b.example.com"];
    let order = account.order(&names);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    let (request, _) = request(&names);
    plan.set(&Plan { away: vec![Token::LABEL.to_owned()], ..Plan::default() });
    // It is taken, and the client told to ask again.
    let taken = account.finalize(&order, &request).expect(200);
    assert_eq!(taken.json()["status"], "processing");
    assert!(taken.header("retry-after").is_some(), "{}", taken.text());
    assert_eq!(tokens(&gateway).0, 503);

    plan.set(&Plan { slots_moved_by: 3, ..Plan::default() });
    process::eventually("the token is back", PATIENCE, || {
        (tokens(&gateway).0 == 200).then_some(())
    });
    drop(account.certificate(&order));
    assert!(plan.logins().iter().all(|code| *code == 0), "{:?}", plan.logins());
}

#[test]
fn a_refused_pin_is_not_tried_by_the_next_start_either() {
    let site = Site::new();
    let (token, plan) = Token::faulty(&site);
    plan.set(&Plan::of(Fault::at("C_Login", Effect::Return(PIN_INCORRECT))));
    let options = || Options::new(&site).faulty_token(&token, &plan);
    for _ in 0..3 {
        let said = options().start_fails();
        assert!(said.stderr.contains("PIN"), "{said}");
    }
    assert_eq!(plan.logins(), [PIN_INCORRECT]);

    // It is enough to do what the message says.
    let said = options().start_fails();
    let file = said.stderr.split("remove ").nth(1).expect("it names the file");
    std::fs::remove_file(file.split_whitespace().next().unwrap()).expect("the file is there");
    plan.set(&Plan::default());
    drop(options().start());
}

#[test]
fn a_login_that_is_killed_twice_is_not_begun_a_third_time() {
    let site = Site::new();
    let (token, plan) = Token::faulty(&site);
    let options = || Options::new(&site).faulty_token(&token, &plan);
    plan.set(&Plan::of(Fault::at("C_Login", Effect::Hang)));
    for begun in 1..=2 {
        let mut server = options().begin();
        process::eventually("the login is under way", PATIENCE, || {
            assert!(server.ended().is_none(), "{}", server.log());
            (plan.tries() == begun).then_some(())
        });
        server.kill();
    }
    plan.set(&Plan::default());
    let said = options().start_fails();
    assert!(said.stderr.contains("then remove "), "{said}");
    assert_eq!(plan.tries(), 2);
}

#[test]
fn a_login_that_is_killed_once_is_tried_again() {
    let site = Site::new();
    let (token, plan) = Token::faulty(&site);
    let options = || Options::new(&site).faulty_token(&token, &plan);
    plan.set(&Plan::of(Fault::at("C_Login", Effect::Hang)));
    let mut server = options().begin();
    process::eventually("the login is under way", PATIENCE, || (plan.tries() == 1).then_some(()));
    server.kill();
    plan.set(&Plan::default());
    drop(options().start());
    let left = std::fs::read_dir(site.path().join("state")).expect("it is there").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("pin-")), "{left:?}");
}

#[test]
fn a_start_that_fails_at_the_second_token_ends_in_order() {
    let site = Site::new();
    let token = Token::new(&site);
    drop(Options::new(&site).token(&token).start().stop());
    token.initialise("second");
    let wrong = site.write("wrong-pin", "wrong");
    site::private(&wrong);
    for _ in 0..12 {
        let said = Gateway::serve_fails_with_token(&site, &token, |config| {
            let uri = |label: &str, pin: &Path| {
                let (module, pin) = (token.module().display(), pin.display());
                format!("pkcs11:token={label}?module-path={module}&pin-source=file:{pin}")
            };
            let uris = [uri(Token::LABEL, token.pin_file()), uri("second", &wrong)];
            let mut table = toml::Table::new();
            table.insert("uris".to_owned(), uris.to_vec().into());
            config.insert("pkcs11".to_owned(), table.into());
        });
        // A segmentation fault would be no exit code at all.
        assert_eq!(said.status.code(), Some(1), "{said}");
        assert!(said.stderr.contains("refused the PIN"), "{said}");
        let latch = site.path().join("state/pin-refused-second");
        std::fs::remove_file(latch).expect("the refusal is remembered");
    }
}

#[test]
fn a_token_directory_that_went_and_came_back_is_used_again() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let token = Token::new(&site);
    let gateway = Options::new(&site).dns(&dns).token(&token).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    drop(account.obtain(&["a.example.com"], &responder));

    let (here, away) = (site.path().join("tokens"), site.path().join("tokens-away"));
    std::fs::rename(&here, &away).expect("the directory can be moved");
    let names = ["b.example.com"];
    let order = account.order(&names);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    let (request, _) = request(&names);
    let taken = account.finalize(&order, &request).expect(200);
    assert_eq!(taken.json()["status"], "processing");
    std::fs::rename(&away, &here).expect("the directory can be moved");
    drop(account.certificate(&order));
}

#[test]
fn a_token_that_went_away_while_nobody_used_it_is_shown_as_down() {
    let site = Site::new();
    let token = Token::new(&site);
    let gateway = Options::new(&site).token(&token).start();
    assert_eq!(tokens(&gateway).0, 200);
    let (here, away) = (site.path().join("tokens"), site.path().join("tokens-away"));
    std::fs::rename(&here, &away).expect("the directory can be moved");
    process::eventually("the token is shown as down", PATIENCE, || {
        (tokens(&gateway).0 == 503).then_some(())
    });
    std::fs::rename(&away, &here).expect("the directory can be moved");
    process::eventually("the token is back", PATIENCE, || {
        (tokens(&gateway).0 == 200).then_some(())
    });
}

#[test]
fn a_stop_under_load_leaves_the_module_in_order() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let (token, plan) = Token::faulty(&site);
    let gateway = Options::new(&site).dns(&dns).faulty_token(&token, &plan).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let names = ["a.example.com"];
    let order = account.order(&names);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    let (request, _) = request(&names);
    // The signature is under way when the signal comes.
    plan.set(&Plan::of(Fault::at("C_Sign", Effect::Delay(500))));
    std::thread::scope(|scope| {
        let finalizing = scope.spawn(|| account.finalize(&order, &request));
        process::eventually("the signature is under way", PATIENCE, || {
            let (_, told) = tokens(&gateway);
            (told[0]["outstanding"].as_u64() > Some(0)).then_some(())
        });
        let (status, _) = gateway.stop();
        assert!(status.success(), "{status}");
        drop(finalizing.join().expect("it was answered").expect(200));
    });
}

#[test]
fn a_start_that_waits_for_a_token_ends_when_it_is_told_to() {
    let site = Site::new();
    let (token, plan) = Token::faulty(&site);
    drop(Options::new(&site).faulty_token(&token, &plan).start().stop());
    plan.set(&Plan { away: vec![Token::LABEL.to_owned()], ..Plan::default() });
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Gateway::serve_begins_with_token(&site, &token, &plan, |config| {
            let pkcs11 = config["pkcs11"].as_table_mut().expect("the token's table");
            pkcs11.insert("wait_seconds".to_owned(), 86_400.into());
        });
        process::eventually("it waits for the token", PATIENCE, || {
            assert!(server.ended().is_none(), "{}", server.log());
            // Behind what the one before said.
            let log = server.log();
            log.rsplit("told to stop").next()?.contains("waiting for the token").then_some(())
        });
        server.signal(signal);
        let status = server.wait();
        assert!(status.success(), "{status}: {}", server.log());
        assert!(server.log().trim_end().ends_with("waited for the token"), "{}", server.log());
    }
}

#[test]
fn a_start_whose_login_hangs_ends_when_it_is_told_to() {
    let site = Site::new();
    let (token, plan) = Token::faulty(&site);
    plan.set(&Plan::of(Fault::at("C_Login", Effect::Hang)));
    let mut server = Options::new(&site).faulty_token(&token, &plan).begin();
    process::eventually("the login hangs", PATIENCE, || (plan.hangs() == 1).then_some(()));
    server.signal(Signal::TERM);
    // No segmentation fault: nothing of the module runs at the end.
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
}

#[test]
fn a_call_that_hangs_does_not_keep_the_gateway_from_ending() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let (token, plan) = Token::faulty(&site);
    let options = || Options::new(&site).dns(&dns).faulty_token(&token, &plan);
    let mut gateway = options().start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let names = ["a.example.com"];
    let order = account.order(&names);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    plan.set(&Plan::of(Fault::at("C_Sign", Effect::Hang)));
    drop(account.finalize(&order, &request(&names).0));
    process::eventually("a call hangs", PATIENCE, || (plan.hangs() > 0).then_some(()));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(1), "{}", gateway.log());
    assert!(gateway.log().contains("leaving the module as it is"), "{}", gateway.log());

    // The next one finds everything in order.
    plan.set(&Plan::default());
    drop(options().start());
}
