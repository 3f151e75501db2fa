//! Certificates for SSH, with OpenSSH's own server and tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chancery_integration::clients::hvac;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::hsm::Token;
use chancery_integration::process::{self, Outcome, Server};
use chancery_integration::site::Site;

const PATIENCE: Duration = Duration::from_mins(1);
const PORT: u16 = 2222;

/// A gateway with a CA for SSH.
fn gateway(site: &Site) -> Gateway {
    drop(Gateway::start(site).stop());
    Gateway::serve(site, |config| {
        config.insert("ssh".to_owned(), toml::Table::new().into());
    })
}

/// A new key. Returns the file of its private half.
fn key(site: &Site, name: &str, kind: &str) -> PathBuf {
    key_of(site, name, kind, "256")
}

fn key_of(site: &Site, name: &str, kind: &str, bits: &str) -> PathBuf {
    let path = site.file(name);
    let mut command = Command::new(process::tool("ssh-keygen"));
    command.args(["-q", "-N", "", "-C", "test", "-t", kind, "-b", bits, "-f"]).arg(&path);
    drop(process::run(&mut command).success());
    path
}

fn public(key: &Path) -> PathBuf {
    key.with_extension("pub")
}

fn sign(gateway: &Gateway, key: &Path, arguments: &[&str]) -> Outcome {
    let key = public(key).display().to_string();
    gateway.administer(&[&["ssh", "sign", &key][..], arguments].concat())
}

/// What `ssh-keygen` says of the certificate of a key.
fn certificate(key: &Path) -> String {
    let file = PathBuf::from(format!("{}-cert.pub", key.display()));
    let mut command = Command::new(process::tool("ssh-keygen"));
    process::run(command.args(["-L", "-f"]).arg(file)).success().stdout
}

fn whoami() -> String {
    process::run(&mut Command::new("whoami")).success().stdout.trim().to_owned()
}

/// A server that lets in users with certificates of the gateway's CA, and has a certificate itself.
fn sshd(site: &Site, gateway: &Gateway) -> Server {
    let host = key(site, "host_key", "ed25519");
    let address = site.address().to_string();
    drop(sign(gateway, &host, &["--host", "--principal", &address]).success());
    let ca = gateway.plain().get("/ssh/user-ca.pub").expect(200).text();
    let ca = site.write("user-ca.pub", ca);
    let text = format!(
        "ListenAddress {address}:{PORT}\nHostKey {host}\nHostCertificate {host}-cert.pub\n\
         TrustedUserCAKeys {ca}\nAuthorizedKeysFile none\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nUsePAM no\nPidFile none\nStrictModes no\n",
        host = host.display(),
        ca = ca.display()
    );
    let config = site.write("sshd_config", text);
    let mut command = Command::new(process::tool("sshd"));
    // Debian's package makes it; without the package's service nobody has.
    drop(std::fs::create_dir_all("/run/sshd"));
    command.args(["-D", "-e", "-f"]).arg(config);
    let server = Server::start("sshd", &mut command, &site.file("sshd.log"));
    process::eventually("sshd listens", PATIENCE, || {
        std::net::TcpStream::connect(site.socket(PORT)).ok()
    });
    server
}

fn ssh(site: &Site, gateway: &Gateway, key: &Path) -> Outcome {
    let ca = gateway.administer(&["ssh", "ca", "--host"]).success().stdout;
    let address = site.address();
    let line = format!("@cert-authority [{address}]:{PORT} {ca}");
    let hosts = site.write("known_hosts", line);
    let mut command = Command::new(process::tool("ssh"));
    command
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
        .args(["-o", "StrictHostKeyChecking=yes", "-p", &PORT.to_string()])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", hosts.display()))
        .arg("-i")
        .arg(key)
        .arg(format!("{}@{address}", whoami()))
        .args(["echo", "let in"]);
    process::run(&mut command)
}

#[test]
fn openssh_lets_in_whoever_has_a_certificate_and_trusts_hosts_by_theirs() {
    let site = Site::new();
    let gateway = gateway(&site);
    let _server = sshd(&site, &gateway);
    let me = whoami();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "521"), ("rsa", "3072")] {
        let key = key_of(&site, &format!("id_{kind}_{bits}"), kind, bits);
        let refused = ssh(&site, &gateway, &key).failure();
        assert!(refused.stderr.contains("Permission denied"), "{refused}");
        drop(sign(&gateway, &key, &["--principal", &me, "--ttl", "30m"]).success());
        let said = ssh(&site, &gateway, &key).success();
        assert_eq!(said.stdout.trim(), "let in", "{kind} {bits}");
        let shown = certificate(&key);
        for expected in
            ["user certificate", "permit-pty", "Key ID: \"spiffe://dev.chancery/admin request="]
        {
            assert!(shown.contains(expected), "{expected} in {shown}");
        }
    }
    // For somebody else, from elsewhere, or for one command only.
    let key = key(&site, "id_other", "ed25519");
    drop(sign(&gateway, &key, &["--principal", "somebody-else"]).success());
    drop(ssh(&site, &gateway, &key).failure());
    drop(sign(&gateway, &key, &["--principal", &me, "--source-address", "192.0.2.0/24"]).success());
    drop(ssh(&site, &gateway, &key).failure());
    drop(sign(&gateway, &key, &["--principal", &me, "--force-command", "echo forced"]).success());
    assert_eq!(ssh(&site, &gateway, &key).success().stdout.trim(), "forced");
}

#[test]
fn policy_and_the_rules_decide_who_gets_what() {
    let site = Site::new();
    let gateway = gateway(&site);
    let key = key(&site, "id", "ed25519");
    // Policy has a ceiling of eight hours, the configuration one of a day.
    let both = ["--principal", "alice", "--principal", "bob"];
    for (asked, said) in [("99h", "28800 are allowed"), ("481m", "28800 are allowed")] {
        let refused = sign(&gateway, &key, &[&both[..], &["--ttl", asked]].concat()).failure();
        assert!(refused.stderr.contains(said), "{refused}");
    }
    drop(sign(&gateway, &key, &[&both[..], &["--ttl", "8h"]].concat()).success());
    let shown = certificate(&key);
    assert!(shown.contains("alice") && shown.contains("bob"), "{shown}");
    let line = gateway.audit().into_iter().rfind(|line| line["operation"] == "ssh.sign-user");
    let line = line.expect("an audit line");
    assert_eq!(line["resource"], "alice,bob");
    assert_eq!(line["outcome"]["result"], "success");
    let minutes = |text: &str| {
        let (_, time) = text.split_once('T').expect("a time");
        let mut parts = time.split(':').map(|part| part.parse::<i32>().unwrap_or_default());
        parts.next().unwrap_or_default() * 60 + parts.next().unwrap_or_default()
    };
    let (_, valid) = shown.split_once("Valid: from ").expect("it says so");
    let (from, to) = valid.split_once(" to ").expect("it says so");
    // It begins a minute earlier.
    let length = (minutes(to) - minutes(from)).rem_euclid(24 * 60);
    assert_eq!(length, 8 * 60 + 1, "{shown}");

    let text = std::fs::read_to_string(public(&key)).expect("the key");
    let body = serde_json::json!({ "public_key": text, "valid_principals": "alice" });
    drop(gateway.app().post("/v1/ssh/sign/x", &body).expect(403));
    for (body, said) in [
        (serde_json::json!({ "public_key": text }), "at least one principal"),
        (
            serde_json::json!({ "public_key": "ssh-dss AAAA", "valid_principals": "a" }),
            "not certified",
        ),
        (serde_json::json!({ "public_key": text, "valid_principals": "a b" }), "not a principal"),
        (
            serde_json::json!({ "public_key": text, "valid_principals": "a",
                "extensions": { "permit-all": "" } }),
            "permit-all",
        ),
        (
            serde_json::json!({ "public_key": text, "valid_principals": "a", "key_id": "root" }),
            "key_id",
        ),
        (serde_json::json!({ "public_key": text, "valid_principals": "a\n" }), "not a principal"),
        (
            serde_json::json!({ "public_key": text, "valid_principals": "\u{202e}toor" }),
            "not a principal",
        ),
        (
            serde_json::json!({ "public_key": text, "valid_principals": "a",
                "critical_options": { "force-command": "id\nid" } }),
            "force-command",
        ),
        (
            serde_json::json!({ "public_key": text, "valid_principals": "a",
                "critical_options": { "source-address": "10.0.0.1/8" } }),
            "source-address",
        ),
        (
            serde_json::json!({ "public_key": text, "valid_principals": "a",
                "critical_options": { "approval": "granted" } }),
            "approval",
        ),
    ] {
        let refused = gateway.admin().post("/v1/ssh/sign/x", &body).expect(400);
        assert!(refused.text().contains(said), "{said}: {}", refused.text());
    }
}

#[test]
fn hvac_has_a_key_signed_and_the_ca_s_keys_outlive_a_restart() {
    let site = Site::new();
    let served = gateway(&site);
    let key = key(&site, "id", "ed25519");
    let text = std::fs::read_to_string(public(&key)).expect("the key");
    let program = format!(
        "
client = connect('ADMIN')
signed = client.secrets.ssh.sign_ssh_key(name='ops', public_key={text:?}, valid_principals='alice')
assert signed['data']['signed_key'].startswith('ssh-ed25519-cert-v01@openssh.com '), signed
assert len(signed['data']['serial_number']) == 16
ca = client.secrets.ssh.read_public_key()
print(ca['data']['public_key'])
"
    );
    let said = hvac::python(served.ready(), &program).success();
    let ca = served.plain().get("/ssh/user-ca.pub").expect(200).text();
    assert_eq!(said.stdout.trim(), ca.trim());
    assert_eq!(served.app().get("/v1/ssh/public_key").expect(200).text(), ca);
    // Hosts are to trust it, which have no certificate of a client.
    let anybody = served.anonymous();
    assert_eq!(anybody.get("/v1/ssh/public_key").expect(200).text(), ca);
    assert_eq!(anybody.post("/v1/ssh/public_key", &serde_json::json!({})).status, 405);
    assert_eq!(anybody.get("/v1/ssh/config/ca").status, 403);
    assert_ne!(served.plain().get("/ssh/host-ca.pub").expect(200).text(), ca);
    drop(served.stop());
    let served = gateway(&site);
    assert_eq!(served.plain().get("/ssh/user-ca.pub").expect(200).text(), ca);
}

#[test]
fn the_ca_s_keys_can_be_in_a_token() {
    let site = Site::new();
    let token = Token::new(&site);
    drop(Options::new(&site).token(&token).start().stop());
    let serve = || {
        Gateway::serve_with_token(&site, &token, |config| {
            let ssh: toml::Table = "key_type = \"ecdsa-p384\"".parse().expect("it is TOML");
            config.insert("ssh".to_owned(), ssh.into());
        })
    };
    let gateway = serve();
    let user_key = key(&site, "id", "ed25519");
    drop(sign(&gateway, &user_key, &["--principal", "alice"]).success());
    assert!(certificate(&user_key).contains("ECDSA"), "{}", certificate(&user_key));
    let said = gateway.administer(&["tokens", "keys"]).success();
    assert_eq!(said.stdout.matches(": ssh-").count(), 2, "{said}");
    let ca = gateway.plain().get("/ssh/user-ca.pub").expect(200).text();
    drop(gateway.stop());
    assert_eq!(serve().plain().get("/ssh/user-ca.pub").expect(200).text(), ca);
}
