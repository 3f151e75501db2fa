//! Ceremonies by command: an offline root, a gateway that moves below it, a key that is replaced, and
//! further issuers.

use std::path::PathBuf;
use std::process::Command;

use chancery_integration::acme;
use chancery_integration::clients::AcmeServer;
use chancery_integration::clients::certbot::Certbot;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options, binary, chancery};
use chancery_integration::hsm::Token;
use chancery_integration::http::{self, Client};
use chancery_integration::lint::{self, field, openssl};
use chancery_integration::process::{self, Outcome};
use chancery_integration::responder::Http01;
use chancery_integration::site::{self, Site};

/// The folder of an offline root.
pub(crate) struct Offline<'a> {
    site: &'a Site,
    passphrase: PathBuf,
    token: Option<&'a Token>,
}

impl<'a> Offline<'a> {
    pub(crate) fn new(site: &'a Site, token: Option<&'a Token>) -> Self {
        let passphrase = site.write("passphrase", "correct horse battery staple");
        site::private(&passphrase);
        Self { site, passphrase, token }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.site.path().join("offline").join(name).display().to_string()
    }

    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> Outcome {
        let mut process = Command::new(binary());
        process.args(["ca", command, "--dir", &self.path("")]);
        process.arg("--passphrase-file").arg(&self.passphrase).args(arguments);
        if let Some(token) = self.token {
            let (module, pin) = (token.module().display(), token.pin_file().display());
            let label = Token::LABEL;
            let uri = format!("pkcs11:token={label}?module-path={module}&pin-source=file:{pin}");
            process.env("SOFTHSM2_CONF", token.config()).args(["--pkcs11-uri", &uri]);
        }
        process::run(&mut process)
    }

    pub(crate) fn init(&self) {
        let url = "http://pki.example.com/root";
        let plan = ["--name", "Offline Root", "--url", url, "--path-length", "1"];
        let watched = ["--witness", "Alice", "--witness", "Bob"];
        let tried = self.run("init", &[&plan[..], &["--dry-run"]].concat()).success();
        for shown in
            ["subject      Offline Root", "serial       none yet", "CAs below    1", "ecdsa-p384"]
        {
            assert!(tried.stderr.contains(shown), "{shown}: {tried}");
        }
        assert!(!std::path::Path::new(&self.path("root.redb")).exists(), "{tried}");
        drop(self.run("init", &[&plan[..], &watched].concat()).success());
        let again = self.run("init", &plan).failure();
        assert!(again.stderr.contains("there is a root here already"), "{again}");
    }

    fn crl(&self) -> String {
        let said = self.run("crl", &["--days", "30"]).success();
        said.stdout.split(": publish").next().expect("it names the file").to_owned()
    }
}

#[test]
fn a_root_that_cannot_be_made_leaves_nothing() {
    let site = Site::new();
    let mut offline = Offline::new(&site, None);
    let plan = ["--name", "Offline Root", "--url", "http://pki.example.com/root"];
    let short = site.write("short", "short");
    let open = site.write("open", "correct horse battery staple");
    site::private(&short);
    let right = std::mem::replace(&mut offline.passphrase, site.path().join("nowhere"));
    for wrong in [site.path().join("nowhere"), short, open] {
        offline.passphrase = wrong;
        drop(offline.run("init", &plan).failure());
        assert!(!site.path().join("offline").exists(), "{}", offline.passphrase.display());
    }
    offline.passphrase = right;
    let uri = "pkcs11:token=none?module-path=/nowhere.so&pin-source=file:/nowhere";
    drop(offline.run("init", &[&plan[..], &["--pkcs11-uri", uri]].concat()).failure());
    assert!(!site.path().join("offline").exists());
    // One that was killed leaves nothing that passes for a root, and the next one begins anew.
    let folder = site.path().join("offline");
    let (root, beside) = (folder.join("root.redb"), folder.join("root.beginning"));
    offline.init();
    std::fs::rename(&root, &beside).expect("it can be renamed");
    drop(offline.run("crl", &[]).failure().says("there is no root"));
    std::fs::write(&beside, "half a root").expect("it can be written");
    let made = std::fs::read(folder.join("root.pem")).expect("there is one");
    offline.init();
    assert!(root.is_file() && !beside.exists());
    assert_ne!(std::fs::read(folder.join("root.pem")).expect("there is one"), made);

    // And what is there stays, whatever is wrong the next time.
    offline.passphrase = site.path().join("nowhere");
    drop(offline.run("init", &plan).failure());
    drop(offline.run("crl", &[]).failure());
    assert!(site.path().join("offline/root.redb").exists());
}

#[test]
fn a_request_that_openssl_made_may_ask_for_what_the_ceremony_decides() {
    let site = Site::new();
    let offline = Offline::new(&site, None);
    offline.init();
    let (key, csr) = (site.path().join("ca.key"), site.path().join("ca.csr"));
    let mut request = Command::new(process::tool("openssl"));
    request.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    request.args(["-nodes", "-subj", "/CN=Other CA", "-keyout"]).arg(&key).arg("-out").arg(&csr);
    request.args(["-addext", "basicConstraints=critical,CA:TRUE,pathlen:7"]);
    request.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
    drop(process::run(&mut request).success());
    let csr = csr.display().to_string();
    let said = offline.run("intermediate", &["--csr", &csr]).success();
    let text = field(&site, &http::certificates(&said.stdout)[0], "-text");
    assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
}

/// A gateway with the configuration of `chancery dev` and `parent = "elsewhere"`.
pub(crate) fn serve_below_another(site: &Site) -> Gateway {
    Gateway::serve(site, |config| {
        let ca = config["ca"].as_table_mut().expect("a table");
        ca.insert("parent".to_owned(), "elsewhere".into());
    })
}

fn moves_below_an_offline_root(site: &Site, token: Option<&Token>) {
    let dns = Dns::start(site);
    let responder = Http01::start(site);
    let gateway = Options::new(site).dns(&dns).start();
    let (before, _) = gateway.account().obtain(&["old.example.com"], &responder);
    drop(gateway.stop());
    // What is there goes on until something else is installed.
    drop(serve_below_another(site).stop());
    let config = site.file("serve.toml").display().to_string();

    let offline = Offline::new(site, token);
    offline.init();
    let (csr, chain) = (offline.path("issuing.csr"), offline.path("issuing.pem"));
    drop(chancery(&["ca", "request", "--config", &config, "--out", &csr]).success());
    let permitted = ["dns:example.com", "dns:localhost", "ip:127.0.0.0/8", "ip:::1/128"];
    let permitted: Vec<&str> = permitted.into_iter().flat_map(|one| ["--permit", one]).collect();
    let terms = [&["--csr", &csr, "--days", "900"][..], &permitted].concat();
    let tried = offline.run("intermediate", &[&terms[..], &["--dry-run"]].concat()).success();
    assert!(tried.stderr.contains("permit dns:example.com, "), "{tried}");
    assert!(tried.stderr.contains("permit ip:127.0.0.0/8, permit ip:::1/128"), "{tried}");
    drop(offline.run("intermediate", &[&terms[..], &["--out", &chain]].concat()).success());
    let root = offline.path("root.pem");
    let wrong = chancery(&["ca", "install", "--config", &config, "--chain", &root]).failure();
    assert!(wrong.stderr.contains("chain"), "{wrong}");
    let install = ["ca", "install", "--config", &config, "--dry-run", "--chain"];
    let log = site.path().join("state/audit/audit.jsonl");
    let lines = || std::fs::read_to_string(&log).expect("the audit log").lines().count();
    let before_trying = lines();
    let tried = chancery(&[&install[..], &[&root]].concat()).failure();
    assert!(tried.stderr.contains("chain"), "{tried}");
    for _ in 0..2 {
        let tried = chancery(&[&install[..], &[&chain]].concat()).success();
        assert!(tried.stdout.contains("it would be installed"), "{tried}");
    }
    assert_eq!(lines(), before_trying);
    drop(chancery(&["ca", "install", "--config", &config, "--chain", &chain]).success());

    let gateway = serve_below_another(site);
    // Certificates of before are good for what they were.
    drop(gateway.admin().get("/v1/sys/groups?list=true").expect(200));
    let account = gateway.account();
    let (after, _) = account.obtain(&["new.example.com"], &responder);
    let certificates = http::certificates(&after);
    let pem = site.write("leaf.pem", &after).display().to_string();
    let text = field(site, &certificates[0], "-ext crlDistributionPoints");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a URL");
    let crl = Client::plain(url).get(&http::target(url)).expect(200);
    let crl = site.write("leaf.crl", &crl.body).display().to_string();
    let root_crl = offline.crl();
    let verified = openssl(&[
        "verify",
        "-x509_strict",
        "-crl_check_all",
        "-CRLfile",
        &crl,
        "-CRLfile",
        &root_crl,
        "-CAfile",
        &root,
        "-untrusted",
        &pem,
        &pem,
    ]);
    drop(verified.success());

    // Whom nobody would believe is not certified.
    let refused = account.try_order(&["new.example.net"], serde_json::json!({}));
    acme::assert_problem(&refused, 400, "rejectedIdentifier");

    // The former key still answers for what it issued.
    let done = gateway.administer(&["certificates", "revoke", "--name", "old.example.com"]);
    drop(done.success());
    let old = http::certificates(&before).remove(0);
    let text = field(site, &old, "-ext crlDistributionPoints");
    let url = text.lines().find_map(|line| line.trim().strip_prefix("URI:")).expect("a URL");
    // It was issued when the plain port was elsewhere.
    let crl = gateway.plain().get(&http::target(url)).expect(200);
    assert_eq!(lint::revoked_serials(site, &crl.body), [lint::serial(site, &old)]);

    let transcript = offline.path("transcript.jsonl");
    let verify = |root: &str| chancery(&["ca", "verify-transcript", &transcript, "--root", root]);
    let said = verify(&root).success();
    assert!(said.stdout.contains("3 lines"), "{said}");
    let own = gateway.path("dev/root.pem").display().to_string();
    assert!(verify(&own).failure().stderr.contains("not the root's"));
    let text = std::fs::read_to_string(&transcript).expect("the transcript");
    assert!(text.contains("Alice") && text.contains("\"intermediate\""), "{text}");
}

#[test]
fn a_gateway_moves_below_an_offline_root() {
    let site = Site::new();
    moves_below_an_offline_root(&site, None);
}

#[test]
fn a_gateway_moves_below_an_offline_root_in_a_token() {
    let site = Site::new();
    let token = Token::new(&site);
    moves_below_an_offline_root(&site, Some(&token));
}

#[test]
fn an_offline_root_takes_back_and_certifies_once_more() {
    let site = Site::new();
    let gateway = Gateway::start(&site);
    let offline = Offline::new(&site, None);
    offline.init();
    let own = gateway.ready().root.display().to_string();
    let out = offline.path("cross.pem");
    let crossed = ["--certificate", &own, "--path-length", "0", "--out", &out];
    let tried = offline.run("cross-sign", &[&crossed[..], &["--dry-run"]].concat()).success();
    assert!(tried.stderr.contains("CAs below    0"), "{tried}");
    assert!(!std::path::Path::new(&out).exists(), "{tried}");
    drop(offline.run("cross-sign", &crossed).success());
    let text = std::fs::read_to_string(&out).expect("the chain");
    let certificates = http::certificates(&text);
    assert_eq!(certificates.len(), 2);
    let root = offline.path("root.pem");
    drop(openssl(&["verify", "-x509_strict", "-CAfile", &root, &out]).success());
    let serial = lint::serial(&site, &certificates[0]);
    drop(offline.run("revoke", &[&serial, "--reason", "superseded"]).success());
    let crl = std::fs::read(offline.crl()).expect("the CRL");
    assert_eq!(lint::revoked_serials(&site, &crl), [serial]);
    let unknown = offline.run("revoke", &["0102"]).failure();
    assert!(unknown.stderr.contains("has signed no certificate"), "{unknown}");
}

/// What GnuTLS says of a chain below this root.
fn gnutls_verifies(root: &str, chain: &str) -> Outcome {
    let mut certtool = Command::new("certtool");
    certtool.args(["--verify", "--load-ca-certificate", root, "--infile", chain]);
    process::run(&mut certtool)
}

#[test]
fn clients_may_have_a_chain_to_another_root() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let options = || Options::new(&site).dns(&dns);
    let gateway = options().start();
    let (ready, config) = (gateway.ready().clone(), gateway.path("chancery.toml"));
    drop(gateway.stop());
    let offline = Offline::new(&site, None);
    let url = "http://pki.example.com/root";
    let plan = ["--name", "Offline Root", "--url", url, "--path-length", "2"];
    drop(offline.run("init", &plan).success());
    let (own, cross) = (ready.root.display().to_string(), offline.path("cross.pem"));
    let crossed = ["--certificate", &own, "--path-length", "1", "--out", &cross];
    drop(offline.run("cross-sign", &crossed).success());
    let config = config.display().to_string();
    let install = |chain: &str| {
        chancery(&["ca", "install", "--alternate", "--config", &config, "--chain", chain])
    };
    let root = offline.path("root.pem");
    for (chain, said) in [(&root, "leads from another CA"), (&own, "everybody is led to")] {
        let refused = install(chain).failure();
        assert!(refused.stderr.contains(said), "{refused}");
    }
    drop(install(&cross).success());
    // A second time it takes the place of the first.
    drop(install(&cross).success());

    let gateway = options().at(&ready).start();
    let responder = Http01::start(&site);
    let account = gateway.account();
    let order = account.order(&["a.example.com"]);
    account.prove(&order, &responder);
    let (request, _) = acme::request(&["a.example.com"]);
    drop(account.finalize(&order, &request).expect(200));
    let order = account.until(&order, "valid");
    let url = order.body["certificate"].as_str().expect("the URL of a certificate");
    let usual = account.get(url).expect(200);
    let links = |answer: &http::Response| {
        let links = answer.headers.iter().filter(|(name, _)| name == "link");
        let alternates = links.filter_map(|(_, link)| {
            let url = link.strip_suffix(">;rel=\"alternate\"")?.strip_prefix('<')?;
            Some(url.to_owned())
        });
        alternates.collect::<Vec<_>>()
    };
    let [other] = links(&usual).try_into().expect("one other chain");
    let alternate = account.get(&other).expect(200);
    assert_eq!(links(&alternate), [url]);
    let (usual, chain) = (usual.text(), alternate.text());
    assert_eq!(http::certificates(&usual).len(), 2);
    assert_eq!(http::certificates(&chain).len(), 3);
    assert_eq!(http::certificates(&usual)[0], http::certificates(&chain)[0]);
    // Either way up is one for those who trust its root, and for nobody else.
    let chain = site.write("chain.pem", &chain).display().to_string();
    let usual = site.write("usual.pem", &usual).display().to_string();
    for (chain, root, holds) in
        [(&chain, &root, true), (&usual, &own, true), (&usual, &root, false)]
    {
        let openssl =
            openssl(&["verify", "-x509_strict", "-CAfile", root, "-untrusted", chain, chain]);
        let gnutls = gnutls_verifies(root, chain);
        for judged in [openssl, gnutls] {
            drop(if holds { judged.success() } else { judged.failure() });
        }
    }
    drop(account.get(&format!("{url}/1")).expect(404));
    drop(account.get(&format!("{url}/x")).expect(404));
    drop(responder);

    let server = AcmeServer {
        directory: gateway.ready().acme_directory.clone(),
        root: gateway.ready().root.clone(),
    };
    let certbot = Certbot::new(&site, server);
    let preferred = ["--preferred-chain", "Offline Root"];
    drop(certbot.http01_with(&["b.example.com"], &preferred).success());
    let obtained = certbot.obtained("b.example.com").chain;
    assert_eq!(http::certificates(&obtained).len(), 3);
}

#[test]
fn a_key_in_the_hsm_is_replaced_and_the_one_before_goes_on_answering() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let token = Token::new(&site);
    let responder = Http01::start(&site);
    let options = || Options::new(&site).dns(&dns).token(&token);
    let gateway = options().start();
    let (before, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let (ready, config) = (gateway.ready().clone(), gateway.path("chancery.toml"));
    drop(gateway.stop());
    let mut rotate = Command::new(binary());
    rotate.env("SOFTHSM2_CONF", token.config()).args(["ca", "rotate", "--config"]).arg(&config);
    let said = process::run(&mut rotate).success();
    assert!(said.stdout.contains("from the next start on"), "{said}");

    let gateway = options().at(&ready).start();
    let (after, _) = gateway.account().obtain(&["b.example.com"], &responder);
    let issuers =
        [&before, &after].map(|chain| field(&site, &http::certificates(chain)[0], "-issuer"));
    assert!(issuers[1].trim().ends_with("G2"), "{issuers:?}");
    let done = gateway.administer(&["certificates", "revoke", "--name", "a.example.com"]);
    drop(done.success());
    let crl = crate::revocation::crl_of(&site, &gateway, &before);
    assert_eq!(lint::revoked_serials(&site, &crl).len(), 1);
    let crl = crate::revocation::crl_of(&site, &gateway, &after);
    assert_eq!(lint::revoked_serials(&site, &crl).len(), 0);
    // Either responder, as openssl finds them.
    for (chain, status) in [(&before, ": revoked"), (&after, ": good")] {
        let asked = crate::ocsp::Asked::new(&site, &gateway, chain);
        let said = asked.status(&[]);
        assert!(said.contains(status), "{status}: {said}");
    }
    let tokens = gateway.monitoring().get("/health/tokens").expect(200).json();
    assert_eq!(tokens["tokens"][0]["keys"], 3);
}

#[test]
fn policy_chooses_among_several_issuers() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let responder = Http01::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let policies = gateway.path("policies/certificates.toml");
    drop(gateway.stop());
    let text = std::fs::read_to_string(&policies).expect("the policies");
    let ocsp = "[binding.settings.profiles.ocsp-signer]\n";
    let further = format!(
        "[binding.settings.profiles.ocsp-signer-short]\nissuer = \"short\"\nbase = \"ocsp-signer\"\n\
         requesters = [\"internal:ocsp\"]\nnames = {{ allow = [\"dns:*\", \"ip:*\"] }}\n\n{ocsp}"
    );
    let server = "[binding.settings.profiles.tls-server]\n";
    let changed =
        text.replace(ocsp, &further).replace(server, &format!("{server}issuer = \"short\"\n"));
    std::fs::write(&policies, changed).expect("the policies can be written");
    let gateway = Gateway::serve(&site, |config| {
        let issuer = "name = \"short\"\nroot_name = \"Short Root\"\nissuing_name = \"Short Issuing\"\n\
                      key_type = \"ecdsa-p384\"\nocsp_hours = 12\n";
        let issuer: toml::Table = issuer.parse().expect("it is TOML");
        config.insert("issuers".to_owned(), toml::Value::Array(vec![issuer.into()]));
    });
    let (chain, _) = gateway.account().obtain(&["a.example.com"], &responder);
    let issuer = field(&site, &http::certificates(&chain)[0], "-issuer");
    assert!(issuer.contains("Short Issuing"), "{issuer}");
    drop(crate::revocation::crl_of(&site, &gateway, &chain));
    let list = ["certificates", "list", "--issuer", "short", "--output", "json"];
    let listed: serde_json::Value =
        serde_json::from_str(&gateway.administer(&list).success().stdout).expect("JSON");
    // The server's, and the OCSP signer's.
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let text = field(&site, &http::certificates(&chain)[0], "-ext authorityInfoAccess");
    assert!(text.contains("OCSP - URI:"), "{text}");
    drop(gateway.administer(&["certificates", "revoke", "--name", "a.example.com"]).success());
    let crl = crate::revocation::crl_of(&site, &gateway, &chain);
    assert_eq!(lint::revoked_serials(&site, &crl).len(), 1);
}
