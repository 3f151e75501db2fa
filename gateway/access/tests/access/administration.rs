//! What acts on the whole installation is for the one tenant that administers it.

use chancery_access::{AccessError, Caller};
use chancery_identity::RequestContext;

use crate::fixture::{Fixture, of_tenant};

/// Rules by which everybody may do everything, of whatever tenant.
const WIDE: &str = r#"
rules = [{ name = "all", identities = ["*"], operations = ["*"], resources = ["*"], effect = "allow" }]
"#;

/// An administrator of a tenant.
async fn admin_of(f: &Fixture, tenant: &str) -> (RequestContext, Caller) {
    let mut context = f.request(of_tenant(f.certificate("admin"), tenant));
    context.tenant = tenant.parse().unwrap();
    let caller = f.access.authenticate(&context, None).await.unwrap();
    (context, caller)
}

/// Whether something was done, and if not why.
async fn administer(f: &Fixture, (context, caller): &(RequestContext, Caller)) -> String {
    let mut done = false;
    let work = |_| {
        done = true;
        Some(())
    };
    let result = f.access.administer(context, caller, "token.drain", "hsm", work).await;
    assert_eq!(result.is_ok(), done);
    match result {
        Ok(()) => "done".to_owned(),
        Err(AccessError::Gate(refused)) => {
            assert!(refused.told().contains("token.drain on hsm"), "{refused}");
            refused.code().to_owned()
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn policies_of_another_tenant_do_not_decide_about_the_installation() {
    let f = Fixture::new();
    f.rules(WIDE);
    let (own, other) = (admin_of(&f, "default").await, admin_of(&f, "b").await);
    assert_eq!(administer(&f, &own).await, "done");
    assert_eq!(administer(&f, &other).await, "not-administration-tenant");
    let line = f.last_audited();
    assert_eq!((&line["operation"], &line["resource"]), (&"token.drain".into(), &"hsm".into()));
    assert_eq!((&line["tenant"], &line["outcome"]["result"]), (&"b".into(), &"denied".into()));
    assert_eq!(line["outcome"]["code"], "not-administration-tenant");
    assert_eq!(line["actor"]["identity"], "spiffe://test/admin");

    // What is the tenant's own its policies do decide.
    assert!(f.access.groups().list(&other.0, &other.1).await.is_ok());

    // Neither do they decide about the policies.
    let refused = [
        f.access.policy_set(&other.0, &other.1).await.map(drop),
        f.access.reload_policies(&other.0, &other.1).await.map(drop),
        f.access.roll_back_policies(&other.0, &other.1, None).await.map(drop),
    ];
    for result in refused {
        let code = result.map_err(|error| match error {
            AccessError::Gate(refused) => {
                assert!(refused.told().contains("administration.tenant"), "{refused}");
                refused.code().to_owned()
            }
            other => panic!("{other}"),
        });
        assert_eq!(code, Err("not-administration-tenant".to_owned()));
        assert_eq!(f.last_audited()["outcome"]["code"], "not-administration-tenant");
    }
}

#[tokio::test]
async fn configuration_names_the_tenant_that_administers_and_its_policies_decide() {
    let f = Fixture::new();
    f.rules(WIDE);
    f.access.replace_administration("b".parse().unwrap());
    let (own, other) = (admin_of(&f, "default").await, admin_of(&f, "b").await);
    assert_eq!(administer(&f, &own).await, "not-administration-tenant");
    assert_eq!(administer(&f, &other).await, "done");
    f.rules("rules = []");
    assert_eq!(administer(&f, &other).await, "no-rule");
}
