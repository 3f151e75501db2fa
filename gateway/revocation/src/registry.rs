//! Watches the CRLs and OCSP responders of all client CAs, and checks certificate chains.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use chancery_compute::Compute;
use chancery_identity::{Clock, EvidenceError, Lineage, Settling};
use chancery_x509::{CertificateError, ParsedCertificate};
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::issuer::Issuer;
use crate::keep;
use crate::{CaReport, ForeignCa};

/// How long a start or a reload waits for what can be had of all sources.
const PATIENCE: Duration = Duration::from_secs(3);

/// CRLs are read one after the other, and none is refused for the time that others take.
const READING: (usize, usize, Duration) = (1, 256, Duration::from_mins(5));

/// Why the revocations of a CA cannot be found out.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCa {
    /// A certificate cannot be read.
    #[error("a certificate of {origin} cannot be read: {reason}")]
    Certificate {
        /// Where it comes from.
        origin: String,
        /// What is wrong with it.
        reason: CertificateError,
    },
    /// Nothing can be fetched at all.
    #[error("nothing can be fetched for {origin}: {reason}")]
    Fetching {
        /// Whose CRLs or answers.
        origin: String,
        /// Why.
        reason: String,
    },
}

/// What is known of the revocations of all client CAs. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Revocation(Arc<Inner>);

struct Inner {
    /// Where the last good CRLs are kept.
    directory: PathBuf,
    clock: Clock,
    compute: Compute,
    authorities: ArcSwap<Vec<Watched>>,
}

/// A CA whose sources are looked at until it goes.
#[derive(Clone)]
struct Watched {
    authority: Arc<Authority>,
    /// Ends with the last who knows of it.
    looking: Arc<JoinSet<()>>,
}

impl Revocation {
    /// Nothing is known yet. The last good CRL of each source is kept in the directory, which is made when it is
    /// needed.
    pub fn new(directory: PathBuf, clock: Clock) -> Self {
        let (threads, queue, patience) = READING;
        Self(Arc::new(Inner {
            directory,
            clock,
            compute: Compute::new(threads, queue, patience),
            authorities: ArcSwap::default(),
        }))
    }

    /// Finds out about these CAs from now on, and about no others.
    ///
    /// # Errors
    /// See [`InvalidCa`]. Nothing has changed.
    pub async fn replace(&self, cas: Vec<ForeignCa>) -> Result<(), InvalidCa> {
        self.add(cas.clone()).await?;
        self.keep_only(&cas);
        Ok(())
    }

    /// Finds out about these CAs from now on, and about the others as before. Returns when every source of these
    /// was looked at, or after three seconds: then what was kept of it counts, until it can be looked at.
    ///
    /// # Errors
    /// See [`InvalidCa`]. Nothing has changed.
    pub async fn add(&self, cas: Vec<ForeignCa>) -> Result<(), InvalidCa> {
        let inner = &*self.0;
        let before = inner.authorities.load_full();
        let others: Vec<_> =
            before.iter().filter(|one| !cas.contains(&one.authority.configured)).cloned().collect();
        let mut opened = vec![];
        for ca in cas {
            let same = before.iter().find(|one| one.authority.configured == ca);
            opened.push(match same {
                Some(same) => (Arc::clone(&same.authority), Some(Arc::clone(&same.looking))),
                None => (inner.open(ca).await?, None),
            });
        }
        let look = |authority: &Arc<Authority>| {
            let authority = Arc::clone(authority);
            tokio::spawn(async move { authority.refresh(true).await })
        };
        let looking: Vec<_> = opened.iter().map(|(authority, _)| look(authority)).collect();
        // What hangs goes on by itself.
        let _ = tokio::time::timeout(PATIENCE, futures_util::future::join_all(looking)).await;
        let watched = opened.into_iter().map(|(authority, looking)| Watched {
            looking: looking.unwrap_or_else(|| Arc::new(authority.keep_fresh())),
            authority,
        });
        inner.authorities.store(Arc::new(watched.chain(others).collect()));
        Ok(())
    }

    /// Forgets all CAs but these. Call it when the others are trusted no more: what they revoked is not known
    /// from then on.
    pub fn keep_only(&self, cas: &[ForeignCa]) {
        let inner = &*self.0;
        let mut kept = inner.authorities.load().to_vec();
        kept.retain(|one| cas.contains(&one.authority.configured));
        inner.authorities.store(Arc::new(kept));
        if let Err(error) = inner.forget_others() {
            tracing::warn!(%error, "CRLs of client CAs that are no longer needed were not removed");
        }
    }

    /// Whether all of a chain holds, as far as its CA was to be asked about. It answers from memory.
    ///
    /// # Errors
    /// What was revoked, or that this is not known.
    pub fn check(&self, lineage: &Lineage) -> Result<(), EvidenceError> {
        let all = self.0.authorities.load();
        let mut asked = all.iter().filter(|one| one.authority.trusts(lineage.ca));
        asked.try_for_each(|one| one.authority.check(lineage))
    }

    /// Finds out what is not known yet of a chain that was verified; `above` has the certificates of the CAs
    /// between, the issuer's first, in DER. None if there is nothing to wait for.
    pub fn settle(&self, lineage: &Lineage, above: &[Vec<u8>]) -> Option<Settling> {
        let all = self.0.authorities.load();
        let asked = all.iter().filter(|one| one.authority.trusts(lineage.ca));
        let mut waiting: Vec<_> =
            asked.filter_map(|one| one.authority.settle(lineage, above)).collect();
        match waiting.len() {
            0 => None,
            1 => waiting.pop(),
            _ => Some(Box::pin(async move {
                futures_util::future::join_all(waiting).await;
            })),
        }
    }

    /// What is known, for operators.
    pub fn report(&self) -> Vec<CaReport> {
        self.0.authorities.load().iter().map(|one| one.authority.report()).collect()
    }
}

impl Inner {
    async fn open(&self, ca: ForeignCa) -> Result<Arc<Authority>, InvalidCa> {
        let origin = || ca.origin.clone();
        let trusted = ca.certificates.iter().map(|der| {
            let read = ParsedCertificate::from_der(der);
            let read = read.map(|certificate| Arc::new(Issuer::new(certificate)));
            read.map_err(|reason| InvalidCa::Certificate { origin: origin(), reason })
        });
        let trusted = trusted.collect::<Result<Vec<_>, _>>()?;
        let tools = (self.compute.clone(), self.clock.clone());
        let opened = Authority::open(ca.clone(), trusted, &self.directory, tools).await;
        opened
            .map(Arc::new)
            .map_err(|error| InvalidCa::Fetching { origin: origin(), reason: error.to_string() })
    }

    /// Removes what was kept for sources that are configured no longer.
    fn forget_others(&self) -> io::Result<()> {
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let authorities = self.authorities.load();
        for entry in entries {
            let path: PathBuf = entry?.path();
            let kept = authorities.iter().any(|one| one.authority.keeps(&path));
            if !kept && is_ours(&path) {
                chancery_files::remove(&path)?;
            }
        }
        Ok(())
    }
}

fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == keep::LIST || end == keep::ISSUER)
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocation").field("directory", &self.0.directory).finish_non_exhaustive()
    }
}
