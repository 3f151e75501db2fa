//! Batches: a result for each input, whatever came of the others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture};

async fn with_keys() -> Fixture {
    let f = Fixture::new();
    for (name, kind) in [("aes", "aes256-gcm96"), ("ec", "ecdsa-p256"), ("mac", "hmac")] {
        f.admin_sends("POST", &format!("/v1/transit/keys/{name}"), json!({"type": kind}))
            .await
            .data();
    }
    f
}

async fn send(f: &Fixture, what: &str, body: Value) -> Answer {
    f.admin_sends("POST", &format!("/v1/transit/{what}"), body).await
}

fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

/// The results, with the status that the answer must have.
fn results(answer: &Answer, status: u16) -> Vec<Value> {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.json()["data"]["batch_results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn encryption_and_decryption_give_a_result_for_each_and_400_if_one_fails() {
    let f = with_keys().await;
    let good = json!({"plaintext": base64("hello"), "reference": "good"});
    let bad = json!({"plaintext": "!", "reference": 7});
    let made = send(&f, "encrypt/aes", json!({"batch_input": [good, bad, {}]})).await;
    let made = results(&made, 400);
    assert_eq!(made.len(), 3);
    let ciphertext = made[0]["ciphertext"].clone();
    assert_eq!((&made[0]["reference"], &made[0]["key_version"]), (&json!("good"), &json!(1)));
    assert_eq!(
        made[1],
        json!({"error": "plaintext must be base64 (RFC 4648 section 4)", "reference": "7"})
    );
    assert_eq!(made[2], json!({"error": "plaintext is missing", "reference": ""}));

    let changed = json!({"ciphertext": "vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="});
    let inputs = json!([{"ciphertext": ciphertext}, changed, {"ciphertext": "vault:v9:AAAA"}, {"ciphertext": "x"}]);
    let opened = results(&send(&f, "decrypt/aes", json!({"batch_input": inputs})).await, 400);
    assert_eq!(opened[0], json!({"plaintext": base64("hello"), "reference": ""}));
    for (result, said) in opened[1..].iter().zip(["does not open", "version 9", "vault:v1:"]) {
        assert!(result["error"].as_str().unwrap().contains(said), "{result}");
    }
    // All of them fine.
    let all = json!({"batch_input": [{"ciphertext": ciphertext}]});
    assert_eq!(results(&send(&f, "decrypt/aes", all).await, 200).len(), 1);
}

#[tokio::test]
async fn a_batch_of_which_all_fail_has_its_results_too() {
    let f = with_keys().await;
    for (what, input) in [
        ("encrypt/aes", json!({"plaintext": "!"})),
        ("decrypt/aes", json!({"ciphertext": "vault:v1:AAAA"})),
        ("decrypt/aes", json!({"ciphertext": "x"})),
    ] {
        for count in [1, 3] {
            let body = json!({"batch_input": vec![input.clone(); count]});
            let failed = results(&send(&f, what, body).await, 400);
            assert_eq!(failed.len(), count, "{what}");
            assert!(failed.iter().all(|result| result["error"].is_string()), "{what}: {failed:?}");
        }
    }
    // As Vault has it, the status of these does not tell.
    for (what, input) in [
        ("rewrap/aes", json!({"ciphertext": "vault:v1:AAAA"})),
        ("sign/ec", json!({"input": "!"})),
        ("hmac/mac", json!({"input": "!"})),
        ("verify/ec", json!({"input": "", "signature": "x"})),
        ("verify/mac", json!({"input": "", "hmac": "vault:v7:AAAA"})),
    ] {
        let body = json!({"batch_input": [input, input]});
        let failed = results(&send(&f, what, body).await, 200);
        assert_eq!(failed.len(), 2, "{what}");
        assert!(failed.iter().all(|result| result["error"].is_string()), "{what}: {failed:?}");
        if what.starts_with("verify") {
            assert!(failed.iter().all(|result| result["valid"] == json!(false)), "{failed:?}");
        }
    }
}

#[tokio::test]
async fn signatures_and_macs_stand_beside_the_errors_of_others() {
    let f = with_keys().await;
    let inputs =
        json!([{"input": base64("a"), "reference": "a"}, {"input": "!"}, {"input": base64("b")}]);
    for (make, verify, member) in
        [("sign/ec", "verify/ec", "signature"), ("hmac/mac", "verify/mac", "hmac")]
    {
        let made = results(&send(&f, make, json!({"batch_input": inputs})).await, 200);
        assert!(made[0][member].is_string() && made[2][member].is_string(), "{made:?}");
        assert_eq!((&made[0]["reference"], made[1]["error"].is_string()), (&json!("a"), true));
        let checked = json!([
            {"input": base64("a"), member: made[0][member]},
            {"input": base64("a"), member: made[2][member]},
            {"input": base64("a")},
            {"input": "!", member: made[0][member]},
        ]);
        let checked = results(&send(&f, verify, json!({"batch_input": checked})).await, 200);
        let valid: Vec<_> = checked.iter().map(|result| result["valid"].clone()).collect();
        assert_eq!(valid, [json!(true), json!(false), json!(false), json!(false)], "{verify}");
        let failed: Vec<_> = checked.iter().map(|result| result["error"].is_string()).collect();
        assert_eq!(failed, [false, false, true, true], "{verify}");
    }
}

#[tokio::test]
async fn a_client_may_choose_the_status_of_partial_failures() {
    let f = with_keys().await;
    let with = |code: Value, inputs: Value| json!({"partial_failure_response_code": code, "batch_input": inputs});
    let mixed = json!([{"plaintext": ""}, {"plaintext": "!"}]);
    for (code, status) in
        [(json!(207), 207), (json!("200"), 200), (json!(0), 400), (json!(null), 400)]
    {
        results(&send(&f, "encrypt/aes", with(code, mixed.clone())).await, status);
    }
    // Not of a whole failure.
    results(&send(&f, "encrypt/aes", with(json!(200), json!([{"plaintext": "!"}]))).await, 400);
    for bad in [json!(99), json!(600), json!("x")] {
        send(&f, "encrypt/aes", with(bad, mixed.clone())).await.errors(400);
    }
}

#[tokio::test]
async fn each_input_may_ask_for_a_version_of_the_key() {
    let f = with_keys().await;
    send(&f, "keys/aes/rotate", json!({})).await.data();
    let input = |version: Value| json!({"plaintext": "", "key_version": version});
    let inputs = json!([input(json!(1)), input(json!("2")), input(json!(0)), input(json!(9))]);
    let made = results(&send(&f, "encrypt/aes", json!({"batch_input": inputs})).await, 400);
    let versions: Vec<_> = made.iter().map(|result| result["key_version"].clone()).collect();
    assert_eq!(versions, [json!(1), json!(2), json!(2), json!(null)]);
    assert!(made[3]["error"].as_str().unwrap().contains("version 9"), "{made:?}");
    let old = json!([{"ciphertext": made[0]["ciphertext"], "key_version": 1}, {"ciphertext": made[0]["ciphertext"]}]);
    let anew = results(&send(&f, "rewrap/aes", json!({"batch_input": old})).await, 200);
    assert_eq!((&anew[0]["key_version"], &anew[1]["key_version"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole_and_so_is_a_key_that_is_not_there() {
    let f = with_keys().await;
    for bad in [json!([]), json!("x"), json!({"plaintext": ""}), json!(["x"]), json!([null])] {
        send(&f, "encrypt/aes", json!({"batch_input": bad})).await.errors(400);
    }
    let many = json!({"batch_input": vec![json!({"plaintext": ""}); 1001]});
    assert!(send(&f, "encrypt/aes", many).await.errors(400).contains("more than 1000"));
    for inputs in [json!([{"plaintext": ""}]), json!([{"plaintext": "!"}])] {
        let missing = send(&f, "encrypt/none", json!({"batch_input": inputs})).await;
        assert_eq!(missing.errors(400), "encryption key not found");
    }
    // A request that is no batch fails as one.
    let single = send(&f, "encrypt/aes", json!({"plaintext": "!"})).await;
    assert_eq!(single.errors(400), "plaintext must be base64 (RFC 4648 section 4)");
}

#[tokio::test]
async fn the_audit_log_counts_what_failed() {
    let f = with_keys().await;
    let inputs = json!([{"ciphertext": "vault:v1:AAAA"}, {"ciphertext": "vault:v1:AAAA"}]);
    send(&f, "decrypt/aes", json!({"batch_input": inputs})).await;
    let line = f.sink.lines().pop().unwrap();
    assert_eq!(line["outcome"], json!({"result": "failed", "code": "unauthentic"}), "{line}");
    assert_eq!((&line["details"]["count"], &line["details"]["failed"]), (&json!(2), &json!(2)));
}
