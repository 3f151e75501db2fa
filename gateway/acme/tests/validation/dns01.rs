use aws_lc_rs::digest::{SHA256, digest};
use chancery_acme::challenge::ChallengeType::Dns01;
use chancery_acme::jws::base64url;
use chancery_acme::{Failure, FailureKind};
use hickory_proto::op::ResponseCode;

use crate::nameserver::{Edns, Zone};
use crate::{config, key_authorization, task, validator};

const AT: &str = "_acme-challenge.a.example.";

fn expected() -> String {
    base64url::encode(digest(&SHA256, key_authorization().as_bytes()))
}

async fn look_at(zone: Zone, name: &str) -> Result<(), Failure> {
    validator(&config(zone.serve().await)).validate(&task(Dns01, name)).await
}

#[tokio::test]
async fn finds_the_digest_among_other_records() {
    let zone = Zone::default().txt(AT, &["something else"]).txt(AT, &[&expected()]);
    look_at(zone.clone(), "a.example").await.unwrap();
    look_at(zone, "*.a.example").await.unwrap();
}

#[tokio::test]
async fn a_record_in_several_strings_is_one_text() {
    let expected = expected();
    let (front, back) = expected.split_at(20);
    look_at(Zone::default().txt(AT, &[front, back]), "a.example").await.unwrap();
    let apart = Zone::default().txt(AT, &[front]).txt(AT, &[back]);
    look_at(apart, "a.example").await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_does_not_like_edns_is_asked_without() {
    for edns in [Edns::Refused(ResponseCode::FormErr), Edns::Dropped] {
        look_at(Zone::default().txt(AT, &[&expected()]).edns(edns), "a.example").await.unwrap();
    }
}

#[tokio::test]
async fn follows_acme_challenge_cnames() {
    let zone = Zone::default()
        .cname(AT, "a.validation.example.")
        .cname("a.validation.example.", "b.validation.example.")
        .txt("b.validation.example.", &[&expected()]);
    look_at(zone, "a.example").await.unwrap();
}

#[tokio::test]
async fn validates_the_name_that_was_asked_for_not_a_derived_one() {
    let zone = Zone::default()
        .txt("_acme-challenge.example.", &[&expected()])
        .txt("_acme-challenge.www.a.example.", &[&expected()]);
    let failure = look_at(zone, "a.example").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
}

#[tokio::test]
async fn other_texts_and_broken_servers_are_told_apart() {
    let failure = look_at(Zone::default().txt(AT, &["x"]), "a.example").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::IncorrectResponse, "{failure}");
    let failure = look_at(Zone::broken(), "a.example").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
    let looping = Zone::default().cname(AT, AT);
    let failure = look_at(looping, "a.example").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Dns, "{failure}");
}
