//! Requests to the ACME server that no real client would send. Each is refused with a problem
//! document that says what was wrong, and the gateway goes on as if nothing had been.

mod bodies;
mod challenges;
mod orders;
mod signatures;

use chancery_integration::acme::{Account, Order, assert_problem};
use chancery_integration::dns::Dns;
use chancery_integration::gateway::{Gateway, Options};
use chancery_integration::http::{self, Response};
use chancery_integration::responder::Http01;
use chancery_integration::site::Site;

/// A gateway with an account, and after the test a look whether it still goes.
struct Setup {
    gateway: Gateway,
    account: Account,
    // Both serve the gateway's validation as long as the test runs.
    _dns: Dns,
    responder: Http01,
    site: Site,
}

impl Setup {
    fn new() -> Self {
        let site = Site::new();
        let dns = Dns::start(&site);
        let gateway = Options::new(&site).dns(&dns).start();
        let responder = Http01::start(&site);
        let account = gateway.account();
        Self { gateway, account, _dns: dns, responder, site }
    }

    /// An order for names, all of them proved.
    fn ready(&self, names: &[&str]) -> Order {
        let order = self.account.order(names);
        self.account.prove(&order, &self.responder);
        self.account.until(&order, "ready")
    }

    /// Fails unless somebody can still get a certificate.
    fn assert_well(mut self) {
        self.gateway.assert_up();
        let (chain, _) = self.account.obtain(&["well.example.com"], &self.responder);
        assert_eq!(http::certificates(&chain).len(), 2);
    }
}

/// Fails unless the answer is that problem and carries a nonce for the next try.
#[track_caller]
fn assert_refused(answer: &Response, status: u16, kind: &str) {
    assert_problem(answer, status, kind);
    assert!(
        answer.header("replay-nonce").is_some(),
        "an error gives a nonce too: {:?}",
        answer.headers
    );
}
