use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery_access::{Access, Caller, Role, TokenLimits};
use chancery_audit::{Audit, MemorySink};
use chancery_gate::{Answer, Grant};
use chancery_identity::{
    Clock, Evidence, EvidenceError, Fingerprint, Identity, IdentityName, NoIdentity,
    PeerCertificate, RequestContext, StillHolds, TenantId,
};
use chancery_policy::{Digest, PolicyConfig, PolicyHost};
use chancery_store::SharedStore;
use chancery_store::memory::MemoryStore;
use jiff::Timestamp;
use serde_json::Value;
use zeroize::Zeroizing;

/// Who may do what in these tests.
const RULES: &str = r#"
rules = [
  { name = "app-login", identities = ["spiffe://test/app"], operations = ["auth.login"], resources = ["default/*"], effect = "allow" },
  { name = "short-login", identities = ["spiffe://test/short"], operations = ["auth.login"], resources = ["*"], effect = "allow", max_ttl = "10m" },
  { name = "bearer-login", identities = ["spiffe://test/app"], operations = ["auth.login"], resources = ["ansible/*"], when = { attributes = { "token.bound" = ["false"] } }, effect = "allow" },
  { name = "bound-only", identities = ["spiffe://test/app"], operations = ["secrets.list"], resources = ["secret/app/*"], when = { attributes = { "token.bound" = ["true"] } }, effect = "allow" },
  { name = "admins", identities = ["spiffe://test/admin"], operations = ["auth.login", "session.*", "group.*"], resources = ["*"], effect = "allow" },
  { name = "helpdesk", identities = ["spiffe://test/helpdesk"], operations = ["session.*"], resources = ["default/spiffe://test/app"], effect = "allow" },
  { name = "app-reads", identities = ["spiffe://test/app"], operations = ["secrets.read"], resources = ["secret/app/*"], effect = "allow" },
]
"#;

/// As whom chains are judged: as who is in them, as somebody else, or not at all.
type Believed = Arc<Mutex<Result<Option<Result<Identity, NoIdentity>>, EvidenceError>>>;

/// Access over a store in memory, at a time that stands still.
pub(crate) struct Fixture {
    pub(crate) access: Access,
    pub(crate) store: SharedStore,
    pub(crate) clock: Clock,
    pub(crate) sink: MemorySink,
    pub(crate) policy: PolicyHost,
    revoked: Arc<Mutex<BTreeSet<String>>>,
    believed: Believed,
    policies: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_limits(TokenLimits::default())
    }

    /// Asks at the gate whether the caller may do it.
    pub(crate) async fn decide(
        &self,
        context: &RequestContext,
        caller: &Caller,
        operation: &str,
        resource: &str,
    ) -> Answer<Grant> {
        let session = self.access.session_of(context, caller);
        self.access.gate().decide(&session, operation, resource, vec![]).await
    }

    /// The same with other limits on tokens.
    pub(crate) fn with_limits(limits: TokenLimits) -> Self {
        let policies = tempfile::tempdir().unwrap();
        bind(policies.path(), RULES);
        let policy = with_compiled(|cache| {
            PolicyHost::open(PolicyConfig::new(policies.path().to_owned(), cache)).unwrap()
        });
        let clock = Clock::manual("2030-01-01T00:00:00Z".parse().unwrap());
        let sink = MemorySink::new();
        let audit =
            Audit::with_sink(Box::new(sink.clone()), &Zeroizing::new(vec![7; 32]), clock.clone())
                .unwrap();
        let store: SharedStore = Arc::new(MemoryStore::new());
        let revoked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let taken_back = revoked.clone();
        let access = Access::new(policy.clone(), store.clone(), audit, clock.clone())
            .with_token_limits(limits);
        let believed: Believed = Arc::new(Mutex::new(Ok(None)));
        let (trust, now) = (believed.clone(), clock.clone());
        access.judge_chains_by(Arc::new(move |chain| {
            let leaf = chain.first().ok_or(EvidenceError::Untrusted)?;
            let name = std::str::from_utf8(leaf).unwrap();
            let mut certificate = certificate(name, now.now());
            if let Some(other) = trust.lock().unwrap().clone()? {
                certificate.identity = other;
            }
            let (trust, taken_back) = (trust.clone(), taken_back.clone());
            let still_holds: StillHolds = Arc::new(move |certificate| {
                trust.lock().unwrap().clone()?;
                let gone = taken_back.lock().unwrap().contains(&certificate.serial);
                if gone { Err(EvidenceError::Revoked) } else { Ok(()) }
            });
            Ok(Evidence::new(Arc::new(certificate), now.clone(), still_holds))
        }));
        Self { access, store, clock, sink, policy, revoked, believed, policies }
    }

    /// From now on, chains of certificates that were shown before stand for this, or for nobody.
    pub(crate) fn believe(
        &self,
        what: Result<Option<Result<Identity, NoIdentity>>, EvidenceError>,
    ) {
        *self.believed.lock().unwrap() = what;
    }

    /// The same gateway with its store put back to what it is now.
    pub(crate) fn restored(mut self) -> Self {
        let second = u64::try_from(self.clock.now().as_second()).unwrap();
        self.access = self.access.with_restored(Some(second));
        self
    }

    /// Replaces the rules.
    pub(crate) fn rules(&self, rules: &str) {
        bind(self.policies.path(), rules);
        with_compiled(|_| self.policy.reload().unwrap());
    }

    /// A certificate of a name under `spiffe://test/` that is good for a day.
    pub(crate) fn certificate(&self, name: &str) -> PeerCertificate {
        certificate(name, self.clock.now())
    }

    pub(crate) fn request(
        &self,
        certificate: impl Into<Option<PeerCertificate>>,
    ) -> RequestContext {
        let mut context = RequestContext::internal(TenantId::default_tenant(), self.clock.now());
        let revoked = self.revoked.clone();
        let still_holds: StillHolds = Arc::new(move |certificate| {
            let is_revoked = revoked.lock().unwrap().contains(&certificate.serial);
            if is_revoked { Err(EvidenceError::Revoked) } else { Ok(()) }
        });
        context.evidence = certificate
            .into()
            .map(|one| Evidence::new(Arc::new(one), self.clock.clone(), still_holds));
        context
    }

    /// A request without a certificate from this address.
    pub(crate) fn from(&self, address: &str) -> RequestContext {
        let mut context = self.request(None);
        context.address = Some(address.parse().unwrap());
        context
    }

    /// Its issuer takes back the certificate of this request.
    pub(crate) fn revoke_certificate_of(&self, context: &RequestContext) {
        let serial = context.evidence.as_ref().unwrap().serial().to_owned();
        self.revoked.lock().unwrap().insert(serial);
    }

    /// The request of a name under `spiffe://test/`.
    pub(crate) fn by(&self, name: &str) -> RequestContext {
        self.request(self.certificate(name))
    }

    pub(crate) async fn login(&self, context: &RequestContext) -> chancery_access::Login {
        self.access.login_with_certificate(context, &Role::default_role()).await.unwrap()
    }

    pub(crate) async fn caller(&self, context: &RequestContext, token: &str) -> Caller {
        self.access.authenticate(context, Some(token)).await.unwrap()
    }

    pub(crate) fn last_audited(&self) -> Value {
        self.sink.lines().pop().unwrap()
    }

    /// How many records the store has.
    pub(crate) async fn records(&self) -> usize {
        self.store.scan(b"", None, 1000).await.unwrap().len()
    }
}

/// Does something with the directory of compiled components, which all tests of this crate share
/// because compiling takes them long; one at a time, because they are processes of their own.
fn with_compiled<T>(work: impl FnOnce(PathBuf) -> T) -> T {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(shared.join("access-policies.lock")).unwrap();
    lock.lock().unwrap();
    work(shared.join("access-policies"))
}

fn bind(directory: &Path, rules: &str) {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/target/components/access-rules.wasm");
    let component = std::fs::read(&built)
        .expect("the access-rules plugin is not built: run plugins/build, then test again");
    let digest = Digest::of(&component);
    std::fs::write(directory.join("access-rules.wasm"), component).unwrap();
    let settings: String = rules.trim().to_owned();
    let document = format!(
        "[[binding]]\nname = \"test-access\"\ndecision = \"access\"\n\
         plugin = {{ file = \"access-rules.wasm\", digest = \"{digest}\" }}\n\
         limits = {{ deadline_ms = 2000 }}\n[binding.settings]\n{settings}\n"
    );
    std::fs::write(directory.join("test.toml"), document).unwrap();
}

fn certificate(name: &str, now: Timestamp) -> PeerCertificate {
    PeerCertificate {
        der: name.as_bytes().to_vec(),
        fingerprint: Fingerprint::of_certificate(name.as_bytes()),
        serial: hex::encode(name),
        authority_key_id: String::new(),
        not_before: now - Duration::from_secs(1),
        not_after: now + Duration::from_hours(24),
        lineage: None,
        identity: Ok(Identity {
            tenant: TenantId::default_tenant(),
            name: IdentityName::Spiffe(format!("spiffe://test/{name}").parse().unwrap()),
        }),
    }
}

pub(crate) fn nobody(mut certificate: PeerCertificate) -> PeerCertificate {
    certificate.identity = Err(NoIdentity::Unrecognised);
    certificate
}

pub(crate) fn of_tenant(mut certificate: PeerCertificate, tenant: &str) -> PeerCertificate {
    if let Ok(identity) = &mut certificate.identity {
        identity.tenant = tenant.parse().unwrap();
    }
    certificate
}

pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}
