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

fn of_base(settings: &str) -> Profiles {
    let profiles: Profiles =
        serde_json::from_str(&format!(r#"{{"profiles":{{"p":{settings}}}}}"#)).unwrap();
    if let Err(error) = profiles.check() {
        panic!("{settings}: {error:?}");
    }
    profiles
}

fn ask_for(profiles: &Profiles, request: Request) -> Result<Proposal, Denial> {
    profiles.evaluate(&Request { profile: Some("p".to_owned()), ..request })
}

#[test]
fn a_base_brings_what_a_profile_does_not_say() {
    for (base, name, purpose, seconds) in [
        ("tls-server", "dns:a.example", "server-auth", 7_776_000),
        ("short-lived", "ip:192.0.2.1", "server-auth", 576_000),
        ("tls-client", "email:a@b.example", "client-auth", 7_776_000),
        ("mtls-service", "uri:spiffe://a.example/b", "server-auth", 86_400),
        ("code-signing", "email:a@b.example", "code-signing", 31_536_000),
        ("smime", "email:a@b.example", "email-protection", 31_536_000),
        ("ocsp-signer", "dns:ocsp.example", "ocsp-signing", 604_800),
    ] {
        let profiles = of_base(&format!(r#"{{"base":"{base}"}}"#));
        let issued = template(ask_for(&profiles, request(&[name])));
        assert_eq!(issued.extended_key_usages[0], purpose, "{base}");
        assert_eq!(issued.validity_seconds, seconds, "{base}");
        assert_eq!(issued.extensions.len(), usize::from(base == "ocsp-signer"), "{base}");
        let shorter = of_base(&format!(r#"{{"base":"{base}","validity":"1h"}}"#));
        assert_eq!(template(ask_for(&shorter, request(&[name]))).validity_seconds, 3600);
        let other = ask_for(&profiles, request(&["other:x"]));
        assert_eq!(code(other), "name-not-allowed", "{base}");
    }
    let no_id = ask_for(&of_base(r#"{"base":"mtls-service"}"#), request(&["dns:a.example"]));
    assert_eq!(code(no_id), "name-missing");
}

#[test]
fn without_a_base_everything_has_to_be_said() {
    let bare = r#"{"profiles":{"p":{"keys":["rsa"],"key_usages":[],"extended_key_usages":[]}}}"#;
    let error = serde_json::from_str::<Profiles>(bare).unwrap_err().to_string();
    assert!(error.contains("missing field `validity`"), "{error}");
}

#[test]
fn wildcards_want_dns_01_and_a_parent_of_two_labels_and_addresses_a_network() {
    let wild = |settings: &str, name: &str, method: &str| {
        let mut request = request(&[name]);
        request.validated[0].method = method.to_owned();
        ask_for(&of_base(settings), request)
    };
    let server = r#"{"base":"tls-server"}"#;
    assert!(wild(server, "dns:*.a.example", "dns-01").is_ok());
    assert_eq!(code(wild(server, "dns:*.a.example", "http-01")), "validation-method");
    assert_eq!(code(wild(server, "dns:*.example", "dns-01")), "wildcard-not-allowed");
    let lax = r#"{"base":"tls-server","names":{"wildcard_methods":["*"],"wildcard_labels":1}}"#;
    assert!(wild(lax, "dns:*.example", "http-01").is_ok());
    let none = r#"{"base":"tls-server","names":{"wildcards":false}}"#;
    assert_eq!(code(wild(none, "dns:*.a.example", "dns-01")), "wildcard-not-allowed");

    let inside = r#"{"base":"tls-server","names":{"networks":["::ffff:10.0.0.0/104","fd00::/8"]}}"#;
    for (name, allowed) in [
        ("ip:10.1.2.3", true),
        ("ip:::ffff:10.1.2.3", true),
        ("ip:::ffff:11.0.0.1", false),
        ("ip:fd00::1", true),
        ("ip:11.0.0.1", false),
        ("ip:::1", false),
        ("dns:a.example", true),
    ] {
        assert_eq!(wild(inside, name, "http-01").is_ok(), allowed, "{name}");
    }
}

#[test]
fn subjects_are_fixed_or_asked_for_within_bounds() {
    let profiles = of_base(
        r#"{"base":"smime","subject":{"O":"Example","C":"DE"},"subject_from_request":{"OU":["eng-*"]}}"#,
    );
    let ask = |subject: &[(&str, &str)]| {
        let subject = subject
            .iter()
            .map(|(name, value)| Attribute { name: (*name).into(), value: (*value).into() })
            .collect();
        ask_for(&profiles, Request { subject, ..request(&["email:a@b.example"]) })
    };
    let issued = template(ask(&[("OU", "eng-1"), ("O", "Other"), ("CN", "a@b.example")]));
    let shown: Vec<_> =
        issued.subject.iter().map(|one| format!("{}={}", one.name, one.value)).collect();
    assert_eq!(shown, ["C=DE", "O=Example", "OU=eng-1", "CN=a@b.example"]);
    assert_eq!(code(ask(&[("OU", "ops")])), "subject-not-allowed");
    assert_eq!(code(ask(&[("CN", "b@b.example")])), "common-name-not-allowed");
}

#[test]
fn stapling_and_policies_become_extensions() {
    let staple = chancery_guest::certificate::Extension {
        oid: "1.3.6.1.5.5.7.1.24".to_owned(),
        critical: false,
        value: vec![0x30, 3, 2, 1, 5],
    };
    let ask = |settings: &str, asked: bool| {
        let extensions = if asked { vec![staple.clone()] } else { Vec::new() };
        let request = Request { extensions, ..request(&["dns:a.example"]) };
        let issued = template(ask_for(&of_base(settings), request)).extensions;
        issued.iter().map(|one| one.oid.clone()).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(ask(r#"{"base":"tls-server"}"#, true), none);
    let keep = r#"{"base":"tls-server","must_staple":"keep"}"#;
    assert_eq!(ask(keep, false), none);
    assert_eq!(ask(keep, true), [staple.oid.as_str()]);
    let always = r#"{"base":"tls-server","must_staple":"always","policies":["2.23.140.1.2.1"]}"#;
    assert_eq!(ask(always, false), [staple.oid.as_str(), "2.5.29.32"]);
}

#[test]
fn what_contradicts_itself_is_refused_with_its_place() {
    let path = |settings: &str| {
        let profiles: Profiles =
            serde_json::from_str(&format!(r#"{{"profiles":{{"p":{settings}}}}}"#)).unwrap();
        profiles.check().unwrap_err().path
    };
    for (more, place) in [
        (r#""ocsp_no_check":true"#, "ocsp_no_check"),
        (r#""policies":["x"]"#, "policies"),
        (r#""policies":["1.2.3","1.2.3"]"#, "policies"),
        (r#""policies":["2.5.29.32.0"]"#, "policies"),
        (r#""subject":{"CN":"a"}"#, "subject"),
        (r#""subject":{"C":"Germany"}"#, "subject"),
        (r#""subject_from_request":{"X":[]}"#, "subject_from_request"),
        (r#""subject":{"O":"a"},"subject_from_request":{"O":["*"]}"#, "subject_from_request"),
        (r#""names":{"networks":[]}"#, "names.networks"),
        (r#""names":{"deny":["ip:::ffff:10.*"]}"#, "names.deny"),
        (r#""names":{"wildcard_labels":0}"#, "names.wildcard_labels"),
    ] {
        let settings = format!(r#"{{"base":"tls-server",{more}}}"#);
        assert_eq!(path(&settings), format!("profiles.p.{place}"));
    }
    let client = r#"{"base":"tls-client","must_staple":"keep"}"#;
    assert_eq!(path(client), "profiles.p.must_staple");
}
