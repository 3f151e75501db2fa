//! What is wrong with a request is said in the words of JSON and of the API, and never in those of this program or its
//! libraries.

use crate::fixture::{Answer, Fixture};
use crate::strange;

/// What only programmers of this one know, beside what no API says.
const STRANGE: [&str; 3] = ["Path {", "no handler", "RawValue"];

/// Paths with the members that their requests may have.
const WRITES: &[(&str, &[&str])] = &[
    ("auth/cert/login", &["name"]),
    ("auth/token/renew-self", &["increment"]),
    ("auth/token/lookup-accessor", &["accessor"]),
    ("auth/token/revoke-accessor", &["accessor"]),
    ("auth/token/revoke-identity", &["identity"]),
    ("sys/groups/g", &["members", "description"]),
    ("sys/data-sets/d", &["entries", "description"]),
    ("sys/policy-set/rollback", &["digest", "set"]),
    ("secret/config", &["max_versions", "cas_required", "delete_version_after"]),
    ("secret/data/app/db", &["data", "options"]),
    ("secret/delete/app/db", &["versions"]),
    ("secret/undelete/app/db", &["versions"]),
    ("secret/destroy/app/db", &["versions"]),
    (
        "secret/metadata/app/db",
        &["custom_metadata", "max_versions", "cas_required", "delete_version_after"],
    ),
    ("pki/revoke", &["serial_number", "certificate", "reason"]),
    ("pki/revoke-matching", &["name", "domain", "reason", "before"]),
    ("pki/sign/tls-server", &["csr", "common_name", "alt_names", "ttl", "ip_sans", "format"]),
    (
        "ssh/sign/user",
        &["public_key", "valid_principals", "ttl", "extensions", "critical_options", "cert_type"],
    ),
    ("transit/keys/k", &["type", "exportable", "auto_rotate_period", "derived"]),
    (
        "transit/keys/k/config",
        &["deletion_allowed", "min_decryption_version", "auto_rotate_period"],
    ),
    ("transit/keys/k/import", &["ciphertext", "type", "hash_function"]),
    ("transit/encrypt/k", &["plaintext", "batch_input", "key_version", "context"]),
    ("transit/decrypt/k", &["ciphertext", "batch_input"]),
    ("transit/rewrap/k", &["ciphertext", "batch_input"]),
    ("transit/datakey/plaintext/k", &["bits"]),
    ("transit/sign/k", &["input", "batch_input", "prehashed", "hash_algorithm", "salt_length"]),
    ("transit/verify/k", &["input", "signature", "batch_input", "salt_length"]),
    ("transit/hmac/k", &["input", "batch_input", "key_version"]),
    ("transit/restore/k", &["backup", "force"]),
];

const WRONG: [&str; 8] = [
    "true",
    "-1.5",
    "99999999999999999999",
    "\"text\"",
    "[7]",
    "[[\"hunter2\"]]",
    "{\"hunter2\":[1]}",
    "[{\"input\":7}]",
];

const READS: [&str; 12] = [
    "secret/data/app/db?version=x",
    "secret/data/app/db?version=-1",
    "secret/data/app/%ff",
    "secret/subkeys/app/db?depth=x",
    "secret/metadata/?list=true&limit=x",
    "pki/certs?list=true&limit=x&expires_before=x",
    "pki/cert/%ff",
    "sys/health?standbycode=x",
    "sys/groups/%ff",
    "transit/keys/%ff",
    "none/x",
    "secret/none",
];

fn assert_plain(answer: &Answer, about: &str) {
    if answer.status < 400 {
        return;
    }
    strange::assert_plain(&answer.text, about, &STRANGE);
    assert_ne!(answer.status, 500, "{about}: {}", answer.text);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_plain_english() {
    let f = Fixture::new();
    for (path, members) in WRITES {
        let uri = format!("/v1/{path}");
        for body in WRONG.into_iter().chain(["{", "{\"a\":}", "\u{0}", "{\"a\":1,\"a\":2}"]) {
            let answer = f.call("root", "POST", &uri).body(body).send().await;
            assert_plain(&answer, &format!("{path} {body}"));
        }
        for (member, value) in members.iter().flat_map(|member| WRONG.map(|value| (member, value)))
        {
            let body = format!("{{\"{member}\":{value}}}");
            for method in ["POST", "PATCH"] {
                let call = f
                    .call("root", method, &uri)
                    .header("content-type", "application/merge-patch+json");
                let answer = call.body(body.as_str()).send().await;
                assert_plain(&answer, &format!("{method} {path} {body}"));
            }
        }
    }
    for path in READS {
        for method in ["GET", "LIST", "DELETE", "TRACE"] {
            let answer = f.call("root", method, &format!("/v1/{path}")).send().await;
            assert_plain(&answer, &format!("{method} {path}"));
        }
    }
}
