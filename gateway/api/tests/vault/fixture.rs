use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use chancery_access::Access;
use chancery_api::vault::{BackupStream, Condition, Installation, Tokens, VaultState, router};
use chancery_api::{BodyError, Serving};
use chancery_audit::{Audit, MemorySink};
use chancery_identity::{
    Clock, Evidence, EvidenceError, Fingerprint, Identity, IdentityName, PeerCertificate,
    RequestContext, StillHolds, TenantId,
};
use chancery_policy::{Digest, PolicyConfig, PolicyHost};
use chancery_secrets::transit::Custody;
use chancery_secrets::{Mount, MountKind, Mounts, Secrets};
use chancery_store::memory::MemoryStore;
use futures_util::stream;
use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tower::ServiceExt;
use zeroize::Zeroizing;

/// Who may do what in these tests.
const RULES: &str = r#"
rules = [
  { name = "logins", identities = ["spiffe://test/app", "spiffe://test/admin"], operations = ["auth.login"], resources = ["default/*", "ansible/*"], effect = "allow" },
  { name = "root", identities = ["spiffe://test/root"], operations = ["*"], resources = ["*"], effect = "allow" },
  { name = "admins", identities = ["spiffe://test/admin"], operations = ["secrets.*"], resources = ["secret/*"], effect = "allow" },
  { name = "key admins", identities = ["spiffe://test/admin"], operations = ["keys.*", "crypto.*"], resources = ["transit/*"], effect = "allow" },
  { name = "lookers", identities = ["spiffe://test/looker"], operations = ["mounts.read"], resources = ["secret/"], effect = "allow" },
  { name = "not-even-admins", identities = ["*"], operations = ["*"], resources = ["secret/vault/*"], effect = "deny" },
  { name = "app", identities = ["spiffe://test/app"], operations = ["secrets.read", "secrets.create", "secrets.update", "secrets.list"], resources = ["secret/app/*"], effect = "allow" },
]
"#;

/// The router over a store in memory, at a time that stands still.
pub(crate) struct Fixture {
    pub(crate) access: Arc<Access>,
    router: Router,
    pub(crate) clock: Clock,
    pub(crate) sink: MemorySink,
    pub(crate) condition: watch::Sender<Condition>,
    pub(crate) serving: watch::Sender<Serving>,
    /// The serial numbers of certificates that were revoked; `dead` was before the test.
    pub(crate) revoked: Arc<Mutex<BTreeSet<String>>>,
    _policies: tempfile::TempDir,
}

/// A request under construction.
pub(crate) struct Call<'a> {
    fixture: &'a Fixture,
    request: http::request::Builder,
    certificate: Option<PeerCertificate>,
    body: Body,
    /// Whether the answer has headers only.
    bare: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let policies = tempfile::tempdir().unwrap();
        bind(policies.path());
        let policy = with_compiled(|cache| {
            PolicyHost::open(PolicyConfig::new(policies.path().to_owned(), cache)).unwrap()
        });
        let clock = Clock::manual("2030-01-01T00:00:00Z".parse().unwrap());
        let sink = MemorySink::new();
        let audit =
            Audit::with_sink(Box::new(sink.clone()), &Zeroizing::new(vec![7; 32]), clock.clone())
                .unwrap();
        let shared = Arc::new(MemoryStore::new());
        let access = Arc::new(Access::new(policy, shared.clone(), audit.clone(), clock.clone()));
        let now = clock.clone();
        access.judge_chains_by(Arc::new(move |chain| {
            let name = chain.first().and_then(|leaf| std::str::from_utf8(leaf).ok());
            let certificate = certificate(name.ok_or(EvidenceError::Untrusted)?, now.now());
            Ok(Evidence::new(Arc::new(certificate), now.clone(), Arc::new(|_| Ok(()))))
        }));
        let mount = |name: &str, kind| Mount {
            name: name.parse().unwrap(),
            kind,
            description: "tests".to_owned(),
        };
        let mounts = [mount("secret", MountKind::Kv), mount("transit", MountKind::Transit)];
        let mounts = Mounts::new(mounts);
        let secrets = Secrets::new(access.clone(), shared, clock.clone(), mounts);
        let secrets = secrets.with_keys(Custody::new(None));
        let (condition, watched) = watch::channel(Condition::Active);
        let (serving, serves) = watch::channel(Serving::All);
        let tokens = Tokens {
            list: Arc::new(|_| Vec::new()),
            drain: Arc::new(|_, token, _| token == "hsm"),
            keys: Arc::new(|_| Box::pin(async { Ok(vec![]) })),
        };
        let router = router(VaultState {
            tokens,
            backup: Arc::new(|_| Ok(Some(begin_backup()))),
            secrets: Arc::new(secrets),
            access: access.clone(),
            clock: clock.clone(),
            condition: watched,
            serving: Arc::new(move || *serves.borrow()),
            installation: Arc::new(Installation {
                version: "0.1.0".to_owned(),
                cluster_name: "test".to_owned(),
                cluster_id: "3f8e".to_owned(),
                seal_type: "file".to_owned(),
                storage_type: "memory".to_owned(),
            }),
        });
        let revoked = Arc::new(Mutex::new(BTreeSet::from(["dead".to_owned()])));
        Self {
            access: access.clone(),
            router,
            clock,
            sink,
            condition,
            serving,
            revoked,
            _policies: policies,
        }
    }

    /// A certificate of a name under `spiffe://test/` that is good for a day.
    pub(crate) fn certificate(&self, name: &str) -> PeerCertificate {
        certificate(name, self.clock.now())
    }

    /// A request with the certificate of a name under `spiffe://test/`, or with none for an empty name.
    pub(crate) fn call(&self, who: &str, method: &str, uri: &str) -> Call<'_> {
        let certificate = (!who.is_empty()).then(|| self.certificate(who));
        let request = Request::builder().method(method).uri(uri);
        Call { fixture: self, request, certificate, body: Body::empty(), bare: method == "HEAD" }
    }

    /// The answer to an administrator's request without body.
    pub(crate) async fn admin(&self, method: &str, uri: &str) -> Answer {
        self.call("admin", method, uri).send().await
    }

    /// The answer to an administrator's request with this JSON.
    pub(crate) async fn admin_sends(&self, method: &str, uri: &str, body: Value) -> Answer {
        self.call("admin", method, uri).json(&body).send().await
    }

    /// Writes a version and expects that to succeed.
    pub(crate) async fn put(&self, path: &str, data: Value) -> Answer {
        let body = serde_json::json!({ "data": data });
        let answer = self.admin_sends("POST", &format!("/v1/secret/data/{path}"), body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// A token of this name's certificate.
    pub(crate) async fn login(&self, who: &str) -> String {
        let answer = self.call(who, "POST", "/v1/auth/cert/login").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

/// Its bytes are the name.
fn certificate(name: &str, now: Timestamp) -> PeerCertificate {
    PeerCertificate {
        der: name.as_bytes().to_vec(),
        fingerprint: Fingerprint::of_certificate(name.as_bytes()),
        serial: "1".to_owned(),
        authority_key_id: String::new(),
        not_before: now,
        not_after: now + Duration::from_hours(24),
        lineage: None,
        identity: Ok(Identity {
            tenant: TenantId::default_tenant(),
            name: IdentityName::Spiffe(format!("spiffe://test/{name}").parse().unwrap()),
        }),
    }
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("x-vault-token", token)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        let body = body.to_string();
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn merge_patch(self, body: &Value) -> Self {
        let body = body.to_string();
        self.header("content-type", "application/merge-patch+json").body(body)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into().into();
        self
    }

    /// The body is broken off by the listener.
    pub(crate) fn broken_off(mut self, error: BodyError) -> Self {
        self.body = Body::from_stream(stream::iter([Ok("{"), Err(error)]));
        self
    }

    /// Sends the headers, does something once the gateway waits for the body, then sends `body`.
    pub(crate) async fn parked(mut self, body: &Value, meanwhile: impl AsyncFnOnce()) -> Answer {
        let (begun, waits) = oneshot::channel();
        let (send, sent) = oneshot::channel::<String>();
        self.body = Body::from_stream(stream::once(async move {
            begun.send(()).unwrap();
            Ok::<_, Infallible>(sent.await.unwrap())
        }));
        let call = self.header("content-type", "application/json");
        let answer = tokio::spawn(call.start());
        waits.await.expect("the headers alone are not refused");
        meanwhile().await;
        send.send(body.to_string()).unwrap();
        Answer::of(answer.await.unwrap().unwrap()).await
    }

    pub(crate) fn with(mut self, certificate: PeerCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    pub(crate) async fn send(self) -> Answer {
        let bare = self.bare;
        let answer = Answer::of(self.start().await.unwrap()).await;
        if !bare {
            answer.check_form();
        }
        answer
    }

    /// The answer that is under way.
    pub(crate) fn start(
        self,
    ) -> impl Future<Output = Result<Response, Infallible>> + Unpin + Send + 'static {
        let clock = &self.fixture.clock;
        let identity = self.certificate.as_ref().and_then(|one| one.identity.as_ref().ok());
        let tenant = identity.map_or_else(TenantId::default_tenant, |one| one.tenant.clone());
        let mut context = RequestContext::internal(tenant, clock.now());
        context.address = Some(SocketAddr::from(([192, 0, 2, 1], 1)).ip());
        let revoked = self.fixture.revoked.clone();
        let still_holds: StillHolds = Arc::new(move |certificate| {
            let is_revoked = revoked.lock().unwrap().contains(&certificate.serial);
            if is_revoked { Err(EvidenceError::Revoked) } else { Ok(()) }
        });
        context.evidence =
            self.certificate.map(|one| Evidence::new(Arc::new(one), clock.clone(), still_holds));
        let mut request = self.request.body(self.body).unwrap();
        request.extensions_mut().insert(context);
        Box::pin(self.fixture.router.clone().oneshot(request))
    }
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Self { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// What every answer has, whatever it is about.
    fn check_form(&self) {
        assert_eq!(self.headers["cache-control"], "no-store", "{self:?}");
        if self.status == StatusCode::NO_CONTENT.as_u16() {
            assert!(self.text.is_empty(), "{self:?}");
        } else if self.headers["content-type"] != "application/octet-stream" {
            assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        }
        if self.status >= 400 && self.json().get("request_id").is_none() && !self.is_status() {
            let errors = self.json()["errors"].as_array().cloned();
            let errors = errors.unwrap_or_else(|| panic!("an error without a list: {self:?}"));
            assert!(!errors.is_empty() || self.status == 404, "{self:?}");
        }
    }

    /// Health answers are the same body with every status.
    fn is_status(&self) -> bool {
        self.json().get("sealed").is_some()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["data"].clone()
    }

    /// The errors in one text, with the status that they must have.
    pub(crate) fn errors(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        let errors = json["errors"].as_array().unwrap();
        errors.iter().map(|error| error.as_str().unwrap()).collect::<Vec<_>>().join(", ")
    }
}

/// Does something with the directory of compiled components, which all tests of this crate share
/// because compiling takes them long; one at a time, because they are processes of their own.
fn with_compiled<T>(work: impl FnOnce(PathBuf) -> T) -> T {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(shared.join("api-policies.lock")).unwrap();
    lock.lock().unwrap();
    work(shared.join("api-policies"))
}

fn bind(directory: &Path) {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/target/components/access-rules.wasm");
    let component = std::fs::read(&built)
        .expect("the access-rules plugin is not built: run plugins/build, then test again");
    let digest = Digest::of(&component);
    std::fs::write(directory.join("access-rules.wasm"), component).unwrap();
    let document = format!(
        "[[binding]]\nname = \"test-access\"\ndecision = \"access\"\n\
         plugin = {{ file = \"access-rules.wasm\", digest = \"{digest}\" }}\n\
         limits = {{ deadline_ms = 2000 }}\n[binding.settings]\n{RULES}\n"
    );
    std::fs::write(directory.join("test.toml"), document).unwrap();
}

/// A backup of two pieces; nobody can make two at once here.
fn begin_backup() -> BackupStream {
    let (out, pieces) = mpsc::channel(2);
    let (tell, outcome) = oneshot::channel();
    for piece in ["whole ", "backup"] {
        let _ = out.try_send(piece.into());
    }
    let _ = tell.send(Ok(()));
    BackupStream { newest: 7, pieces, outcome }
}
