//! One client CA: its CRLs, its responder, and what these say of a chain.

use std::path::Path;
use std::sync::Arc;

use chancery_compute::Compute;
use chancery_identity::{CaId, Clock, EvidenceError, Lineage, Link, Settling};
use chancery_x509::{ParsedCertificate, Serial};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::fetch::{FetchError, Fetcher};
use crate::issuer::{Issuer, Issuers};
use crate::list::freshness;
use crate::ocsp::{Ask, IsRevoked, Ocsp, Said};
use crate::report::{self, CaReport};
use crate::source::{CrlSource, Room};
use crate::{ForeignCa, Settings, Source, WhenUnknown, meters};

pub(crate) struct Authority {
    /// What the configuration says of it.
    pub(crate) configured: ForeignCa,
    room: Room,
    sources: Arc<Vec<CrlSource>>,
    ocsp: Option<Arc<Ocsp>>,
    /// A CA was seen for the first time, of which there may be a CRL already.
    learnt: Notify,
}

impl Authority {
    /// The CA, with the CRLs that were kept of it.
    pub(crate) async fn open(
        configured: ForeignCa,
        trusted: Vec<Arc<Issuer>>,
        directory: &Path,
        (compute, clock): (Compute, Clock),
    ) -> Result<Self, FetchError> {
        meters::begin(&configured.origin);
        let settings: Settings = configured.settings.clone();
        let by_web = settings.crls.iter().any(|source| matches!(source, Source::Url(_)));
        let fetcher = if by_web || settings.ocsp.is_some() { Some(Fetcher::new()?) } else { None };
        let room = Room {
            origin: configured.origin.clone(),
            fetcher: fetcher.clone(),
            issuers: Issuers::new(trusted),
            compute,
            clock: clock.clone(),
            settings,
        };
        let opening = room.settings.crls.iter().cloned();
        let opening = opening.map(|source| CrlSource::open(source, directory, &room));
        let sources: Arc<Vec<CrlSource>> = Arc::new(join_all(opening).await);
        let lists = Arc::clone(&sources);
        let is_revoked: IsRevoked =
            Arc::new(move |issuer, serial| is_listed(&lists, issuer, serial));
        let Settings { refresh, grace, .. } = room.settings;
        let ocsp = room.settings.ocsp.clone().zip(fetcher).map(|(responder, fetcher)| {
            Arc::new(Ocsp::new(responder, fetcher, clock, (refresh, grace), is_revoked))
        });
        Ok(Self { configured, room, sources, ocsp, learnt: Notify::new() })
    }

    /// Whether all of a chain holds, from memory. What becomes old is asked about beside.
    pub(crate) fn check(&self, lineage: &Lineage) -> Result<(), EvidenceError> {
        let now = self.room.clock.now();
        let mut known = true;
        for link in &lineage.links {
            let (said, ask) = self.status(link, now);
            if ask != Ask::No {
                // Holders of bearer tokens show no certificate that could be settled.
                drop(self.ask_about(link));
            }
            match said {
                Said::Good => {}
                Said::Revoked if link.is_ca => return Err(EvidenceError::CaRevoked),
                Said::Revoked => return Err(EvidenceError::Revoked),
                Said::Unknown => known = false,
            }
        }
        match self.room.settings.when_unknown {
            _ if known => Ok(()),
            WhenUnknown::Refuse => Err(EvidenceError::StatusUnknown),
            WhenUnknown::Accept => {
                meters::accepted_unknown(&self.room.origin);
                Ok(())
            }
        }
    }

    /// Asks about what is not known of a chain, or becomes old. What has to be waited for ends within
    /// [`Settings::ocsp_wait`].
    pub(crate) fn settle(
        self: &Arc<Self>,
        lineage: &Lineage,
        above: &[Vec<u8>],
    ) -> Option<Settling> {
        let learnt = self.learn(lineage, above);
        let now = self.room.clock.now();
        let place = learnt && self.sources.iter().any(CrlSource::has_unplaced);
        if !place {
            let answers = self.ask(lineage, now);
            if answers.is_empty() {
                return None;
            }
            return Some(self.waiting(None, answers));
        }
        // A CRL that was waiting for this CA may make the question superfluous.
        Some(self.waiting(Some(lineage.clone()), vec![]))
    }

    fn waiting(self: &Arc<Self>, place: Option<Lineage>, answers: Vec<Receiver<()>>) -> Settling {
        let authority = Arc::clone(self);
        let limit = self.room.settings.ocsp_wait;
        Box::pin(async move {
            let work = async {
                let mut answers = answers;
                if let Some(lineage) = place {
                    authority.place().await;
                    answers = authority.ask(&lineage, authority.room.clock.now());
                }
                for mut answer in answers {
                    // Nothing is ever sent: it ends when the sender is gone.
                    while answer.changed().await.is_ok() {}
                }
            };
            // A caller that waited too long is judged by what is known.
            let _ = timeout(limit, work).await;
        })
    }

    /// Remembers the CAs of a chain that was verified. Says whether there was a new one.
    fn learn(&self, lineage: &Lineage, above: &[Vec<u8>]) -> bool {
        let mut learnt = false;
        for (link, der) in lineage.links.iter().zip(above) {
            if self.room.issuers.knows(link.issuer) {
                continue;
            }
            let Ok(certificate) = ParsedCertificate::from_der(der) else { continue };
            let issuer = Issuer::new(certificate);
            learnt |= issuer.id == link.issuer && self.room.issuers.learn(issuer);
        }
        if learnt {
            self.learnt.notify_one();
        }
        learnt
    }

    /// Asks the responder about what needs it. Returns what has to be waited for.
    fn ask(&self, lineage: &Lineage, now: Timestamp) -> Vec<Receiver<()>> {
        let mut waiting = vec![];
        for link in &lineage.links {
            match self.status(link, now) {
                (_, Ask::No) => {}
                (_, Ask::Beside) => drop(self.ask_about(link)),
                (_, Ask::Wait) => waiting.extend(self.ask_about(link)),
            }
        }
        waiting
    }

    fn ask_about(&self, link: &Link) -> Option<Receiver<()>> {
        let issuer = self.room.issuers.find(link.issuer)?;
        self.ocsp.as_ref()?.ask(issuer, link.serial.parse().ok()?)
    }

    /// What is known of one certificate: by the CRLs, and by the responder as far as these say nothing.
    fn status(&self, link: &Link, now: Timestamp) -> (Said, Ask) {
        // What has no such number was not verified.
        let Ok(serial) = link.serial.parse::<Serial>() else { return (Said::Unknown, Ask::No) };
        let mut covered = false;
        for source in self.sources.iter() {
            let lists = source.held();
            for held in lists.iter().filter(|held| held.issuer == link.issuer) {
                if held.list.is_revoked(&serial) {
                    return (Said::Revoked, Ask::No);
                }
                let until = held.list.next_update();
                let fresh = freshness(Some(until), self.room.settings.grace, now);
                let scope = held.list.scope();
                covered |= fresh.is_current() && scope.covers(link.is_ca, &link.crl_points);
            }
        }
        match &self.ocsp {
            _ if covered => (Said::Good, Ask::No),
            Some(ocsp) => ocsp.status(&(link.issuer, serial), now),
            None => (Said::Unknown, Ask::No),
        }
    }

    /// Looks at all sources that are due, or at all of them.
    pub(crate) async fn refresh(&self, all: bool) {
        join_all(self.sources.iter().map(|source| source.refresh(&self.room, all))).await;
    }

    /// Looks at each source when it is due, as long as what is returned is there. One that hangs keeps no other
    /// waiting.
    pub(crate) fn keep_fresh(self: &Arc<Self>) -> JoinSet<()> {
        let mut looking = JoinSet::new();
        for at in 0..self.sources.len() {
            let authority = Arc::clone(self);
            looking.spawn(async move {
                while let Some(source) = authority.sources.get(at) {
                    sleep_until(source.due()).await;
                    source.refresh(&authority.room, false).await;
                }
            });
        }
        let authority = Arc::clone(self);
        looking.spawn(async move {
            loop {
                authority.learnt.notified().await;
                authority.place().await;
            }
        });
        looking
    }

    /// Looks whether CRLs that nobody was known to have signed are of a CA that is known now.
    async fn place(&self) {
        join_all(self.sources.iter().map(|source| source.place(&self.room))).await;
    }

    pub(crate) fn trusts(&self, ca: CaId) -> bool {
        self.room.issuers.trusts(ca)
    }

    pub(crate) fn keeps(&self, file: &Path) -> bool {
        self.sources.iter().any(|source| source.is_kept_at(file))
    }

    pub(crate) fn report(&self) -> CaReport {
        CaReport {
            ca: self.room.origin.clone(),
            when_unknown: report::name(self.room.settings.when_unknown),
            crls: self.sources.iter().map(|source| source.report(&self.room)).collect(),
            ocsp: self.ocsp.as_ref().map(|ocsp| ocsp.report()),
        }
    }
}

fn is_listed(sources: &[CrlSource], issuer: CaId, serial: &Serial) -> bool {
    sources.iter().any(|source| {
        let lists = source.held();
        lists.iter().any(|held| held.issuer == issuer && held.list.is_revoked(serial))
    })
}
