//! What a set has to pass before it comes into force.

use std::fs;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use chancery_files::Trusted;
use chancery_identity::TenantId;
use chancery_policy::{
    Digest, DocumentSignatures, KeySignature, Known, PolicyConfig, PolicyHost, PolicySignature,
    SIGNATURES, SignerKey, Signers, documents, roll_back,
};

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

    /// Signs the documents as they are now.
    fn sign(&self, installation: &Installation) {
        let directory = installation.policies();
        let list = documents(&directory, &Trusted::process(), None).unwrap();
        let signature = self.one(&DocumentSignatures::message(&list).unwrap());
        let text = serde_json::to_vec(&DocumentSignatures::default().with(list, signature));
        fs::write(directory.join(SIGNATURES), text.unwrap()).unwrap();
    }

    fn one(&self, message: &[u8]) -> KeySignature {
        let signature = self.pair.sign(&SystemRandom::new(), message).unwrap();
        KeySignature::new("ecdsa-p256", &self.key, signature.as_ref())
    }

    fn required(&self) -> Signers {
        Signers::from([(TenantId::default_tenant(), vec![self.key.clone()])])
    }
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
    let command = format!("policy sign {} --key", installation.policies().display());
    let none = refused();
    assert!(none.contains("`default` takes signed policies only: there is no documents.sig"));
    assert!(none.contains(&command), "{none}");
    stranger.sign(&installation);
    assert!(refused().contains("no list of documents is signed by an accepted key (but by "));
    signer.sign(&installation);
    let host = open(&installation, signer.required()).unwrap();
    assert!(host.decide_access(&request("o", "r")).await.decision.is_ok());

    // Whom to believe can change with a reload, and does not if the set is refused.
    let message = host.reload_with(stranger.required(), Known::ANYTHING).unwrap_err().to_string();
    assert!(message.contains("signed by an accepted key"), "{message}");
    host.reload().unwrap();
    stranger.sign(&installation);
    assert!(host.reload().is_err());
    host.reload_with(stranger.required(), Known::ANYTHING).unwrap();
    host.reload().unwrap();
}

/// The same component decides otherwise with other settings, and nothing at all with another `match`.
#[test]
fn a_signature_covers_all_that_a_document_says() {
    let signer = Signer::new();
    let installation = Installation::new();
    let wasm = versioned("1.0.0");
    installation.bind_access("b", &wasm, "match = { operations = [\"read\"] }");
    signer.sign(&installation);
    open(&installation, signer.required()).unwrap();
    for more in [
        "match = { operations = [\"write\"] }",
        "match = { operations = [\"read\"] }\nmode = \"monitor\"",
        "match = { operations = [\"read\"] }\nlimits = { deadline_ms = 1 }",
        "match = { operations = [\"read\"] }\n[binding.settings]\nallow = \"all\"",
        "match = { operations = [\"read\"] }\n# nothing but a word",
    ] {
        installation.bind_access("b", &wasm, more);
        let refused = open(&installation, signer.required()).err().unwrap();
        assert!(refused.contains("b.toml is not as it was signed"), "{more}: {refused}");
    }
    installation.bind_access("b", &versioned("2.0.0"), "match = { operations = [\"read\"] }");
    assert!(open(&installation, signer.required()).is_err());
}

#[test]
fn a_signature_over_the_component_is_not_enough_any_more() {
    let signer = Signer::new();
    let installation = Installation::new();
    let wasm = versioned("1.0.0");
    installation.bind_access("b", &wasm, "");
    let digest = Digest::of(&wasm);
    let one = signer.one(&PolicySignature::message(&digest));
    let old = PolicySignature {
        digest: digest.to_string(),
        algorithm: one.algorithm,
        key: one.key,
        signature: one.signature,
    };
    let old = serde_json::to_vec(&old).unwrap();
    fs::write(installation.policies().join("plugins/b.wasm.sig"), &old).unwrap();
    let document = installation.policies().join("b.toml");
    let text = fs::read_to_string(&document).unwrap();
    let text = text.replace("digest =", "signature = \"plugins/b.wasm.sig\", digest =");
    fs::write(&document, text).unwrap();
    let refused = || open(&installation, signer.required()).err().unwrap();
    let message = refused();
    assert!(message.contains("`plugin.signature` covers the component only"), "{message}");
    assert!(message.contains("chancery policy sign"), "{message}");
    // Nor in the place of one over the documents.
    fs::write(installation.policies().join(SIGNATURES), old).unwrap();
    assert!(refused().contains("the signature cannot be read: documents.sig"));
    signer.sign(&installation);
    open(&installation, signer.required()).unwrap();
    // Where no signatures are wanted, a document from before is taken as it is.
    fs::remove_file(installation.policies().join(SIGNATURES)).unwrap();
    open(&installation, Signers::new()).unwrap();
}

/// One that is taken away forbids nothing any more, and one that is added allows more.
#[test]
fn a_document_that_is_added_or_removed_is_noticed() {
    let signer = Signer::new();
    let installation = Installation::new();
    installation.bind_access("b", &versioned("1.0.0"), "");
    installation.bind_access("guard", &versioned("1.0.0"), "");
    signer.sign(&installation);
    open(&installation, signer.required()).unwrap();
    let guard = installation.policies().join("guard.toml");
    let (aside, other) = (guard.with_extension("aside"), guard.with_file_name("other.toml"));
    let refused = || open(&installation, signer.required()).err().unwrap();
    fs::rename(&guard, &aside).unwrap();
    assert!(refused().contains("guard.toml was signed, and is not there any more"));
    fs::rename(&aside, &other).unwrap();
    assert!(refused().contains("guard.toml was signed, and is not there any more"));
    fs::rename(&other, &guard).unwrap();
    open(&installation, signer.required()).unwrap();
    installation.bind_access("more", &versioned("1.0.0"), "");
    assert!(refused().contains("more.toml is not among the documents that were signed"));
    // What is signed is told, and what is meant is signed again.
    signer.sign(&installation);
    open(&installation, signer.required()).unwrap();
}

#[tokio::test]
async fn a_set_that_is_put_back_has_its_signatures() {
    let signer = Signer::new();
    let installation = Installation::new();
    let history = installation.policies().with_file_name("history");
    let config = PolicyConfig {
        signers: signer.required(),
        history: Some(history),
        ..installation.config()
    };
    installation.bind_access("b", &versioned("1.0.0"), "match = { operations = [\"a\"] }");
    signer.sign(&installation);
    let host = PolicyHost::open(config.clone()).unwrap();
    installation.bind_access("b", &versioned("1.0.0"), "match = { operations = [\"b\"] }");
    installation.bind_access("more", &versioned("1.0.0"), "");
    signer.sign(&installation);
    host.reload().unwrap();
    roll_back(&config, None).unwrap();
    host.reload().unwrap();
    assert_eq!(host.in_force().len(), 1);
    assert!(host.decide_access(&request("a", "r")).await.decision.is_ok());
}

/// A group decides what becomes of the answers of its members, and takes the decision from them.
#[test]
fn who_makes_a_group_of_signed_bindings_has_to_sign_too() {
    let signer = Signer::new();
    let installation = Installation::new();
    installation.bind_access("b", &versioned("1.0.0"), "match = { tenants = [\"default\"] }");
    signer.sign(&installation);
    installation.bind_access("other", &versioned("1.0.0"), "match = { tenants = [\"other\"] }");
    open(&installation, signer.required()).unwrap();
    let group = |tenant: &str| {
        let text = format!(
            "[[group]]\nname = \"g\"\ndecision = \"access\"\nmatch = {{ tenants = [\"{tenant}\"] }}\n\
             any = [\"b\", \"other\"]\n"
        );
        installation.document("group.toml", &text);
    };
    for tenant in ["default", "other"] {
        group(tenant);
        let refused = open(&installation, signer.required()).err().unwrap();
        assert!(refused.contains("group.toml"), "{tenant}: {refused}");
    }
}

#[test]
fn a_binding_that_no_such_tenant_meets_needs_no_signature() {
    let installation = Installation::new();
    installation.bind_access("b", &versioned("1.0.0"), "match = { tenants = [\"other\"] }");
    open(&installation, Signer::new().required()).unwrap();
}

/// Who takes all of a tenant's documents away allows nothing, and is to be seen all the same.
#[test]
fn a_tenant_whose_signed_documents_are_all_gone_is_named() {
    let signer = Signer::new();
    let installation = Installation::new();
    installation.bind_access("b", &versioned("1.0.0"), "match = { tenants = [\"default\"] }");
    installation.bind_access("other", &versioned("1.0.0"), "match = { tenants = [\"other\"] }");
    signer.sign(&installation);
    let host = open(&installation, signer.required()).unwrap();
    assert_eq!(host.summary().unasked, []);
    fs::remove_file(installation.policies().join("b.toml")).unwrap();
    let summary = host.reload().unwrap();
    let [unasked] = &summary.unasked[..] else { panic!("{:?}", summary.unasked) };
    let said = unasked.to_string();
    assert!(said.contains("the tenant `default`") && said.ends_with("any more: b.toml"), "{said}");
    // Of a tenant that never had one, nothing is gone.
    let stranger = host.reload_with(Signer::new().required(), Known::ANYTHING).unwrap();
    assert!(stranger.unasked[0].gone.is_empty(), "{:?}", stranger.unasked);
    assert_eq!(host.summary().unasked, stranger.unasked);
}
