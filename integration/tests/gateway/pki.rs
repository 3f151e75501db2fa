//! The certificates' part of Vault's API: what everybody may read, and what a request for a certificate may ask for.

use chancery_integration::gateway::{Gateway, chancery};
use chancery_integration::http;
use chancery_integration::lint;
use chancery_integration::process;
use chancery_integration::site::Site;
use serde_json::{Value, json};

/// A signing request in PEM for a client of the first tenant.
fn csr() -> String {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let name = "spiffe://dev.chancery/other".try_into().expect("ASCII");
    parameters.subject_alt_names.push(rcgen::SanType::URI(name));
    let request = parameters.serialize_request(&key).expect("a request can be made");
    request.pem().expect("it has a form in PEM")
}

#[test]
fn everybody_reads_the_ca_and_its_crl_without_a_certificate() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let anybody = gateway.anonymous();
    let get = |path: &str, of: &str| {
        let answer = anybody.get(&format!("/v1/pki/{path}")).expect(200);
        assert_eq!(answer.header("content-type"), Some(of), "{path}");
        answer
    };
    let root = std::fs::read_to_string(gateway.path("root.pem")).expect("`dev` leaves the root");
    let chain = get("ca_chain", "application/pem-certificate-chain").text();
    assert!(chain.ends_with(&root), "{chain}");
    let issuing = get("ca/pem", "application/pem-certificate-chain").text();
    assert_eq!(issuing + &root, chain);
    let der = get("ca", "application/pkix-cert").body;
    assert_eq!(der, http::certificates(&chain)[0].as_ref());
    assert_eq!(get("cert/ca/raw", "application/pkix-cert").body, der);
    let crl = get("crl", "application/pkix-crl").body;
    lint::assert_crl(&site, &crl, &der, false);
    assert!(get("crl/pem", "application/x-pem-file").text().starts_with("-----BEGIN X509 CRL-"));
    for (path, member) in
        [("cert/ca", "certificate"), ("cert/ca_chain", "ca_chain"), ("cert/crl", "certificate")]
    {
        let answer = get(path, "application/json").json();
        assert!(answer["data"][member].as_str().expect("PEM").starts_with("-----BEGIN "), "{path}");
    }
    assert_eq!(anybody.post("/v1/pki/ca", &json!({})).status, 405);
    // Nothing else is told to strangers.
    for path in ["pki/cert/01", "pki/certs", "pki/cert/ca/other", "secret/ca", "none/ca"] {
        assert_eq!(anybody.get(&format!("/v1/{path}")).status, 403, "{path}");
    }
    assert_eq!(anybody.get("/v1/pki/public_key").status, 403);
}

#[test]
fn a_certificate_ends_when_the_request_says() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let admin = gateway.admin();
    let csr = csr();
    let sign = |more: Value| {
        let mut body = json!({ "csr": csr });
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        admin.post("/v1/pki/sign/service", &body)
    };
    let first = sign(json!({ "ttl": "5h" })).expect(200).json()["data"].clone();
    let serial = first["serial_number"].as_str().expect("a number");
    let end = admin.get(&format!("/v1/pki/cert/{serial}")).json()["data"]["not_after"].clone();
    let signed = sign(json!({ "not_after": end })).expect(200).json();
    assert_eq!(signed["data"]["expiration"], first["expiration"], "{signed}");
    let length = signed["data"]["expiration"].as_i64().zip(signed["data"]["not_before"].as_i64());
    assert!(length.is_some_and(|(end, beginning)| end > beginning), "{signed}");
    assert!(signed["warnings"].is_null(), "{signed}");

    let odd = json!({ "ttl": "1h", "colour": "red", "use_pss": true, "private_key_format": "der" });
    let signed = sign(odd).expect(200).json();
    let warning = "Endpoint ignored these unrecognized parameters: [colour use_pss]";
    assert_eq!(signed["warnings"], json!([warning]));

    for (member, value) in [
        ("not_after", json!("tomorrow")),
        ("not_after", json!("2020-01-01T00:00:00Z")),
        ("exclude_cn_from_sans", json!(true)),
        ("serial_number", json!("77")),
        ("user_ids", json!("alice")),
        ("other_sans", json!("1.2.3;UTF8:x")),
    ] {
        let refused = sign(json!({ member: value })).expect(400).text();
        assert!(refused.contains(member), "{refused}");
    }
    let both = json!({ "ttl": "1h", "not_after": end });
    assert!(sign(both).expect(400).text().contains("not both"));
    drop(
        sign(json!({ "exclude_cn_from_sans": false, "serial_number": "", "not_after": "" }))
            .expect(200),
    );
}

#[test]
fn to_revoke_what_is_not_there_is_refused_with_its_number() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let refused = gateway.admin().post("/v1/pki/revoke", &json!({ "serial_number": "1122" }));
    assert!(refused.expect(400).text().contains("11:22"));
    let said = gateway.administer(&["certificates", "revoke", "11:22"]).failure();
    assert!(said.stderr.contains("there is no certificate with the serial number 11:22"), "{said}");
    assert_eq!(gateway.admin().get("/v1/pki/cert/11:22").status, 404);
}

#[test]
fn commands_take_the_variables_of_openbao_and_pass_over_empty_ones() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let mut command = gateway.command_of_admin(&["certificates", "list"]);
    let of_vault: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_owned())))
        .filter(|(name, _)| name.starts_with("VAULT_"))
        .collect();
    assert_eq!(of_vault.len(), 4, "{of_vault:?}");
    for (name, value) in of_vault {
        command.env(name.replace("VAULT_", "BAO_"), value).env(name, "");
    }
    drop(process::run(&mut command).success());
    command.env("VAULT_CACERT", "no-such-file").env("BAO_NAMESPACE", "").env("VAULT_NAMESPACE", "");
    drop(process::run(&mut command).success());
}

#[test]
fn a_certificate_that_is_issued_by_hand_is_refused_with_the_reason() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let config = gateway.path("chancery.toml");
    let out = site.path().join("out.pem");
    let key = site.path().join("out.key");
    let arguments = [
        "client-certificate",
        "--config",
        config.to_str().expect("text"),
        "--spiffe-id",
        "spiffe://dev.chancery/x",
        "--profile",
        "none",
        "--cert",
        out.to_str().expect("text"),
        "--key",
        key.to_str().expect("text"),
    ];
    let said = chancery(&arguments).failure();
    assert!(said.stderr.contains("leave --config out"), "{said}");
    drop(gateway.stop());
    let said = chancery(&arguments).failure();
    assert!(said.stderr.contains("denied by policy ("), "{said}");
}
