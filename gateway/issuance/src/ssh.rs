//! Certificates for SSH: policy → strength of the key → record → sign → audit, as for all other
//! certificates.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chancery_audit::{Decision, Event, NameList, Outcome};
use chancery_ca::SshSignError;
use chancery_gate::{EachAnswer, Refused, Session};
use chancery_identity::{Identity, RequestContext, TenantId};
use chancery_ssh::{Certificate, CertificateError, Kind, Options, SshPublicKey, check_principals};
use chancery_store::{Commit, Key, ReadError};
use chancery_x509::{RandomFailure, WeakKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;
use crate::{Inner, Unavailable, store_key};

/// How many principals a certificate may have: policy is asked about each.
const MOST_PRINCIPALS: usize = 64;

/// How many principals a refusal names.
const MOST_TOLD: usize = 3;

/// How much earlier than now a certificate begins, for hosts whose clocks are slow.
const BACKDATE: Duration = Duration::from_mins(1);

/// A request for an SSH certificate.
#[derive(Debug, Clone)]
pub struct SshRequest {
    /// The request from the outside that this belongs to.
    pub context: RequestContext,
    /// The client; its identity is in the certificate's key id, and so in the logs of hosts.
    pub identity: Identity,
    /// What the client calls its purpose; policy sees it.
    pub role: String,
    /// The key.
    pub public_key: SshPublicKey,
    /// Whether it is for a user or a host.
    pub kind: Kind,
    /// The names that it is to be good for.
    pub principals: Vec<String>,
    /// How long it is to be valid.
    pub ttl: Option<Duration>,
    /// What it allows and demands.
    pub options: Options,
}

/// A certificate to hand out: it is recorded, and in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshIssued {
    /// Its serial number.
    pub serial: u64,
    /// The certificate as one line.
    pub line: String,
    /// When it ends.
    pub valid_before: Timestamp,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// There is no CA for SSH.
    #[error("there is no CA for SSH here")]
    NotConfigured,
    /// The CA certifies for other tenants than the one that asks.
    #[error(
        "the CA for SSH does not certify for this tenant, since the hosts that trust it are those of other \
         tenants: `ssh.tenants` in the configuration names them"
    )]
    OfOtherTenants,
    /// The key is weak.
    #[error("the key is too weak to be certified: {0}")]
    WeakKey(#[from] WeakKey),
    /// The key was revoked as compromised.
    #[error("the key is known to be compromised; make a new one")]
    CompromisedKey,
    /// The gate refused the operation.
    #[error("{}", .0.told())]
    Gate(#[from] Refused),
    /// Too many principals.
    #[error("a certificate may have {MOST_PRINCIPALS} principals, and not {0}")]
    TooManyPrincipals(usize),
    /// The request does not describe a valid certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The client requests a longer validity than is allowed. A client that requests none gets what is
    /// allowed.
    #[error(
        "the ttl is larger than the maximum allowed: {} seconds were asked for, and {} are allowed", asked.as_secs(), allowed.as_secs()
    )]
    TtlTooLong {
        /// How long it was to be valid.
        asked: Duration,
        /// How long it may be.
        allowed: Duration,
    },
    /// The role is not a valid one.
    #[error("the role has to be 1 to 128 printable characters without white space")]
    Role,
    /// Signing, storing or recording failed. The request is fine; it may be tried again.
    #[error("the certificate could not be issued at the moment: {0}")]
    Unavailable(#[from] Unavailable),
}

/// The record of a certificate, written before it is signed.
#[derive(Debug, Serialize, Deserialize)]
struct SshRecord {
    kind: String,
    key_id: String,
    principals: Vec<String>,
    public_key: String,
    spki_sha256: String,
    issued_at: Timestamp,
    options: BTreeMap<String, String>,
}

impl SshError {
    /// Stable code of the reason, as in the audit log.
    pub fn code(&self) -> &str {
        match self {
            Self::NotConfigured => "not-configured",
            Self::OfOtherTenants => "of-other-tenants",
            Self::WeakKey(_) => "weak-key",
            Self::CompromisedKey => "compromised-key",
            Self::Gate(refused) => refused.code(),
            Self::TooManyPrincipals(_) | Self::Certificate(_) | Self::Role => "bad-request",
            Self::TtlTooLong { .. } => "ttl-too-long",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn outcome(&self) -> Outcome {
        let code = self.code().to_owned();
        match self {
            Self::Unavailable(_) | Self::NotConfigured => Outcome::Failed { code },
            _ => Outcome::Denied { code },
        }
    }
}

impl SshRequest {
    /// The operation that policies are asked about, once for each principal as the resource.
    pub fn operation(&self) -> &'static str {
        match self.kind {
            Kind::User => "ssh.sign-user",
            Kind::Host => "ssh.sign-host",
        }
    }
}

/// The policies' answers, for the audit log.
#[derive(Default)]
struct Said {
    decisions: Vec<Decision>,
    /// The principals that were denied.
    denied: Vec<String>,
}

/// Takes a request through all steps. When this returns, the audit log contains success and failure alike.
#[tracing::instrument(name = "issuance.sign_ssh", skip_all, fields(request = %request.context.id))]
pub(crate) async fn run(inner: &Inner, request: SshRequest) -> Result<SshIssued, SshError> {
    let mut said = Said::default();
    let result = issue(inner, &request, &mut said).await;
    let event = if result.is_ok() {
        Event::new(&request.context, request.operation(), request.principals.join(","))
    } else {
        let principals = NameList::new(&request.principals);
        let event = Event::about_names(&request.context, request.operation(), &principals);
        if said.denied.is_empty() { event } else { event.detail("denied", said.denied) }
    };
    let event = event
        .decisions(said.decisions)
        .detail("by", request.identity.to_string())
        .detail("role", request.role.clone())
        .detail("spki_sha256", hex::encode(request.public_key.key().fingerprint()));
    let event = match &result {
        Ok(issued) => event
            .detail("serial", format!("{:016x}", issued.serial))
            .detail("valid_before", issued.valid_before.to_string())
            .succeeded(),
        Err(error) => event.detail("reason", error.to_string()).outcome(error.outcome()),
    };
    inner.gate.record(event).await.map_err(Unavailable::from)?;
    result
}

async fn issue(
    inner: &Inner,
    request: &SshRequest,
    said: &mut Said,
) -> Result<SshIssued, SshError> {
    let issuer = inner.issuers.ssh.as_ref().ok_or(SshError::NotConfigured)?;
    if !issuer.tenants.contains(&request.context.tenant) {
        return Err(SshError::OfOtherTenants);
    }
    let key = request.public_key.key();
    inner.strength(key).await??;
    if inner.inventory.is_blocked(key).await.map_err(Unavailable::from)? {
        return Err(SshError::CompromisedKey);
    }
    let ceiling = ask_policy(inner, request, said).await?;
    let allowed = ceiling.map_or(issuer.max_ttl, |ceiling| ceiling.min(issuer.max_ttl));
    let ttl = match request.ttl {
        Some(asked) if asked > allowed => return Err(SshError::TtlTooLong { asked, allowed }),
        Some(asked) => asked,
        None => issuer.default_ttl.min(allowed),
    };
    let now = inner.clock.now();
    let mut serial = [0; 8];
    SystemRandom::new().fill(&mut serial).map_err(|_| Unavailable::from(RandomFailure))?;
    let certificate = Certificate {
        public_key: request.public_key.clone(),
        serial: u64::from_be_bytes(serial),
        kind: request.kind,
        key_id: format!("{} request={}", request.identity, request.context.id),
        principals: request.principals.clone(),
        valid_after: now.checked_sub(BACKDATE).unwrap_or(now),
        valid_before: now.checked_add(ttl).unwrap_or(Timestamp::MAX),
        options: request.options.clone(),
    };
    record(inner, &request.context.tenant, &certificate, now).await?;
    let line = issuer.ca.sign(&certificate).await.map_err(|error| match error {
        SshSignError::Certificate(error) => SshError::Certificate(error),
        other => Unavailable::Ssh(other).into(),
    })?;
    Ok(SshIssued { serial: certificate.serial, line, valid_before: certificate.valid_before })
}

/// Asks about each principal, and merges the permissions to the strictest.
async fn ask_policy(
    inner: &Inner,
    request: &SshRequest,
    said: &mut Said,
) -> Result<Option<Duration>, SshError> {
    if request.principals.len() > MOST_PRINCIPALS {
        return Err(SshError::TooManyPrincipals(request.principals.len()));
    }
    // Check before policies see them: names of options become attributes, and some attributes mean something
    // else.
    check_principals(&request.principals)?;
    request.options.check(request.kind)?;
    let plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    if !(1..=128).contains(&request.role.len()) || !request.role.chars().all(plain) {
        return Err(SshError::Role);
    }
    let Options { critical, extensions } = &request.options;
    let mut facts = vec![("ssh_role".to_owned(), request.role.clone())];
    facts.extend(request.ttl.map(|ttl| ("ttl_seconds".to_owned(), ttl.as_secs().to_string())));
    facts.extend(critical.iter().map(|(name, value)| (name.clone(), value.clone())));
    facts.extend(extensions.keys().map(|name| ("extension".to_owned(), name.clone())));
    facts.push(("principals".to_owned(), request.principals.join(",")));
    let context = &request.context;
    let session = Session::new(context, context.tenant.clone(), request.identity.to_string());
    let EachAnswer { answer, denied } =
        inner.gate.decide_each(&session, request.operation(), &request.principals, facts).await;
    said.decisions.extend(answer.decisions);
    let denied = denied.iter().filter_map(|(at, _)| request.principals.get(*at));
    said.denied.extend(denied.cloned());
    let about: Vec<_> = said.denied.iter().take(MOST_TOLD).map(String::as_str).collect();
    let grant = answer.result.map_err(|refused| match about.as_slice() {
        [] => refused,
        about => refused.about(request.operation(), &about.join(", ")),
    })?;
    Ok(grant.max_ttl)
}

/// Records it before it is signed.
async fn record(
    inner: &Inner,
    tenant: &TenantId,
    certificate: &Certificate,
    now: Timestamp,
) -> Result<(), Unavailable> {
    let key = place(tenant, certificate.valid_before, certificate.serial)?;
    let Options { critical, extensions } = &certificate.options;
    let options = critical.iter().chain(extensions);
    let record = SshRecord {
        kind: match certificate.kind {
            Kind::User => "user".to_owned(),
            Kind::Host => "host".to_owned(),
        },
        key_id: certificate.key_id.clone(),
        principals: certificate.principals.clone(),
        public_key: certificate.public_key.line(),
        spki_sha256: hex::encode(certificate.public_key.key().fingerprint()),
        issued_at: now,
        options: options.map(|(name, value)| (name.clone(), value.clone())).collect(),
    };
    let value = serde_json::to_vec(&record)
        .map_err(|error| ReadError::Damaged { key: key.clone(), reason: error.to_string() })?;
    let commit = Commit::new().check_absent(key.clone()).put(key, value);
    inner.inventory.store().commit(commit).await?;
    Ok(())
}

/// The key of a record; records sort by the end of the certificates.
fn place(tenant: &TenantId, end: Timestamp, serial: u64) -> Result<Key, ReadError> {
    let end = u64::try_from(end.as_second()).unwrap_or(0);
    store_key(format!("{tenant}/issuance/ssh/{end:010x}/{serial:016x}"))
}

/// Removes the records of certificates that ended before `until`.
pub(crate) async fn prune(
    inventory: &Inventory,
    tenant: &TenantId,
    until: Timestamp,
) -> Result<(), Unavailable> {
    const BATCH: usize = 256;
    let prefix = format!("{tenant}/issuance/ssh/");
    let end = place(tenant, until, 0)?;
    loop {
        let page = inventory.keys(prefix.as_bytes(), None, BATCH).await?;
        let old: Vec<Key> = page.into_iter().take_while(|key| *key < end).collect();
        if old.is_empty() {
            return Ok(());
        }
        inventory.store().commit(old.into_iter().fold(Commit::new(), Commit::delete)).await?;
    }
}
