//! What a set has to pass before it comes into force.

use std::fs;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use chancery_identity::TenantId;
use chancery_policy::{Digest, PolicyConfig, PolicyHost, PolicySignature, SignerKey, Signers};

use crate::guests::{DENY, Guest};
use crate::installation::{Installation, request};

fn versioned(version: &str) -> Vec<u8> {
    Guest { version, ..Guest::default() }.component()
}

#[test]
fn a_plugin_that_does_not_say_properly_what_it_is_is_refused() {
    let refused = |wasm: &[u8]| {
        let installation = Installation::new();
        installation.bind_access("b", wasm, "");
        installation.refusal()
    };
    let message = refused(&versioned("1.0"));
    assert!(message.contains("its version is \"1.0\", which is none"), "{message}");
    let message = refused(&Guest { name: "By Hand", ..Guest::default() }.component());
    assert!(message.contains("calls itself \"By Hand\""), "{message}");
}

#[test]
fn an_older_version_does_not_take_the_place_of_a_newer_one_unasked() {
    let installation = Installation::new();
    installation.bind_access("b", &versioned("1.10.0"), "");
    let host = installation.open().unwrap();
    installation.bind_access("b", &versioned("1.9.0"), "");
    let message = host.reload().unwrap_err().to_string();
    assert!(
        message.contains("version 1.9.0 of hand-written, and 1.10.0 was in force"),
        "{message}"
    );
    assert!(message.contains("plugin.allow_downgrade = true"), "{message}");
    assert_eq!(host.in_force()[0].version, "1.10.0");
    drop(host);
    // A restart does not forget.
    assert!(installation.refusal().contains("1.10.0 was in force"));

    let document = installation.policies().join("b.toml");
    let text = fs::read_to_string(&document).unwrap();
    let asked = text.replace("digest =", "allow_downgrade = true, digest =");
    fs::write(&document, asked).unwrap();
    assert_eq!(installation.open().unwrap().in_force()[0].version, "1.9.0");
    // From now on that is what counts.
    fs::write(&document, text).unwrap();
    installation.open().unwrap();
    // Another plugin has versions of its own.
    let other = Guest { name: "other", version: "0.0.1", ..Guest::default() };
    installation.bind_access("b", &other.component(), "");
    installation.open().unwrap();
}

#[test]
fn a_set_whose_cases_do_not_hold_is_refused_with_the_difference() {
    let installation = Installation::new();
    let cases = |allow: &str| {
        format!(
            "[[case]]\nname = \"anybody\"\nrequest = {{ identity = \"i\", operation = \"o\", \
             resource = \"r\" }}\n{allow}\n"
        )
    };
    installation.bind_access("b", &versioned("1.0.0"), "self_test = \"cases/b.toml\"");
    fs::create_dir(installation.policies().join("cases")).unwrap();
    assert!(installation.refusal().contains("cases/b.toml"), "it is missing");
    fs::write(installation.policies().join("cases/b.toml"), cases("deny = \"mine\"")).unwrap();
    let message = installation.refusal();
    assert!(
        message
            .contains("b.toml:2: binding `b`: self-test cases/b.toml:1: case `anybody` does not"),
        "{message}"
    );
    assert!(message.contains("- deny = \"mine\"; + allow = {}"), "{message}");
    fs::write(installation.policies().join("cases/b.toml"), cases("allow = {}")).unwrap();
    let host = installation.open().unwrap();

    // A running host keeps what it has.
    let denies = Guest { evaluate: DENY, version: "1.0.0", ..Guest::default() }.component();
    installation.bind_access("b", &denies, "self_test = \"cases/b.toml\"");
    let message = host.reload().unwrap_err().to_string();
    assert!(message.contains("- allow = {}; + deny = \"mine\""), "{message}");
    assert_ne!(host.in_force()[0].digest, Digest::of(&denies).to_string());
}

struct Signer {
    pair: EcdsaKeyPair,
    key: SignerKey,
}

impl Signer {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = SignerKey { spki: spki.as_ref().to_vec() };
        Self { pair, key }
    }

    fn sign(&self, installation: &Installation, wasm: &[u8]) {
        let digest = Digest::of(wasm);
        let message = PolicySignature::message(&digest);
        let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
        let signature = PolicySignature::new(&digest, "ecdsa-p256", &self.key, signature.as_ref());
        let text = serde_json::to_vec(&signature).unwrap();
        fs::write(installation.policies().join("plugins/b.wasm.sig"), text).unwrap();
    }

    fn required(&self) -> Signers {
        Signers::from([(TenantId::default_tenant(), vec![self.key.clone()])])
    }
}

fn bind_signed(installation: &Installation, wasm: &[u8], more: &str) {
    installation.bind_access("b", wasm, more);
    let document = installation.policies().join("b.toml");
    let text = fs::read_to_string(&document).unwrap();
    let text = text.replace("digest =", "signature = \"plugins/b.wasm.sig\", digest =");
    fs::write(document, text).unwrap();
}

fn open(installation: &Installation, signers: Signers) -> Result<PolicyHost, String> {
    let config = PolicyConfig { signers, ..installation.config() };
    PolicyHost::open(config).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_tenant_that_takes_signed_policies_gets_no_others() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let installation = Installation::new();
    let wasm = versioned("1.0.0");
    installation.bind_access("b", &wasm, "");
    let refused = || open(&installation, signer.required()).err().unwrap();
    assert!(refused().contains("`default` takes signed policies only: name the signature's file"));
    bind_signed(&installation, &wasm, "");
    assert!(refused().contains("b.wasm.sig"), "there is none yet");
    stranger.sign(&installation, &wasm);
    assert!(refused().contains("which is none of the accepted ones"));
    signer.sign(&installation, &versioned("2.0.0"));
    assert!(refused().contains("the signature is over sha256:"));
    signer.sign(&installation, &wasm);
    let host = open(&installation, signer.required()).unwrap();
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());

    // Whom to believe can change with a reload, and does not if the set is refused.
    let message = host.reload_with_signers(stranger.required()).unwrap_err().to_string();
    assert!(message.contains("none of the accepted ones"), "{message}");
    host.reload().unwrap();
    stranger.sign(&installation, &wasm);
    assert!(host.reload().is_err());
    host.reload_with_signers(stranger.required()).unwrap();
    host.reload().unwrap();
}

#[test]
fn a_binding_that_no_such_tenant_meets_needs_no_signature() {
    let installation = Installation::new();
    installation.bind_access("b", &versioned("1.0.0"), "match = { tenants = [\"other\"] }");
    open(&installation, Signer::new().required()).unwrap();
}
