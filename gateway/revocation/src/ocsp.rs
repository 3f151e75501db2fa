//! What an OCSP responder says, remembered for as long as it counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use chancery_identity::{CaId, Clock};
use chancery_x509::{CertificateStatus, OcspAnswer, OcspAnswerError, OcspQuestion, Serial};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::fetch::{FetchError, Fetcher};
use crate::issuer::Issuer;
use crate::list::{FIRST_PAUSE, after, backoff};
use crate::meters;
use crate::report::OcspReport;
use crate::settings::Responder;
use crate::source::LEEWAY;

/// Certificates about which an answer is remembered; the ones that are used least go first.
const REMEMBERED: usize = 16_384;
/// Questions that are asked at once, and those that wait for it.
const QUESTIONS: (usize, usize) = (16, 1024);
/// After many questions without an answer.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Bytes of a nonce (RFC 9654 §2.1).
const NONCE: usize = 32;

/// Which certificate: by its issuer and number.
pub(crate) type Key = (CaId, Serial);

/// Says whether the certificate of a responder was revoked, as far as that is known.
pub(crate) type IsRevoked = Arc<dyn Fn(CaId, &Serial) -> bool + Send + Sync>;

/// A responder, and what it said.
pub(crate) struct Ocsp {
    responder: Responder,
    fetcher: Fetcher,
    clock: Clock,
    refresh: Duration,
    grace: Duration,
    is_revoked: IsRevoked,
    answers: Cache<Key, Entry>,
    /// Questions under way: who asks the same waits for the same answer.
    under_way: Mutex<HashMap<Key, watch::Receiver<()>>>,
    asking: Semaphore,
    error: Mutex<Option<String>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    answer: Option<Known>,
    /// When it may be asked again.
    again: Timestamp,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    status: Said,
    this_update: Timestamp,
    until: Timestamp,
}

/// What is known of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Good,
    Revoked,
    Unknown,
}

/// Whether to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    No,
    /// What is known counts, and becomes old.
    Beside,
    /// Nothing is known that counts.
    Wait,
}

#[derive(Debug, thiserror::Error)]
enum OcspError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Answer(#[from] OcspAnswerError),
    #[error("the question cannot be made")]
    Question,
    #[error("the certificate of the responder was revoked")]
    ResponderRevoked,
    #[error("it is older than what is known already")]
    Older,
}

impl Ocsp {
    pub(crate) fn new(
        responder: Responder,
        fetcher: Fetcher,
        clock: Clock,
        (refresh, grace): (Duration, Duration),
        is_revoked: IsRevoked,
    ) -> Self {
        Self {
            responder,
            fetcher,
            clock,
            refresh,
            grace,
            is_revoked,
            answers: Cache::new(REMEMBERED),
            under_way: Mutex::default(),
            asking: Semaphore::new(QUESTIONS.0),
            error: Mutex::default(),
        }
    }

    /// What is known of a certificate at this moment, and whether it should be asked about.
    pub(crate) fn status(&self, key: &Key, now: Timestamp) -> (Said, Ask) {
        let Some(entry) = self.answers.get(key) else { return (Said::Unknown, Ask::Wait) };
        let may_ask = now >= entry.again;
        let when = |ask| if may_ask { ask } else { Ask::No };
        match entry.answer {
            // What was revoked stays so until the responder says something newer.
            Some(Known { status: Said::Revoked, .. }) => (Said::Revoked, when(Ask::Beside)),
            Some(Known { status: Said::Good, until, .. }) if after(until, self.grace) >= now => {
                (Said::Good, when(Ask::Beside))
            }
            _ => (Said::Unknown, when(Ask::Wait)),
        }
    }

    /// Asks about a certificate, unless that is under way. What is returned ends with the answer. None if too
    /// many questions wait, or if there is nobody who could ask.
    pub(crate) fn ask(
        self: &Arc<Self>,
        issuer: Arc<Issuer>,
        serial: Serial,
    ) -> Option<watch::Receiver<()>> {
        let key = (issuer.id, serial);
        let mut under_way = self.under_way();
        if let Some(known) = under_way.get(&key) {
            return Some(known.clone());
        }
        if under_way.len() >= QUESTIONS.1 {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let (answered, answer) = watch::channel(());
        under_way.insert(key, answer.clone());
        drop(under_way);
        let over = Over { ocsp: Arc::clone(self), key, _answered: answered };
        runtime.spawn(async move {
            let ocsp = Arc::clone(&over.ocsp);
            let Ok(_permit) = ocsp.asking.acquire().await else { return };
            ocsp.ask_now(&issuer, serial).await;
            drop(over);
        });
        Some(answer)
    }

    async fn ask_now(&self, issuer: &Issuer, serial: Serial) {
        let key = (issuer.id, serial);
        let before = self.answers.get(&key);
        let answered = self.question(issuer, serial, before.and_then(|entry| entry.answer)).await;
        meters::fetched("ocsp", answered.is_ok());
        let now = self.clock.now();
        let entry = match answered {
            Ok(known) => {
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let left = Duration::try_from(known.until.duration_since(now)).unwrap_or_default();
                let pause = match known.status {
                    Said::Unknown => LONGEST_PAUSE.min(self.refresh),
                    _ => (left / 2).max(FIRST_PAUSE).min(self.refresh),
                };
                Entry { answer: Some(known), again: after(now, pause), failures: 0 }
            }
            Err(error) => {
                let error = error.to_string();
                let responder = &self.responder.0;
                tracing::warn!(%responder, %error, "no answer of a client CA's OCSP responder");
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                let failures = before.map_or(0, |entry| entry.failures).saturating_add(1);
                let pause = backoff(failures, LONGEST_PAUSE);
                Entry {
                    answer: before.and_then(|entry| entry.answer),
                    again: after(now, pause.min(self.refresh)),
                    failures,
                }
            }
        };
        self.answers.insert(key, entry);
    }

    async fn question(
        &self,
        issuer: &Issuer,
        serial: Serial,
        before: Option<Known>,
    ) -> Result<Known, OcspError> {
        let mut nonce = vec![0; NONCE];
        rand::fill(&mut nonce).map_err(|_| OcspError::Question)?;
        let question = OcspQuestion::new(&issuer.certificate, serial, nonce);
        let question = question.ok_or(OcspError::Question)?;
        let request = question.to_der().map_err(|_| OcspError::Question)?;
        let response = self.fetcher.ocsp(&self.responder.0, request).await?;
        let now = self.clock.now();
        let OcspAnswer { status, this_update, next_update, responder } =
            question.read(&response, now, LEEWAY, self.refresh)?;
        if responder.is_some_and(|serial| (self.is_revoked)(issuer.id, &serial)) {
            return Err(OcspError::ResponderRevoked);
        }
        if before.is_some_and(|before| this_update < before.this_update) {
            return Err(OcspError::Older);
        }
        let status = match status {
            CertificateStatus::Good => Said::Good,
            CertificateStatus::Revoked(_) => Said::Revoked,
            CertificateStatus::Unknown => Said::Unknown,
        };
        let until = next_update.unwrap_or_else(|| after(this_update, self.refresh));
        Ok(Known { status, this_update, until })
    }

    pub(crate) fn report(&self) -> OcspReport {
        OcspReport {
            responder: self.responder.0.to_string(),
            remembered: self.answers.len(),
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<()>>> {
        // Nothing in it can be half done.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question under way. Its end is told to all who wait, however it comes.
struct Over {
    ocsp: Arc<Ocsp>,
    key: Key,
    _answered: watch::Sender<()>,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.ocsp.under_way().remove(&self.key);
    }
}
