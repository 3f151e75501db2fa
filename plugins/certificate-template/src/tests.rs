use chancery_guest::certificate::{Attribute, KeyFacts, Name, Template, ValidatedName};

use super::*;

const PROFILE: &str = r#"{"keys":["ecdsa-p256","rsa"],"key_usages":["digital-signature","key-encipherment"],
    "extended_key_usages":["server-auth"],"validity":"1d","max_validity":"2d","names":{"allow":["dns:*"]}}"#;

fn profiles(change: (&str, &str)) -> Profiles {
    let (from, to) = change;
    assert!(PROFILE.contains(from));
    let profile = PROFILE.replacen(from, to, 1);
    serde_json::from_str(&format!(
        r#"{{"profiles":{{"p":{profile}}},"choose":[{{"requester":"acme:*","profile":"p"}}]}}"#
    ))
    .unwrap()
}

fn request(names: &[&str]) -> Request {
    let split = |name: &str| {
        let (kind, value) = name.split_once(':').unwrap();
        (kind.to_owned(), value.to_owned())
    };
    Request {
        tenant: "default".to_owned(),
        requester: "acme:1".to_owned(),
        identity: None,
        profile: None,
        key: KeyFacts {
            algorithm: "ecdsa-p256".to_owned(),
            bits: 256,
            fingerprint: "0".repeat(64),
        },
        subject: Vec::new(),
        names: names
            .iter()
            .map(|name| {
                let (kind, value) = split(name);
                Name { kind, value }
            })
            .collect(),
        validated: names
            .iter()
            .map(|name| {
                let (kind, value) = split(name);
                ValidatedName { kind, value, method: "http-01".to_owned() }
            })
            .collect(),
        extensions: Vec::new(),
        validity_seconds: None,
        attributes: Vec::new(),
    }
}

fn code(said: Result<Proposal, Denial>) -> String {
    said.unwrap_err().code
}

fn template(said: Result<Proposal, Denial>) -> Template {
    match said {
        Ok(Proposal::Issue(template)) => template,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_validity_asked_for_has_to_lie_within_the_limit() {
    let profiles = profiles(("", ""));
    let ask = |seconds| {
        profiles.evaluate(&Request { validity_seconds: seconds, ..request(&["dns:a.example"]) })
    };
    assert_eq!(template(ask(None)).validity_seconds, 86_400);
    assert_eq!(template(ask(Some(1))).validity_seconds, 1);
    assert_eq!(template(ask(Some(172_800))).validity_seconds, 172_800);
    assert_eq!(code(ask(Some(172_801))), "validity-not-allowed");
    assert_eq!(code(ask(Some(0))), "validity-not-allowed");
}

#[test]
fn a_common_name_is_kept_only_where_the_profile_keeps_it_and_a_dns_name_bears_it_out() {
    let long = format!("dns:{}.example", "a".repeat(60));
    let ask = |mode: &str, name: &str, wanted: &str| {
        let profiles = profiles((r#""keys""#, &format!(r#""common_name":"{mode}","keys""#)));
        let subject = vec![Attribute { name: "CN".to_owned(), value: wanted.to_owned() }];
        profiles.evaluate(&Request { subject, ..request(&[name]) })
    };
    assert!(template(ask("omit", "dns:a.example", "a.example")).subject.is_empty());
    let kept = template(ask("keep", "dns:a.example", "A.example")).subject;
    assert_eq!((kept[0].name.as_str(), kept[0].value.as_str()), ("CN", "a.example"));
    assert_eq!(code(ask("keep", "dns:a.example", "b.example")), "common-name-not-allowed");
    assert_eq!(code(ask("keep", &long, &long[4..])), "common-name-not-allowed");
}

#[test]
fn names_are_denied_required_counted_and_proved_as_the_profile_says() {
    let with = |rules: &str| profiles((r#"{"allow":["dns:*"]}"#, rules));
    let denies = with(r#"{"allow":["dns:*"],"deny":["dns:*.corp"]}"#);
    assert_eq!(
        code(denies.evaluate(&request(&["dns:a.example", "dns:x.corp"]))),
        "name-not-allowed"
    );
    assert!(denies.evaluate(&request(&["dns:a.example"])).is_ok());

    let requires = with(r#"{"allow":["dns:*"],"require":["dns:must.*"]}"#);
    assert_eq!(code(requires.evaluate(&request(&["dns:a.example"]))), "name-missing");
    assert!(requires.evaluate(&request(&["dns:a.example", "dns:must.example"])).is_ok());

    let counts = with(r#"{"allow":["dns:*"],"most":1}"#);
    assert_eq!(code(counts.evaluate(&request(&["dns:a", "dns:b"]))), "too-many-names");

    let by_dns = with(r#"{"allow":["dns:*"],"methods":["dns-01"]}"#);
    assert_eq!(code(by_dns.evaluate(&request(&["dns:a.example"]))), "validation-method");
    let mut proved_twice = request(&["dns:a.example"]);
    let mut again = proved_twice.validated[0].clone();
    again.method = "dns-01".to_owned();
    proved_twice.validated.push(again);
    assert!(by_dns.evaluate(&proved_twice).is_ok());
}

#[test]
fn a_profile_that_nobody_has_is_unknown_and_one_for_others_not_allowed() {
    let profiles = profiles((r#""keys""#, r#""requesters":["acme:2"],"keys""#));
    let ask = |profile: Option<&str>, requester: &str| {
        profiles.evaluate(&Request {
            profile: profile.map(str::to_owned),
            requester: requester.to_owned(),
            ..request(&["dns:a.example"])
        })
    };
    assert_eq!(code(ask(Some("q"), "acme:2")), "unknown-profile");
    assert_eq!(code(ask(None, "acme:1")), "profile-not-allowed");
    assert_eq!(code(ask(None, "other")), "no-profile");
    assert_eq!(template(ask(None, "acme:2")).profile, "p");
}

#[test]
fn settings_that_cannot_be_meant_are_refused_with_their_place() {
    let path = |from: &str, to: &str| profiles((from, to)).check().unwrap_err().path;
    assert_eq!(path("rsa", "dsa"), "profiles.p.keys");
    assert_eq!(path("digital-signature", "crl-sign"), "profiles.p.key_usages");
    assert_eq!(path("server-auth", "any"), "profiles.p.extended_key_usages");
    assert_eq!(path(r#""2d""#, r#""1h""#), "profiles.p.max_validity");
    assert_eq!(path("dns:*", "*"), "profiles.p.names.allow");
    assert_eq!(path(r#"["dns:*"]"#, "[]"), "profiles.p.names.allow");
    assert_eq!(path(r#""keys""#, r#""rsa_min_bits":1024,"keys""#), "profiles.p.rsa_min_bits");
    assert!(profiles(("", "")).check().is_ok());
}
