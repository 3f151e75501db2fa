//! A guest that looks things up gets what its binding grants, and nothing else.

use std::sync::{Arc, Mutex};

use chancery_policy::{Denial, LookupError, Lookups, PolicyHost};

use crate::guests::{ALLOW, DENY, Guest};
use crate::installation::{Installation, request};

/// Asks whether the caller (whose name is the second part of the request) is in the group "mine", and
/// denies unless the answer is yes. The answer is written to address 3072: 0 for a result, then 1 for
/// yes.
fn member_or_nothing() -> Vec<u8> {
    let evaluate = format!(
        "(call $contains (i32.const 16) (i32.const 4) (local.get 2) (local.get 3) (i32.const 3072))
         (if (i32.or (i32.load8_u (i32.const 3072))
                     (i32.eqz (i32.load8_u (i32.const 3076)))) (then {DENY} return))
         {ALLOW}"
    );
    let import = r#"(import "chancery:policy/groups@0.9.0" "contains"
        (func $contains (param i32 i32 i32 i32 i32)))"#;
    Guest { evaluate: &evaluate, import, ..Guest::default() }.component()
}

fn open(installation: &Installation, asked: &Arc<Mutex<Vec<String>>>) -> PolicyHost {
    let mut config = installation.config();
    let asked = asked.clone();
    config.lookups = Lookups {
        group: Arc::new(move |tenant, group, identity| {
            asked.lock().unwrap().push(format!("{tenant} {group} {identity}"));
            match identity {
                "spiffe://dev.chancery/app" => Ok(true),
                "spiffe://dev.chancery/lost" => Err(LookupError::Unknown("group".to_owned())),
                _ => Ok(false),
            }
        }),
        ..Lookups::unavailable()
    };
    PolicyHost::open(config).unwrap()
}

async fn ask(host: &PolicyHost, identity: &str) -> Result<(), Denial> {
    let mut question = request("o", "r");
    question.identity = format!("spiffe://dev.chancery/{identity}");
    host.decide_access(&question).await.decision.map(drop)
}

#[tokio::test]
async fn a_granted_lookup_reaches_the_gateway_with_the_request_s_tenant() {
    let installation = Installation::new();
    installation.bind_access("b", &member_or_nothing(), "grants = { groups = [\"mine\"] }");
    let asked = Arc::default();
    let host = open(&installation, &asked);
    assert!(ask(&host, "app").await.is_ok());
    assert!(ask(&host, "other").await.is_err());
    assert!(ask(&host, "lost").await.is_err(), "an error is not a yes");
    assert_eq!(asked.lock().unwrap()[0], "default mine spiffe://dev.chancery/app");
}

#[tokio::test]
async fn without_the_grant_nobody_is_asked() {
    let installation = Installation::new();
    installation.bind_access("b", &member_or_nothing(), "grants = { groups = [\"others\"] }");
    let asked = Arc::default();
    let host = open(&installation, &asked);
    assert!(ask(&host, "app").await.is_err());
    assert!(asked.lock().unwrap().is_empty());
}
