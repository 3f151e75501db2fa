use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chancery_access::{Access, Caller};
use chancery_audit::{Audit, MemorySink};
use chancery_identity::{
    Clock, Evidence, Fingerprint, Identity, IdentityName, PeerCertificate, RequestContext, TenantId,
};
use chancery_policy::{Digest, PolicyConfig, PolicyHost};
use chancery_secrets::kv::{Folder, Kv, KvError, SecretData, SecretPath, VersionMetadata};
use chancery_secrets::transit::{Custody, Transit};
use chancery_secrets::{Mount, MountKind, Mounts, Page, Secrets};
use chancery_store::memory::MemoryStore;
use chancery_store::{Record, Store};
use serde_json::Value;
use zeroize::Zeroizing;

/// Who may do what in these tests.
const RULES: &str = r#"
rules = [
  { name = "admins", identities = ["spiffe://test/admin"], operations = ["*"], resources = ["secret/*"], effect = "allow" },
  { name = "creators", identities = ["spiffe://test/creator"], operations = ["secrets.create"], resources = ["secret/*"], effect = "allow" },
  { name = "key admins", identities = ["spiffe://test/admin"], operations = ["keys.*", "crypto.*"], resources = ["transit/*"], effect = "allow" },
  { name = "signers", identities = ["spiffe://test/signer"], operations = ["crypto.sign"], resources = ["transit/*"], when = { attributes = { algorithm = ["ecdsa-*"] } }, effect = "allow" },
  { name = "restorers", identities = ["spiffe://test/restorer"], operations = ["keys.restore"], resources = ["transit/*"], effect = "allow" },
  { name = "not these", identities = ["spiffe://test/restorer"], operations = ["keys.restore"], resources = ["transit/guarded"], effect = "deny" },
  { name = "nor what can be taken out", identities = ["spiffe://test/restorer"], operations = ["keys.restore"], resources = ["*"], when = { attributes = { exportable = ["true"] } }, effect = "deny" },
  { name = "readers", identities = ["spiffe://test/reader"], operations = ["secrets.read"], resources = ["secret/app/*"], effect = "allow" },
]
"#;

/// Secrets over a store in memory, at a time that stands still.
pub(crate) struct Fixture {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) access: Arc<Access>,
    pub(crate) store: MemoryStore,
    pub(crate) clock: Clock,
    pub(crate) sink: MemorySink,
    _policies: tempfile::TempDir,
}

/// Somebody with a request of theirs.
pub(crate) struct Somebody {
    pub(crate) context: RequestContext,
    pub(crate) caller: Caller,
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
        let store = MemoryStore::new();
        let shared = Arc::new(store.clone());
        let access = Arc::new(Access::new(policy, shared.clone(), audit.clone(), clock.clone()));
        let mount = |name: &str, kind| Mount {
            name: name.parse().unwrap(),
            kind,
            description: "tests".to_owned(),
        };
        let mounts = [mount("secret", MountKind::Kv), mount("transit", MountKind::Transit)];
        let secrets = Secrets::new(access.clone(), shared, clock.clone(), Mounts::new(mounts));
        let secrets = secrets.with_keys(Custody::new(None));
        Self { secrets: Arc::new(secrets), access, store, clock, sink, _policies: policies }
    }

    pub(crate) fn kv(&self) -> Kv<'_> {
        self.secrets.kv("secret".parse().unwrap())
    }

    pub(crate) fn transit(&self) -> Transit<'_> {
        self.secrets.transit("transit".parse().unwrap())
    }

    /// The holder of a certificate with a name under `spiffe://test/`.
    pub(crate) async fn somebody(&self, tenant: &str, name: &str) -> Somebody {
        let tenant: TenantId = tenant.parse().unwrap();
        let now = self.clock.now();
        let mut context = RequestContext::internal(tenant.clone(), now);
        let certificate = Arc::new(PeerCertificate {
            der: vec![],
            fingerprint: Fingerprint::of_certificate(name.as_bytes()),
            serial: "1".to_owned(),
            authority_key_id: String::new(),
            not_before: now,
            not_after: now + Duration::from_hours(24),
            lineage: None,
            identity: Ok(Identity {
                tenant,
                name: IdentityName::Spiffe(format!("spiffe://test/{name}").parse().unwrap()),
            }),
        });
        let evidence = Evidence::new(certificate, self.clock.clone(), Arc::new(|_| Ok(())));
        context.evidence = Some(evidence);
        let caller = self.access.authenticate(&context, None).await.unwrap();
        Somebody { context, caller }
    }

    pub(crate) async fn admin(&self) -> Somebody {
        self.somebody("default", "admin").await
    }

    pub(crate) async fn write(
        &self,
        who: &Somebody,
        at: &str,
        json: &str,
        cas: Option<u64>,
    ) -> Result<VersionMetadata, KvError> {
        let data = SecretData::from_json(json).unwrap();
        self.kv().write(&who.context, &who.caller, &path(at), &data, cas).await
    }

    /// The JSON text of the newest version.
    pub(crate) async fn read(&self, who: &Somebody, at: &str) -> Result<String, KvError> {
        let found = self.kv().read(&who.context, &who.caller, &path(at), None).await?;
        Ok(found.data.as_json().to_owned())
    }

    pub(crate) async fn list(&self, who: &Somebody, folder: &str) -> Result<Vec<String>, KvError> {
        let folder = Folder::parse(folder).unwrap();
        self.kv().list(&who.context, &who.caller, &folder, &Page::ALL).await
    }

    pub(crate) async fn list_page(
        &self,
        who: &Somebody,
        folder: &str,
        after: &str,
        limit: Option<usize>,
    ) -> Result<Vec<String>, KvError> {
        let page = Page { after: Some(after.to_owned()), limit };
        let folder = Folder::parse(folder).unwrap();
        self.kv().list(&who.context, &who.caller, &folder, &page).await
    }

    /// The records of values.
    pub(crate) async fn values(&self) -> Vec<Record> {
        self.store.scan(b"default/secrets/kv-version/", None, 10_000).await.unwrap()
    }

    pub(crate) fn last_audited(&self) -> Value {
        self.sink.lines().pop().unwrap()
    }
}

pub(crate) fn path(text: &str) -> SecretPath {
    SecretPath::parse(text).unwrap()
}

/// Does something with the directory of compiled components, which all tests of this crate share
/// because compiling takes them long; one at a time, because they are processes of their own.
fn with_compiled<T>(work: impl FnOnce(PathBuf) -> T) -> T {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = File::create(shared.join("secrets-policies.lock")).unwrap();
    lock.lock().unwrap();
    work(shared.join("secrets-policies"))
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
