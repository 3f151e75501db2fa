//! The CA's keys in a PKCS#11 token (SoftHSM).

use std::process::Command;

use chancery_integration::clients::AcmeServer;
use chancery_integration::clients::certbot::Certbot;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, binary};
use chancery_integration::hsm::Token;
use chancery_integration::http;
use chancery_integration::lint::{self, Purpose};
use chancery_integration::process::{self, repository};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;

use crate::revocation::{authority_crl_of, crl_of};

#[test]
fn certbot_gets_a_certificate_signed_in_the_token() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let token = Token::new(&site);
    let gateway = Options::new(&site).dns(&dns).token(&token).start();
    let ready = gateway.ready().clone();

    let server = AcmeServer { directory: ready.acme_directory.clone(), root: ready.root.clone() };
    let certbot = Certbot::new(&site, server);
    drop(certbot.http01(&["a.example.com"]).success());
    let first = certbot.obtained("a.example.com");
    lint::assert_chain(&site, &first.chain, &ready.root, Purpose::Server);
    assert!(lint::revoked_serials(&site, &crl_of(&site, &gateway, &first.chain)).is_empty());
    let root = std::fs::read_to_string(&ready.root).expect("the root can be read");
    authority_crl_of(&site, &first.chain, &http::certificates(&root)[0]);

    // The public key of the issuing certificate is that of a private key in the token that cannot
    // be taken out.
    let issuing = &http::certificates(&first.chain)[1];
    let objects = token.tool(&["--list-objects", "--type", "privkey"]).success().stdout;
    assert!(objects.contains("never extractable"), "{objects}");
    let point = lint::field(&site, issuing, "-text");
    let public = token.tool(&["--list-objects", "--type", "pubkey"]).success().stdout;
    let wanted: String = point
        .lines()
        .skip_while(|line| line.trim() != "pub:")
        .skip(1)
        .take_while(|line| line.starts_with("                    "))
        .flat_map(|line| line.trim().chars().filter(|c| *c != ':'))
        .collect();
    assert!(wanted.len() == 130 && public.contains(&wanted), "{wanted} is not in {public}");

    // The next start finds its keys again.
    let (status, _) = gateway.stop();
    assert!(status.success(), "{status}");
    let gateway = Options::new(&site).dns(&dns).token(&token).start();
    let responder = Http01::start(&site);
    let (chain, _) = gateway.account().obtain(&["b.example.com"], &responder);
    assert_eq!(&http::certificates(&chain)[1], issuing, "the CA is still the same");
    lint::assert_chain(&site, &chain, &ready.root, Purpose::Server);
}

#[test]
fn a_token_is_named_by_the_uri_that_p11tool_prints() {
    let site = Site::new();
    let token = Token::new(&site);
    drop(Options::new(&site).token(&token).start().stop());
    let module = token.module().display().to_string();
    let p11tool = |arguments: &[&str]| {
        let mut command = Command::new(process::tool("p11tool"));
        command.env("SOFTHSM2_CONF", token.config()).args(["--provider", &module]).args(arguments);
        let said = process::run(&mut command).success().stdout;
        said.lines().find(|line| line.starts_with("pkcs11:")).expect("a URI").trim().to_owned()
    };
    let pin = token.pin_file().display().to_string();
    let with = |uri: &str| {
        let uri = format!("{uri}?module-path={module}&pin-source=file:{pin}");
        move |config: &mut toml::Table| {
            let mut table = toml::Table::new();
            table.insert("uris".to_owned(), vec![uri].into());
            config.insert("pkcs11".to_owned(), table.into());
        }
    };
    for arguments in [&["--list-token-urls"][..], &["--detailed-url", "--list-token-urls"]] {
        let uri = p11tool(arguments);
        let gateway = Gateway::serve_with_token(&site, &token, with(&uri));
        let name = gateway.monitoring().get("/health/tokens").expect(200).json();
        let name = name["tokens"][0]["token"].as_str().expect("a name").to_owned();
        assert!(name.starts_with("chancery:"), "{name}");
        // By its label alone it is found too.
        drop(gateway.administer(&["tokens", "drain", Token::LABEL]).success());
        drop(gateway.administer(&["tokens", "resume", &name]).success());
        let (status, _) = gateway.stop();
        assert!(status.success(), "{status}");
    }
    let other = p11tool(&["--list-token-urls"]).replace("SoftHSM%20v2", "SoftHSM%20v3");
    let said = Gateway::serve_fails_with_token(&site, &token, with(&other));
    assert!(said.stderr.contains("the model `SoftHSM v3`"), "{said}");
    let other = p11tool(&["--detailed-url", "--list-token-urls"]);
    let other = other.replace("library-manufacturer=SoftHSM", "library-manufacturer=Somebody");
    let said = Gateway::serve_fails_with_token(&site, &token, with(&other));
    assert!(said.stderr.contains("has the manufacturer `SoftHSM`"), "{said}");
    let object = format!("{};object=k;type=private", p11tool(&["--list-token-urls"]));
    let said = Gateway::serve_fails_with_token(&site, &token, with(&object));
    assert!(said.stderr.contains("names an object"), "{said}");
}

#[test]
fn a_wrong_pin_is_a_clear_error_and_tried_once() {
    let site = Site::new();
    let token = Token::new(&site);
    std::fs::write(token.pin_file(), "wrong").expect("the file can be written");
    let said = Options::new(&site).token(&token).start_fails();
    assert!(said.stderr.contains("PIN"), "{said}");
    assert!(!said.stderr.contains("wrong\n") && !said.stderr.contains("\"wrong\""), "{said}");
}

#[test]
fn a_token_that_is_not_there_is_named() {
    let site = Site::new();
    let token = Token::new(&site);
    let said = Options::new(&site)
        .token(&token)
        .environment("SOFTHSM2_CONF", "/nonexistent")
        .start_fails();
    assert!(said.stderr.contains(Token::LABEL) || said.stderr.contains("PKCS#11"), "{said}");
}

#[test]
fn a_pin_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::new();
    let token = Token::new(&site);
    std::fs::set_permissions(token.pin_file(), std::fs::Permissions::from_mode(0o644))
        .expect("permissions can be set");
    let said = Options::new(&site).token(&token).start_fails();
    assert!(said.stderr.contains("pkcs11.pin_file"), "{said}");
}

#[test]
fn a_policy_is_signed_by_a_key_that_stays_in_the_token() {
    let site = Site::new();
    let token = Token::new(&site);
    drop(
        token
            .tool(&[
                "--keypairgen",
                "--key-type",
                "EC:prime256v1",
                "--label",
                "policy-signer",
                "--id",
                "99",
            ])
            .success(),
    );
    let der = site.path().join("signer.der").display().to_string();
    let read = ["--read-object", "--type", "pubkey", "--label", "policy-signer", "-o", &der];
    drop(token.tool(&read).success());
    let public = site.path().join("signer.pub").display().to_string();
    let mut convert = Command::new(process::tool("openssl"));
    convert.args(["pkey", "-pubin", "-inform", "DER", "-in", &der, "-out", &public]);
    drop(process::run(&mut convert).success());

    let gateway = Options::new(&site).token(&token).start();
    let config = gateway.path("chancery.toml").display().to_string();
    let component = site.path().join("rules.wasm");
    std::fs::copy(repository().join("plugins/target/components/access-rules.wasm"), &component)
        .expect("the plugin is built");
    let component = component.display().to_string();
    let policy = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("policy").args(arguments).env("SOFTHSM2_CONF", token.config());
        process::run(&mut command)
    };
    let sign = |key: &str| policy(&["sign", &component, "--pkcs11-key", key, "--config", &config]);
    drop(sign("policy-signer").success());
    drop(policy(&["verify", &component, "--key", &public]).success());
    drop(sign("no-such-key").failure().says("no-such-key"));
}

#[test]
fn the_gateway_s_own_key_stays_in_the_hsm() {
    let site = Site::new();
    let token = Token::new(&site);
    drop(Options::new(&site).token(&token).start().stop());
    let serve = || {
        Gateway::serve_with_token(&site, &token, |config| {
            let server = config["server"].as_table_mut().expect("a table");
            server.insert("tls_hsm_key".to_owned(), "own-tls".into());
        })
    };
    let keys = || {
        let said = token.tool(&["--list-objects", "--type", "privkey"]).success().stdout;
        said.lines().filter(|line| line.trim() == "label:      own-tls").count()
    };
    for _ in 0..2 {
        // The second start finds the key of the first.
        let gateway = serve();
        assert_eq!(keys(), 1);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let client = gateway.app();
                scope.spawn(move || {
                    for _ in 0..10 {
                        drop(client.get("/v1/sys/health").expect(200));
                    }
                });
            }
        });
        let (status, _) = gateway.stop();
        assert!(status.success(), "{status}");
    }
}
