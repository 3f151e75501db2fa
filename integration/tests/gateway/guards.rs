//! Policies that only have something against certificates, beside the one that shapes them.

use chancery_integration::acme::request;
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Options, chancery};
use chancery_integration::process::repository;
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;

#[test]
fn a_name_gets_as_many_certificates_as_the_rate_guard_lets_it_also_over_a_restart() {
    let site = Site::new();
    let dns = Dns::start(&site);
    let gateway = Options::new(&site).dns(&dns).start();
    let settings = site.write(
        "rates.toml",
        "limits = [{ per = \"name\", most = 2, within = \"1d\" }]\n\
         except_names = [\"dns:b.example.com\"]\n",
    );
    let guard = repository().join("plugins/target/components/rate-guard.wasm");
    drop(
        chancery(&[
            "policy",
            "bind",
            &guard.to_string_lossy(),
            "--config",
            &gateway.path("chancery.toml").to_string_lossy(),
            "--match",
            "requesters = [\"acme:*\"]",
            "--grants",
            "issuance_counts = true",
            "--settings",
            &settings.to_string_lossy(),
        ])
        .success(),
    );
    assert!(!gateway.reload().contains("reload failed"));
    let responder = Http01::start(&site);
    let account = gateway.account();
    drop(account.obtain(&["a.example.com"], &responder));
    drop(account.obtain(&["a.example.com", "b.example.com"], &responder));

    let gateway = gateway.kill_and_restart();
    let account = gateway.account();
    let order = account.order(&["a.example.com"]);
    account.prove(&order, &responder);
    let order = account.until(&order, "ready");
    let (csr, _) = request(&["a.example.com"]);
    let refused = account.finalize(&order, &csr);
    assert!(refused.text().contains("may have 2 certificates"), "{}", refused.text());
    let line =
        gateway.audit().into_iter().rev().find(|line| line["operation"] == "certificates.issue");
    let line = line.expect("the refusal is on record").to_string();
    assert!(
        line.contains("rate-limited") && line.contains("dns:a.example.com has had 2"),
        "{line}"
    );
    // The other name is excepted.
    drop(account.obtain(&["b.example.com"], &responder));
}
