//! Every operation leaves a line, and without the line there is no answer.

use std::time::Duration;

use chancery_store::Store as _;
use serde_json::json;

use crate::client::{Client, url};
use crate::steps;
use crate::world::World;

#[tokio::test]
async fn each_operation_leaves_one_line_that_names_the_account() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let own = client.account.clone().unwrap();
    let id = own.rsplit('/').next().unwrap();
    steps::certificate(&world, &mut client, &["a.localhost"]).await;
    client.post(&own, &json!({"contact": ["mailto:a@example.com"]})).await.ok();
    client.post(&own, &json!({"status": "deactivated"})).await.ok();
    let operations: Vec<_> = world
        .audit
        .lines()
        .into_iter()
        .filter(|line| line["operation"].as_str().unwrap().starts_with("acme."))
        .inspect(|line| {
            assert_eq!(line["actor"]["account"], id, "{line}");
            assert_eq!(line["outcome"]["result"], "success", "{line}");
            assert_eq!(line["actor"]["address"], "127.0.0.1", "{line}");
        })
        .map(|line| line["operation"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        operations,
        [
            "acme.account.create",
            "acme.order.create",
            "acme.challenge.validate",
            "acme.order.finalize",
            "acme.account.update",
            "acme.account.deactivate",
        ]
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_leave_an_operation_unrecorded() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    let target = url("new-order");
    let header = client.header(&target).await;
    let body = client.key.jws(&header, &steps::names(&["a.localhost"]).to_string()).to_string();
    {
        let answer = std::pin::pin!(client.send(&target, &body));
        // Once is enough to be on its way to the policies, and not to be back.
        assert!(futures_util::poll!(answer).is_pending());
    }
    let recorded = async {
        while world.audited("acme.order.create").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), recorded).await.expect("it is never recorded");
    let line = &world.audited("acme.order.create")[0];
    assert_eq!(line["outcome"]["result"], "success", "{line}");
    let orders = world.store.scan(b"default/acme/order/", None, 10).await.unwrap();
    assert_eq!(orders.len(), 1, "what is recorded is there");
}

#[tokio::test]
async fn creating_accounts_and_orders_carries_what_the_policies_said() {
    let world = World::new().await;
    let mut client = world.start().await.client().await;
    steps::order(&mut client, &["a.localhost"]).await;
    for operation in ["acme.account.create", "acme.order.create"] {
        let line = &world.audited(operation)[0];
        let decision = &line["decisions"][0];
        assert_eq!(decision["binding"], "access", "{line}");
        assert_eq!(decision["outcome"], "allow", "{line}");
        assert!(decision["digest"].as_str().unwrap().starts_with("sha256:"), "{line}");
    }
}

#[tokio::test]
async fn without_an_audit_line_there_is_no_answer() {
    let world = World::new().await;
    let server = world.start().await;
    let mut client = server.client().await;
    world.audit.refuse(true);
    let answer = client.post(&url("new-order"), &steps::names(&["a.localhost"])).await;
    answer.is_problem(500, "serverInternal");
    let mut anew = Client::new(server.router.clone());
    anew.post(&url("new-account"), &json!({})).await.is_problem(500, "serverInternal");
}
