//! Certificates from another CA (Pebble), where policy says so.

use std::time::Duration;

use chancery_integration::acme::{Account, Order};
use chancery_integration::acme_proxy::{AcmeProxy, Fate};
use chancery_integration::clients::AcmeServer;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http;
use chancery_integration::lint;
use chancery_integration::pebble::Pebble;
use chancery_integration::process::eventually;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;
use toml::{Table, Value};

const START: Duration = Duration::from_mins(1);

#[test]
fn policy_sends_an_order_to_another_ca() {
    let site = Site::new();
    let dns = Dns::start(&site);
    // The other CA finds the gateway's answers on the gateway's plain port.
    let pebble = Pebble::asking(&site, &dns, Gateway::SERVE_HTTP_PORT);
    sending_orders_elsewhere(&site, &dns);
    let upstream = Table::from_iter([
        ("name".to_owned(), Value::from("elsewhere")),
        ("directory_url".to_owned(), Value::from(pebble.acme().directory.as_str())),
        ("contact".to_owned(), Value::from(vec!["mailto:pki@example.com"])),
        ("roots".to_owned(), Value::from(pebble.acme().root.to_string_lossy().into_owned())),
    ]);
    let gateway = Gateway::serve(&site, |config| {
        config.insert("upstreams".to_owned(), Value::Array(vec![upstream.into()]));
    });
    let responder = Http01::start(&site);
    let (chain, key) = gateway.account().obtain(&["a.example.com"], &responder);

    let leaf = http::certificates(&chain).remove(0);
    let issuer = lint::field(&site, &leaf, "-issuer");
    assert!(issuer.contains("Pebble"), "{issuer}");
    let names = lint::field(&site, &leaf, "-ext subjectAltName");
    assert!(names.contains("DNS:a.example.com"), "{names}");
    drop(http::Credential::from_pem(&chain, &key));
    let root = pebble.issued_root(&site);
    let file = site.write("chain.pem", &chain);
    let said = lint::openssl(&[
        "verify",
        "-CAfile",
        &root.to_string_lossy(),
        "-untrusted",
        &file.to_string_lossy(),
        &file.to_string_lossy(),
    ]);
    drop(said.success());
    let issued = gateway.audit().into_iter().any(|line| line.to_string().contains("elsewhere"));
    assert!(issued, "the audit log says who issued");
}

/// A site whose gateway, which is stopped, sends all orders to the CA `elsewhere`.
fn sending_orders_elsewhere(site: &Site, dns: &Dns) {
    let gateway = Options::new(site).dns(dns).start();
    let profiles = gateway.path("policies/certificates.toml");
    drop(gateway.stop());
    let text = std::fs::read_to_string(&profiles).expect("the profiles are there");
    let table = "[binding.settings.profiles.tls-server]\n";
    assert!(text.contains(table), "{text}");
    let elsewhere = format!("{table}issuer = \"elsewhere\"\n");
    std::fs::write(&profiles, text.replace(table, &elsewhere)).expect("they can be written");
}

/// Another CA that is away for a while keeps an order waiting, and ends none.
#[test]
fn an_order_outlasts_a_ca_that_is_away_and_comes_back() {
    let site = Site::new();
    let dns = Dns::start(&site);
    sending_orders_elsewhere(&site, &dns);
    // Where it will be, and whom to trust there, is known before it runs.
    let acme = Pebble::prepare(&site, Gateway::SERVE_HTTP_PORT);
    let gateway = serve_with(&site, &acme);
    let responder = Http01::start(&site);
    let account = gateway.account();
    let order = account.order(&["a.example.com"]);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    let (request, _) = chancery_integration::acme::request(&["a.example.com"]);
    let answer = account.finalize(&order, &request).expect(200);
    assert_eq!(answer.json()["status"], "processing");
    let tried = || gateway.audit().iter().any(|line| line["outcome"]["code"] == "upstream-failed");
    eventually("it is tried", START, || tried().then_some(()));
    assert_eq!(account.refresh(&order).status(), "processing");
    let said = || gateway.log().contains("it is tried again");
    eventually("the log says why", START, || said().then_some(()));

    let _pebble = Pebble::run(&site, &dns, acme);
    let order = account.until(&order, "valid");
    assert!(order.body["certificate"].is_string(), "{}", order.body);
}

/// The gateway whose other CA is this one.
fn serve_with(site: &Site, acme: &AcmeServer) -> Gateway {
    let upstream = Table::from_iter([
        ("name".to_owned(), Value::from("elsewhere")),
        ("directory_url".to_owned(), Value::from(acme.directory.as_str())),
        ("roots".to_owned(), Value::from(acme.root.to_string_lossy().into_owned())),
    ]);
    Gateway::serve(site, |config| {
        config.insert("upstreams".to_owned(), Value::Array(vec![upstream.into()]));
    })
}

/// The paths of Pebble.
const NEW_ORDER: &str = "/order-plz";
const ORDER: &str = "/my-order/";
/// Accounts as well.
const MINE: &str = "/my-";
const FINALIZE: &str = "/finalize-order/";
const CERTIFICATE: &str = "/certZ/";
/// No path of it.
const NOTHING: &str = "/nothing/";

/// A gateway and its other CA, with a proxy in between.
struct Between {
    site: Site,
    proxy: AcmeProxy,
    _pebble: Pebble,
    _dns: Dns,
}

impl Between {
    fn new() -> Self {
        let site = Site::new();
        let dns = Dns::start(&site);
        sending_orders_elsewhere(&site, &dns);
        let pebble = Pebble::asking(&site, &dns, Gateway::SERVE_HTTP_PORT);
        let proxy = AcmeProxy::before(&site, pebble.acme());
        Self { site, proxy, _pebble: pebble, _dns: dns }
    }

    fn serve(&self) -> Gateway {
        serve_with(&self.site, self.proxy.acme())
    }

    /// Finalizes an order. Making its certificate begins.
    fn finalized(&self, gateway: &Gateway) -> (Account, Order) {
        let responder = Http01::start(&self.site);
        let account = gateway.account();
        let order = account.order(&["a.example.com"]);
        account.prove(&order, &responder);
        let order = account.until(&order, "ready");
        let (request, _) = chancery_integration::acme::request(&["a.example.com"]);
        let answer = account.finalize(&order, &request).expect(200);
        assert_eq!(answer.json()["status"], "processing");
        (account, order)
    }

    fn met(&self, requests: usize) {
        let met = || (self.proxy.met() >= requests).then_some(());
        eventually("the other CA is asked", START, met);
    }

    /// Kills the gateway when something is lost, starts it again, and waits until the order is valid.
    fn killed_when(&self, path: &str, fate: Fate) {
        let gateway = self.serve();
        self.proxy.lose([(path, fate)]);
        let (account, order) = self.finalized(&gateway);
        self.met(1);
        drop(gateway);
        self.proxy.pass();
        let _gateway = self.serve();
        drop(account.until(&order, "valid"));
        self.assert_made(1);
    }

    /// So many certificates were made: the other CA got so many CSRs, each for an order of its own.
    fn assert_made(&self, certificates: usize) {
        assert_eq!(self.proxy.passed(NEW_ORDER), certificates);
        assert_eq!(self.proxy.passed(FINALIZE), certificates);
    }
}

#[test]
fn a_gateway_that_is_killed_before_the_other_ca_gets_the_csr_sends_it_once() {
    Between::new().killed_when(FINALIZE, Fate::HoldRequest);
}

#[test]
fn a_gateway_that_is_killed_after_the_other_ca_got_the_csr_makes_no_other_certificate() {
    Between::new().killed_when(FINALIZE, Fate::HoldAnswer);
}

#[test]
fn a_gateway_that_is_killed_while_it_downloads_makes_no_other_certificate() {
    let between = Between::new();
    between.killed_when(CERTIFICATE, Fate::HoldAnswer);
    assert_eq!(between.proxy.passed(CERTIFICATE), 2);
}

/// Another CA that is away once it has the CSR keeps the order waiting.
#[test]
fn an_order_outlasts_a_ca_that_is_away_when_it_has_the_csr() {
    let between = Between::new();
    let gateway = between.serve();
    // Nor does it answer what is asked next.
    between.proxy.lose([(FINALIZE, Fate::Cut), (ORDER, Fate::Cut)]);
    let (account, order) = between.finalized(&gateway);
    between.met(2);
    assert_eq!(account.refresh(&order).status(), "processing");
    between.proxy.pass();
    drop(account.until(&order, "valid"));
    between.assert_made(1);
}

/// What another CA says of an order from which nothing comes.
fn replaced_after(status: u16, kind: &'static str, body: &str) {
    let between = Between::new();
    let gateway = between.serve();
    let answer = Fate::Answer(status, kind, body.to_owned());
    between.proxy.lose([(FINALIZE, Fate::Cut), (ORDER, answer)]);
    let (account, order) = between.finalized(&gateway);
    between.met(2);
    between.proxy.pass();
    drop(account.until(&order, "valid"));
    between.assert_made(2);
}

#[test]
fn an_order_that_is_invalid_at_the_other_ca_is_replaced() {
    let body = r#"{"status": "invalid", "authorizations": [], "finalize": "https://ca.example/"}"#;
    replaced_after(200, "application/json", body);
}

#[test]
fn an_order_that_the_other_ca_does_not_know_is_replaced() {
    let body = r#"{"type": "urn:ietf:params:acme:error:malformed", "status": 404}"#;
    replaced_after(404, "application/problem+json", body);
}

/// What a proxy says while the CA behind it is being deployed.
fn not_there() -> Fate {
    Fate::Answer(404, "text/html", "<h1>not found</h1>".to_owned())
}

/// The order of which this was said stays the one of which the certificate comes.
fn kept_after<const N: usize>(rules: [(&str, Fate); N], met: usize) {
    let between = Between::new();
    let gateway = between.serve();
    between.proxy.lose(rules);
    let (account, order) = between.finalized(&gateway);
    between.met(met);
    between.proxy.pass();
    drop(account.until(&order, "valid"));
    between.assert_made(1);
}

#[test]
fn an_order_outlasts_a_proxy_that_finds_nothing_while_the_other_ca_is_deployed() {
    // Neither the order nor the account.
    kept_after([(FINALIZE, Fate::Cut), (MINE, not_there())], 3);
}

#[test]
fn an_order_outlasts_a_proxy_that_finds_nothing_once() {
    kept_after([(FINALIZE, Fate::Cut), (ORDER, not_there()), (NOTHING, Fate::Cut)], 2);
}
