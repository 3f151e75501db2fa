//! Keys for their life: by the gateway's own commands, by hvac, in the HSM, and as others check them.

use std::path::PathBuf;
use std::process::Command;

use chancery_integration::clients::hvac;
use chancery_integration::gateway::{Gateway, Options, chancery};
use chancery_integration::hsm::Token;
use chancery_integration::lint::openssl;
use chancery_integration::process::{self, Outcome};
use chancery_integration::site::Site;
use serde_json::{Value, json};

/// Runs `chancery keys …` as the administrator.
fn keys(gateway: &Gateway, arguments: &[&str]) -> Outcome {
    gateway.administer(&[&["keys"], arguments].concat())
}

fn shown(gateway: &Gateway, name: &str) -> Value {
    let said = keys(gateway, &["show", name, "--output", "json"]).success();
    serde_json::from_str(&said.stdout).expect("a key in JSON")
}

/// Runs `chancery keys …` as the application, with this on standard input.
fn as_app(gateway: &Gateway, arguments: &[&str], input: &str) -> Outcome {
    let mut command = gateway.command_of_app(&[&["keys"], arguments].concat());
    process::run_with_input(&mut command, input.as_bytes())
}

#[test]
fn a_key_lives_from_its_making_to_its_destruction_by_command() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    assert_eq!(keys(&gateway, &["list"]).success().stdout.trim(), "");
    drop(keys(&gateway, &["create", "app-orders", "--rotate-every", "720h"]).success());
    drop(keys(&gateway, &["create", "app-tokens", "--type", "ecdsa-p384"]).success());
    let listed = keys(&gateway, &["list"]).success();
    assert_eq!(listed.stdout, "app-orders\napp-tokens\n");
    assert!(shown(&gateway, "app-orders")["next_rotation_time"].is_string());

    let bound = ["--associated-data", "order 7"];
    let encrypt = [&["encrypt", "app-orders"], &bound[..]].concat();
    let first = as_app(&gateway, &encrypt, "hunter2").success().stdout;
    assert!(first.starts_with("vault:v1:"), "{first}");
    drop(keys(&gateway, &["rotate", "app-orders"]).success());
    let second = as_app(&gateway, &encrypt, "hunter3").success().stdout;
    assert!(second.starts_with("vault:v2:"), "{second}");
    let decrypt = [&["decrypt", "app-orders"], &bound[..]].concat();
    assert_eq!(as_app(&gateway, &decrypt, &first).success().stdout, "hunter2");
    let elsewhere = as_app(&gateway, &["decrypt", "app-orders"], &first).failure();
    assert!(elsewhere.stderr.contains("does not open"), "{elsewhere}");
    // The administrator makes keys and does not use them.
    let refused = keys(&gateway, &["sign", "app-tokens", "/dev/null"]).failure();
    assert!(refused.stderr.contains("permission denied"), "{refused}");

    let file = site.write("order", "pay 100").display().to_string();
    let signature = as_app(&gateway, &["sign", "app-tokens", &file], "").success().stdout;
    let verify = ["verify", "app-tokens", &file, "--signature", signature.trim()];
    assert_eq!(as_app(&gateway, &verify, "").success().stdout, "the signature is good\n");
    drop(site.write("order", "pay 900"));
    assert!(as_app(&gateway, &verify, "").failure().stdout.contains("NOT"));

    let withdraw = ["configure", "app-orders", "--min-decryption-version", "2"];
    drop(keys(&gateway, &withdraw).success());
    let withdrawn = as_app(&gateway, &decrypt, &first).failure();
    assert!(withdrawn.stderr.contains("before min_decryption_version"), "{withdrawn}");
    drop(keys(&gateway, &["trim", "app-orders", "--before", "2"]).success());
    assert_eq!(shown(&gateway, "app-orders")["min_available_version"], 2);
    drop(keys(&gateway, &["disable", "app-orders"]).success());
    let disabled = as_app(&gateway, &decrypt, &second).failure();
    assert!(disabled.stderr.contains("disabled"), "{disabled}");
    drop(keys(&gateway, &["enable", "app-orders"]).success());
    assert_eq!(as_app(&gateway, &decrypt, &second).success().stdout, "hunter3");

    // Backed up, destroyed, and back.
    let backup = site.file("backup").display().to_string();
    drop(keys(&gateway, &["backup", "app-orders", "--out", &backup]).success());
    let refused = keys(&gateway, &["delete", "app-orders"]).failure();
    assert!(refused.stderr.contains("deletion_allowed"), "{refused}");
    drop(keys(&gateway, &["configure", "app-orders", "--deletion-allowed"]).success());
    drop(keys(&gateway, &["delete", "app-orders"]).success());
    let deleted = keys(&gateway, &["show", "app-orders"]).success();
    assert!(deleted.stdout.contains("destroyed at "), "{deleted}");
    drop(keys(&gateway, &["purge", "app-orders"]).success());
    drop(keys(&gateway, &["show", "app-orders"]).failure());
    drop(keys(&gateway, &["restore", "app-orders", &backup]).success());
    assert_eq!(as_app(&gateway, &decrypt, &second).success().stdout, "hunter3");

    // After a restart all is as before, and nothing of it was ever in the clear.
    let gateway = gateway.kill_and_restart();
    assert_eq!(as_app(&gateway, &decrypt, &second).success().stdout, "hunter3");
    let audit = std::fs::read_to_string(gateway.audit_file()).expect("the audit log");
    assert!(!audit.contains("hunter") && !gateway.log().contains("hunter"));
    let operations: Vec<_> = gateway
        .audit()
        .iter()
        .filter(|line| line["resource"] == "transit/app-orders")
        .map(|line| line["operation"].as_str().unwrap_or_default().to_owned())
        .collect();
    for expected in ["keys.create", "crypto.encrypt", "keys.rotate", "crypto.decrypt", "keys.purge"]
    {
        assert!(operations.iter().any(|one| one == expected), "{expected} in {operations:?}");
    }
}

#[test]
fn hvac_works_with_keys_unchanged() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let program = r"
import base64
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
b64 = lambda text: base64.b64encode(text.encode()).decode()
admin = connect('ADMIN').secrets.transit
app = client.secrets.transit
admin.create_key('app-orders')
admin.create_key('app-orders')  # again is no error
admin.create_key('app-ec', key_type='ecdsa-p256')
admin.create_key('app-rsa', key_type='rsa-2048')
connect('ADMIN').adapter.post('/v1/transit/keys/app-mac', json={'type': 'hmac'})
assert sorted(admin.list_keys()['data']['keys']) == ['app-ec', 'app-mac', 'app-orders', 'app-rsa']

made = app.encrypt_data('app-orders', plaintext=b64('one'))['data']
assert made['key_version'] == 1
assert base64.b64decode(app.decrypt_data('app-orders', made['ciphertext'])['data']['plaintext']) == b'one'
admin.rotate_key('app-orders')
anew = app.rewrap_data('app-orders', made['ciphertext'])['data']['ciphertext']
assert anew.startswith('vault:v2:')
batch = [{'plaintext': b64('a')}, {'plaintext': b64('b')}]
results = app.encrypt_data('app-orders', batch_input=batch)['data']['batch_results']
batch = [{'ciphertext': results[0]['ciphertext']}, {'ciphertext': results[1]['ciphertext']}]
opened = app.decrypt_data('app-orders', batch_input=batch, ciphertext='')['data']['batch_results']
assert [base64.b64decode(one['plaintext']) for one in opened] == [b'a', b'b']
data_key = app.generate_data_key('app-orders', key_type='plaintext', bits=256)['data']
opened = app.decrypt_data('app-orders', data_key['ciphertext'])['data']['plaintext']
assert opened == data_key['plaintext'] and len(base64.b64decode(opened)) == 32
assert 'plaintext' not in app.generate_data_key('app-orders', key_type='wrapped')['data']

# An independent library verifies what was signed with the public keys that are shown.
key = app.read_key('app-ec')['data']
assert key['supports_signing'] and not key['supports_encryption']
public = serialization.load_pem_public_key(key['keys']['1']['public_key'].encode())
signed = app.sign_data('app-ec', hash_input=b64('message'), hash_algorithm='sha2-256')['data']
signature = base64.b64decode(signed['signature'].split(':')[2])
public.verify(signature, b'message', ec.ECDSA(hashes.SHA256()))
verified = app.verify_signed_data('app-ec', b64('message'), signature=signed['signature'])
assert verified['data']['valid'] is True
verified = app.verify_signed_data('app-ec', b64('massage'), signature=signed['signature'])
assert verified['data']['valid'] is False
public = serialization.load_pem_public_key(app.read_key('app-rsa')['data']['keys']['1']['public_key'].encode())
signed = app.sign_data('app-rsa', hash_input=b64('message'))['data']['signature']
pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
public.verify(base64.b64decode(signed.split(':')[2]), b'message', pss, hashes.SHA256())
signed = app.sign_data('app-rsa', hash_input=b64('message'), signature_algorithm='pkcs1v15')['data']['signature']
public.verify(base64.b64decode(signed.split(':')[2]), b'message', padding.PKCS1v15(), hashes.SHA256())
oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
elsewhere = 'vault:v1:' + base64.b64encode(public.encrypt(b'to you', oaep)).decode()
assert base64.b64decode(app.decrypt_data('app-rsa', elsewhere)['data']['plaintext']) == b'to you'
mac = app.generate_hmac('app-mac', hash_input=b64('message'), algorithm='sha2-256')['data']['hmac']
assert app.verify_signed_data('app-mac', b64('message'), hmac=mac)['data']['valid'] is True

admin.update_key_configuration('app-orders', min_decryption_version=2, deletion_allowed=True)
try:
    app.decrypt_data('app-orders', made['ciphertext'])
    raise SystemExit('an old version decrypts')
except hvac.exceptions.InvalidRequest as error:
    assert 'min_decryption_version' in str(error), error
for refused in [
    lambda: admin.create_key('app-derived', derived=True),
    lambda: app.encrypt_data('app-orders', plaintext='not base64!'),
    lambda: app.encrypt_data('app-nothing', plaintext=b64('x')),
    lambda: app.sign_data('app-ec', hash_input=b64('x'), hash_algorithm='sha2-512'),
    lambda: app.sign_data('app-ec', hash_input=b64('x'), prehashed=True),
    lambda: app.decrypt_data('app-orders', 'vault:v2:AAAA'),
]:
    try:
        refused()
        raise SystemExit('not refused')
    except hvac.exceptions.InvalidRequest:
        pass
for forbidden in [
    lambda: app.encrypt_data('web-orders', plaintext=b64('x')),
    lambda: app.delete_key('app-orders'),
    lambda: connect('ADMIN').secrets.transit.decrypt_data('app-orders', anew),
]:
    try:
        forbidden()
        raise SystemExit('not forbidden')
    except hvac.exceptions.Forbidden:
        pass
admin.trim_key('app-orders', min_version=2)
backup = admin.backup_key('app-orders')['data']['backup']
admin.restore_key(backup, name='app-copy')
assert base64.b64decode(app.decrypt_data('app-copy', anew)['data']['plaintext']) == b'one'
admin.delete_key('app-orders')
assert admin.read_key('app-orders')['data']['state'] == 'deleted'
print('all good')
";
    let said = hvac::python(gateway.ready(), program).success();
    assert!(said.stdout.contains("all good"), "{said}");
}

#[test]
fn of_several_inputs_each_has_its_own_result() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    drop(keys(&gateway, &["create", "app-orders"]).success());
    let app = gateway.app();
    let send = |target: &str, body: &Value| app.post(&format!("/v1/transit/{target}"), body);
    let inputs = json!({"batch_input": [
        {"plaintext": "b25l", "reference": "first"},
        {"plaintext": "dHdv"},
    ]});
    let made = send("encrypt/app-orders", &inputs).expect(200).json();
    let made = &made["data"]["batch_results"];
    assert_eq!(made[0]["reference"], "first");
    assert!(made[1]["reference"] == "" && made[1]["key_version"] == 1, "{made}");
    let inputs = json!({"batch_input": [
        {"ciphertext": "vault:v1:AAAA", "reference": "broken"},
        {"ciphertext": made[1]["ciphertext"]},
    ]});
    let opened = send("decrypt/app-orders", &inputs).expect(400).json();
    let opened = &opened["data"]["batch_results"];
    assert_eq!(opened[0]["reference"], "broken");
    let error = opened[0]["error"].as_str().expect("an error");
    assert!(error.contains("does not open"), "{error}");
    assert_eq!(opened[1]["plaintext"], "dHdv");
    for (refused, said) in [
        (json!({"batch_input": []}), "batch_input is empty"),
        (json!({"batch_input": [{"plaintext": "b25l", "context": "AA=="}]}), "context is not"),
        (json!({"batch_input": [{"plaintext": "b25l", "reference": []}]}), "reference must be"),
        (json!({"plaintext": "b25l", "key_version": 2}), "version 2 of the key is not there"),
        (json!({}), "plaintext is missing"),
    ] {
        let answer = send("encrypt/app-orders", &refused).expect(400).text();
        assert!(answer.contains(said), "{answer}");
    }
}

/// A key of openssl's making: a private key in PKCS#8, and its public half.
fn openssl_key(site: &Site, name: &str, arguments: &[&str]) -> (PathBuf, PathBuf) {
    let (key, public) = (site.file(&format!("{name}.key")), site.file(&format!("{name}.pub")));
    let key_text = key.display().to_string();
    let make = [&["genpkey", "-quiet", "-out", &key_text], arguments].concat();
    drop(openssl(&make).success());
    let public_text = public.display().to_string();
    drop(openssl(&["pkey", "-in", &key_text, "-pubout", "-out", &public_text]).success());
    (key, public)
}

#[test]
fn keys_of_others_are_brought_in_wrapped_by_us_and_by_openssl() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let ec = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let (key, public) = openssl_key(&site, "ours", &ec);
    let (key, public) = (key.display().to_string(), public.display().to_string());
    let import = ["import", "app-ours", "--type", "ecdsa-p256", "--key", &key];
    drop(keys(&gateway, &import).success());
    let file = site.write("message", "message").display().to_string();
    let signature = as_app(&gateway, &["sign", "app-ours", &file], "").success().stdout;
    let der = site.file("signature.der").display().to_string();
    let base64 = signature.trim().rsplit(':').next().unwrap_or_default();
    let encoded = site.write("signature.b64", base64).display().to_string();
    drop(openssl(&["base64", "-d", "-A", "-in", &encoded, "-out", &der]).success());
    let verify = ["dgst", "-sha256", "-verify", &public, "-signature", &der, &file];
    drop(openssl(&verify).success().says("Verified OK"));

    // As the manuals of HSMs have it: a random AES key under OAEP, then the key under that.
    let (key, _) = openssl_key(&site, "theirs", &["-algorithm", "ED25519"]);
    let path = |name: &str| site.file(name).display().to_string();
    let key = key.display().to_string();
    let pkcs8 = path("theirs.der");
    let to = site.write("to.pem", keys(&gateway, &["wrapping-key"]).success().stdout);
    let to = to.display().to_string();
    drop(
        openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-outform", "DER", "-out", &pkcs8])
            .success(),
    );
    let between = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let bytes: Vec<u8> = (0..32).collect();
    let aes = site.write("aes", bytes).display().to_string();
    let oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"];
    let encrypt =
        ["pkeyutl", "-encrypt", "-pubin", "-inkey", &to, "-in", &aes, "-out", &path("first")];
    drop(openssl(&[&encrypt[..], &oaep].concat()).success());
    let wrap = ["enc", "-id-aes256-wrap-pad", "-K", between, "-iv", "A65959A6"];
    drop(openssl(&[&wrap[..], &["-in", &pkcs8, "-out", &path("second")]].concat()).success());
    let both = [path("first"), path("second")].map(|part| std::fs::read(part).expect("a file"));
    let wrapped = site.write("wrapped", both.concat()).display().to_string();
    let import = ["import", "app-theirs", "--type", "ed25519", "--wrapped", &wrapped];
    drop(keys(&gateway, &import).success());
    assert_eq!(shown(&gateway, "app-theirs")["imported_key"], true);
    drop(as_app(&gateway, &["sign", "app-theirs", &file], "").success());

    // From one gateway to another; the key is never in the clear between them.
    let other_site = Site::new();
    let other = Gateway::start(&other_site);
    let to = site.write("other.pem", keys(&other, &["wrapping-key"]).success().stdout);
    let to = to.display().to_string();
    drop(keys(&gateway, &["create", "app-moving", "--exportable"]).success());
    let made = as_app(&gateway, &["encrypt", "app-moving"], "moved").success().stdout;
    let import = ["import", "other", "--type", "rsa-4096", "--public-key", &to];
    drop(keys(&gateway, &import).success());
    let out = path("moving");
    drop(keys(&gateway, &["export", "app-moving", "--to", "other", "--out", &out]).success());
    drop(keys(&other, &["import", "app-moving", "--wrapped", &out]).success());
    assert_eq!(as_app(&other, &["decrypt", "app-moving"], &made).success().stdout, "moved");
    // Wrapped on a machine that knows no gateway.
    let secret = site.write("secret", [7; 32]).display().to_string();
    let out = path("offline");
    drop(chancery(&["keys", "wrap", &secret, "--to", &to, "--out", &out]).success());
    drop(keys(&other, &["import", "app-offline", "--wrapped", &out]).success());
    let refused = keys(&gateway, &["import", "app-offline", "--wrapped", &out]).failure();
    assert!(refused.stderr.contains("does not open"), "{refused}");
}

#[test]
fn keys_in_the_hsm_stay_there_for_their_life() {
    let site = Site::new();
    let token = Token::new(&site);
    let gateway = Options::new(&site).token(&token).start();
    let objects = |kind: &str| {
        let said = token.tool(&["--list-objects", "--type", kind]).success().stdout;
        said.lines().filter(|line| line.contains("label:      transit-")).count()
    };
    drop(keys(&gateway, &["create", "app-ec", "--type", "ecdsa-p256", "--hsm"]).success());
    drop(keys(&gateway, &["create", "app-aes", "--hsm", "--deletion-allowed"]).success());
    assert_eq!((objects("privkey"), objects("secrkey")), (1, 1));
    let list = gateway.administer(&["key", "list", "--tokens"]).success();
    let ours = list.stdout.lines().filter(|line| line.contains("transit-"));
    assert!(ours.clone().count() == 2 && ours.clone().all(|line| line.contains("made here")));

    let file = site.write("message", "message").display().to_string();
    let sign = ["sign", "app-ec", &file];
    let first = as_app(&gateway, &sign, "").success().stdout;
    drop(keys(&gateway, &["rotate", "app-ec"]).success());
    let second = as_app(&gateway, &sign, "").success().stdout;
    assert!(first.starts_with("vault:v1:") && second.starts_with("vault:v2:"));
    for signature in [&first, &second] {
        let verify = ["verify", "app-ec", &file, "--signature", signature.trim()];
        drop(as_app(&gateway, &verify, "").success());
    }
    let made = as_app(&gateway, &["encrypt", "app-aes"], "hunter2").success().stdout;
    assert_eq!(as_app(&gateway, &["decrypt", "app-aes"], &made).success().stdout, "hunter2");
    for (command, said) in [
        (&["backup", "app-aes", "--out", "/dev/null"][..], "in the HSM"),
        (&["create", "app-mac", "--type", "hmac", "--hsm"], "in software only"),
        (&["purge", "app-aes"], "delete it first"),
    ] {
        let refused = keys(&gateway, command).failure();
        assert!(refused.stderr.contains(said), "{refused}");
    }

    // RSA decrypts in the token, with the hash that this one has; also what was encrypted elsewhere.
    drop(keys(&gateway, &["create", "app-rsa", "--type", "rsa-2048", "--hsm"]).success());
    let refused = as_app(&gateway, &["encrypt", "app-rsa"], "hunter2").failure();
    assert!(refused.stderr.contains("RSA-OAEP with SHA256"), "{refused}");
    let encrypt = ["encrypt", "app-rsa", "--hash", "SHA1"];
    let decrypt = ["decrypt", "app-rsa", "--hash", "SHA1"];
    let to_rsa = as_app(&gateway, &encrypt, "hunter2").success().stdout;
    assert_eq!(as_app(&gateway, &decrypt, &to_rsa).success().stdout, "hunter2");
    let refused = as_app(&gateway, &["decrypt", "app-rsa"], &to_rsa).failure();
    assert!(refused.stderr.contains("try another hash_function"), "{refused}");
    let public = &shown(&gateway, "app-rsa")["keys"]["1"]["public_key"];
    let public = site.write("rsa.pub", public.as_str().expect("a public key"));
    let plain = site.write("plain", "hunter3").display().to_string();
    let (public, out) = (public.display().to_string(), site.file("out").display().to_string());
    let oaep = ["-pkeyopt", "rsa_padding_mode:oaep", "-in", &plain, "-out", &out];
    drop(
        openssl(&[&["pkeyutl", "-encrypt", "-pubin", "-inkey", &public], &oaep[..]].concat())
            .success(),
    );
    let encoded = openssl(&["base64", "-A", "-in", &out]).success().stdout;
    let elsewhere = format!("vault:v1:{}", encoded.trim());
    assert_eq!(as_app(&gateway, &decrypt, &elsewhere).success().stdout, "hunter3");

    // Brought in, it is where those are that were made there.
    let ec = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let (key, _) = openssl_key(&site, "brought", &ec);
    let key = key.display().to_string();
    let import = ["import", "app-brought", "--type", "ecdsa-p384", "--hsm", "--key", &key];
    drop(keys(&gateway, &[&import[..], &["--through-gateway"]].concat()).success());
    assert_eq!(objects("privkey"), 4);
    drop(as_app(&gateway, &["sign", "app-brought", &file], "").success());
    drop(keys(&gateway, &["configure", "app-brought", "--deletion-allowed"]).success());
    drop(keys(&gateway, &["delete", "app-brought"]).success());
    drop(keys(&gateway, &["purge", "app-brought"]).success());

    let gateway = gateway.kill_and_restart();
    assert_eq!(as_app(&gateway, &["decrypt", "app-aes"], &made).success().stdout, "hunter2");
    drop(keys(&gateway, &["delete", "app-aes"]).success());
    drop(keys(&gateway, &["purge", "app-aes"]).success());
    assert_eq!((objects("privkey"), objects("secrkey")), (3, 0));
    drop(keys(&gateway, &["configure", "app-ec", "--min-decryption-version", "2"]).success());
    drop(keys(&gateway, &["trim", "app-ec", "--before", "2"]).success());
    assert_eq!(objects("privkey"), 2);
    drop(as_app(&gateway, &sign, "").success());
}

#[test]
fn keys_are_brought_into_the_hsm_that_nobody_else_unwraps() {
    let site = Site::new();
    let token = Token::new(&site);
    let gateway = Options::new(&site).token(&token).start();
    let ec = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let (key, public) = openssl_key(&site, "ec", &ec);
    let (key, public) = (key.display().to_string(), public.display().to_string());
    let message = site.write("message", "message").display().to_string();
    let import = ["import", "app-ec", "--type", "ecdsa-p256", "--hsm"];
    drop(keys(&gateway, &[&import[..], &["--key", &key]].concat()).success());
    let sign = ["sign", "app-ec", &message];
    let signature = as_app(&gateway, &sign, "").success().stdout;
    let secret = site.write("secret", [7; 32]).display().to_string();
    drop(keys(&gateway, &["import", "app-aes", "--hsm", "--key", &secret]).success());
    let made = as_app(&gateway, &["encrypt", "app-aes"], "hunter2").success().stdout;

    // Wrapped on a machine without a network, with the hash that is told with the key.
    let told = keys(&gateway, &["wrapping-key", "--hsm", "--output", "json"]).success().stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["hash_function"], "SHA1", "SoftHSM has no other");
    let to = site.write("to.pem", keys(&gateway, &["wrapping-key", "--hsm"]).success().stdout);
    let (to, out) = (to.display().to_string(), site.file("wrapped").display().to_string());
    drop(chancery(&["keys", "wrap", &key, "--to", &to, "--hash", "SHA1", "--out", &out]).success());
    let wrapped = ["--wrapped", &out, "--hash", "SHA1", "--version"];
    let incomplete = keys(&gateway, &[&import[..], &wrapped].concat()).failure();
    assert!(incomplete.stderr.contains("public_key"), "{incomplete}");
    drop(keys(&gateway, &[&import[..], &wrapped, &["--public-key", &public]].concat()).success());
    assert_eq!(shown(&gateway, "app-ec")["latest_version"], 2);
    let second = as_app(&gateway, &sign, "").success().stdout;
    assert!(second.starts_with("vault:v2:"));

    // Nor does it go elsewhere: another key's public half, another place.
    let (_, other) = openssl_key(&site, "other", &ec);
    let other = other.display().to_string();
    let refused = keys(&gateway, &[&import[..], &wrapped, &["--public-key", &other]].concat());
    assert!(refused.failure().stderr.contains("does not verify"));
    let gateway = gateway.kill_and_restart();
    assert_eq!(as_app(&gateway, &["decrypt", "app-aes"], &made).success().stdout, "hunter2");
    for signature in [&signature, &second] {
        let verify = ["verify", "app-ec", &message, "--signature", signature.trim()];
        drop(as_app(&gateway, &verify, "").success());
    }
    let in_hsm = |line: &Value| {
        line["operation"] == "keys.import" && line["details"]["unwrapped-in"] == "hsm"
    };
    let mut audit = gateway.audit().into_iter();
    assert!(audit.any(|line| line["resource"] == "transit/app-ec" && in_hsm(&line)));
}

#[test]
fn a_gateway_without_an_hsm_says_so() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let refused = keys(&gateway, &["create", "app-ec", "--type", "ecdsa-p256", "--hsm"]).failure();
    assert!(refused.stderr.contains("has no HSM"), "{refused}");
    let mut command = Command::new(chancery_integration::gateway::binary());
    let offline = process::run(command.args(["keys", "wrap", "/nonexistent", "--to", "/x"]));
    assert!(offline.failure().stderr.contains("--out"));
}
