//! Policies go to an OCI registry and come back.

use std::path::Path;

use chancery_integration::gateway::chancery;
use chancery_integration::lint::openssl;
use chancery_integration::process::{Outcome, repository};
use chancery_integration::registry::Registry;
use chancery_integration::site::Site;
use serde_json::Value;

/// `chancery policy …` as the registry's user.
fn policy(registry: &Registry, arguments: &[&str]) -> Outcome {
    let password = registry.password_file().to_string_lossy();
    let user = ["--http", "--username", Registry::USER, "--password-file", &password];
    chancery(&[&["policy"], arguments, &user, &["--output", "json"]].concat())
}

fn json(said: Outcome) -> Value {
    serde_json::from_str(&said.success().stdout).expect("JSON")
}

fn component(site: &Site) -> String {
    let file = site.path().join("rules.wasm");
    let from = repository().join("plugins/target/components/access-rules.wasm");
    std::fs::copy(from, &file).expect("the plugin is built");
    file.to_string_lossy().into_owned()
}

#[test]
fn what_is_pulled_is_what_was_pushed_with_its_signature() {
    let site = Site::new();
    let registry = Registry::start(&site);
    let component = component(&site);
    let [key, public] =
        ["signer.key", "signer.pub"].map(|name| site.path().join(name).display().to_string());
    drop(openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]).success());
    drop(openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]).success());
    drop(chancery(&["policy", "sign", &component, "--key", &key]).success());

    let tag = format!("{}/policies/rules:1.0", registry.address());
    let pushed = json(policy(&registry, &["push", &component, &tag]));
    assert_eq!(pushed["signed"], true, "{pushed}");
    let by_digest = pushed["reference"].as_str().expect("a reference");
    assert!(by_digest.contains("/policies/rules@sha256:"), "{by_digest}");
    assert_eq!(json(policy(&registry, &["push", &component, &tag])), pushed, "the same again");

    for reference in [&tag, by_digest] {
        let out = site.path().join("pulled.wasm").to_string_lossy().into_owned();
        let digest = pushed["digest"].as_str().expect("a digest");
        let pulled =
            json(policy(&registry, &["pull", reference, "--out", &out, "--digest", digest]));
        assert_eq!(pulled["reference"], by_digest);
        assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&component).unwrap());
        drop(chancery(&["policy", "verify", &out, "--key", &public]).success());
        std::fs::remove_file(&out).expect("it is there");
    }

    // Another component under the same tag is told apart by its digest.
    let other = repository().join("plugins/target/components/certificate-template.wasm");
    let moved = json(policy(&registry, &["push", &other.to_string_lossy(), &tag]));
    assert_eq!(moved["signed"], false, "{moved}");
    let out = site.path().join("other.wasm").to_string_lossy().into_owned();
    let digest = pushed["digest"].as_str().expect("a digest");
    let refused = policy(&registry, &["pull", &tag, "--out", &out, "--digest", digest]).failure();
    drop(refused.says(&format!("not {digest}")));
    assert!(!Path::new(&out).exists(), "nothing is left of it");
    drop(policy(&registry, &["pull", by_digest, "--out", &out]).success());
}

#[test]
fn a_registry_with_tls_is_trusted_by_its_root_alone() {
    let site = Site::new();
    let (registry, root) = Registry::start_tls(&site);
    let (component, root) = (component(&site), root.to_string_lossy().into_owned());
    let password = registry.password_file().to_string_lossy().into_owned();
    let tag = format!("{}/policies/rules:1.0", registry.address());
    let user = ["--username", Registry::USER, "--password-file", &password];
    let push = |more: &[&str]| {
        chancery(&[&["policy", "push", &component, &tag], &user[..], more].concat())
    };
    drop(push(&["--root", &root]).success().says("/policies/rules@sha256:"));
    drop(push(&[]).failure().says("cannot push to"));
}

#[test]
fn what_is_wrong_is_said() {
    let site = Site::new();
    let registry = Registry::start(&site);
    let component = component(&site);
    let out = site.path().join("out.wasm").to_string_lossy().into_owned();
    let address = registry.address();
    let tag = format!("{address}/policies/rules:1.0");
    let said =
        |arguments: &[&str], text: &str| drop(policy(&registry, arguments).failure().says(text));

    said(&["pull", &tag, "--out", &out], "policies/rules:1.0");
    let readme = repository().join("README.md").to_string_lossy().into_owned();
    said(&["push", &readme, &tag], "README.md");
    let by_digest = format!("{address}/policies/rules@sha256:{}", "0".repeat(64));
    said(&["push", &component, &by_digest], "push to a tag");
    said(&["pull", &by_digest, "--out", &out], "cannot pull");
    // A signature over something else is found before it is published.
    let signature = format!("{component}.sig");
    let [key] = ["signer.key"].map(|name| site.path().join(name).display().to_string());
    drop(openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]).success());
    let template = repository().join("plugins/target/components/certificate-template.wasm");
    let template = template.to_string_lossy().into_owned();
    let sign = ["policy", "sign", &template, "--key", &key, "--out", &signature];
    drop(chancery(&sign).success());
    said(&["push", &component, &tag], "sign it anew");
    // Without its user, and with TLS, the registry is not to be had.
    std::fs::remove_file(&signature).expect("the signature");
    let anonymous = chancery(&["policy", "push", &component, &tag, "--http"]).failure();
    drop(anonymous.says("cannot push to"));
    let tls = chancery(&["policy", "push", &component, &tag]).failure();
    drop(tls.says("cannot push to"));
}
