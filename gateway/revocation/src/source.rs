//! One place with a CRL: looked at when it is due, and the CRLs of it that are in use.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use chancery_compute::{Compute, ComputeError};
use chancery_identity::Clock;
use chancery_x509::{RevocationList, UnverifiedList};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::fetch::{FetchError, Fetcher, Validators};
use crate::held::{self, Lists, NotTaken};
use crate::issuer::{Issuer, Issuers};
use crate::keep::{self, Kept};
use crate::list::{Pause, freshness};
use crate::read::{self, Placed, ReadError, Signed, Why};
use crate::report::CrlReport;
use crate::{Settings, Source, meters};

/// By how much the clock of a CA may be ahead.
pub(crate) const LEEWAY: Duration = Duration::from_mins(5);

/// How often it is looked whether a file has changed.
const LOOK: Duration = Duration::from_secs(5);

/// What looking at a source needs.
pub(crate) struct Room {
    pub(crate) origin: String,
    pub(crate) settings: Settings,
    pub(crate) fetcher: Option<Fetcher>,
    pub(crate) issuers: Issuers,
    pub(crate) compute: Compute,
    pub(crate) clock: Clock,
}

pub(crate) struct CrlSource {
    source: Source,
    kept: Kept,
    held: ArcSwap<Lists>,
    /// One look at a time.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// A CRL of which it is not known who signed it.
    unplaced: Option<UnverifiedList>,
    validators: Validators,
    stamp: Option<Stamp>,
    /// When all of it was looked at last.
    looked: Option<Timestamp>,
    error: Option<String>,
    failures: u32,
    due: Instant,
    told_stale: bool,
}

/// By what a file is known to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// What was found in a place.
enum Found {
    /// What was there before.
    Same,
    New(Vec<u8>, Validators),
}

#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("it cannot be read: {0}")]
    File(#[from] io::Error),
    #[error("there is no such file")]
    Missing,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Unplaced(#[from] Why),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    #[error("it begins at {0}, which is to come: is a clock wrong?")]
    Early(Timestamp),
    #[error(transparent)]
    Compute(#[from] ComputeError),
    #[error("reading it was interrupted")]
    Interrupted,
}

impl CrlSource {
    /// The place, with nothing known of it but what was kept in the directory.
    pub(crate) async fn open(source: Source, directory: &Path, room: &Room) -> Self {
        let opened = Self {
            kept: Kept::of(directory, &source),
            source,
            held: ArcSwap::default(),
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                unplaced: None,
                validators: Validators::default(),
                stamp: None,
                looked: None,
                error: None,
                failures: 0,
                due: Instant::now(),
                told_stale: false,
            }),
        };
        for slot in 0..held::MOST {
            if let Err(error) = opened.take_kept(slot, room).await {
                let (ca, source) = (&room.origin, &opened.source);
                tracing::warn!(%ca, %source, %error, "a CRL that was kept of a client CA is not used");
            }
        }
        opened
    }

    async fn take_kept(&self, slot: u8, room: &Room) -> Result<(), SourceError> {
        let (kept, largest) = (self.kept.clone(), room.settings.largest_crl);
        let Some((bytes, issuer)) = blocking(move || kept.get(slot, largest)).await? else {
            return Ok(());
        };
        if let Some(issuer) = issuer {
            room.issuers.learn(issuer);
        }
        match self.read(bytes, room).await? {
            Placed::Signed(signed) => self.hold(signed, room),
            Placed::Unplaced(_, why) => Err(why.into()),
        }
        .map(drop)
    }

    pub(crate) fn held(&self) -> Guard<Arc<Lists>> {
        self.held.load()
    }

    pub(crate) fn is_kept_at(&self, path: &Path) -> bool {
        self.kept.is(path)
    }

    pub(crate) fn due(&self) -> Instant {
        self.state().due
    }

    pub(crate) fn has_unplaced(&self) -> bool {
        self.state().unplaced.is_some()
    }

    /// Looks what is there now, if that is due or if it is `wanted`.
    pub(crate) async fn refresh(&self, room: &Room, wanted: bool) {
        let _turn = self.turn.lock().await;
        if !wanted && self.due() > Instant::now() {
            return;
        }
        let outcome = self.look(room, wanted).await;
        self.conclude(outcome, room);
    }

    /// Looks again who signed a CRL of which that was not known.
    pub(crate) async fn place(&self, room: &Room) {
        let _turn = self.turn.lock().await;
        let Some(unplaced) = self.state().unplaced.take() else { return };
        let issuers = room.issuers.all();
        let placed = room.compute.run(move || read::place(unplaced, &issuers)).await;
        let outcome = match placed {
            Ok(placed) => self.take(placed, room).await,
            Err(error) => Err(error.into()),
        };
        self.conclude(outcome.map(Some), room);
    }

    /// Whether there was anything new; none if it was not even looked.
    async fn look(&self, room: &Room, wanted: bool) -> Result<Option<bool>, SourceError> {
        let largest = room.settings.largest_crl;
        let found = match &self.source {
            Source::File(path) => {
                let known = self.state().stamp.filter(|_| !wanted);
                let path = path.clone();
                let (stamp, content) = blocking(move || file(&path, known, largest)).await?;
                self.state().stamp = stamp;
                match content {
                    None if stamp.is_some() => return Ok(None),
                    None => return Err(SourceError::Missing),
                    Some(content) => Found::New(content, Validators::default()),
                }
            }
            Source::Url(uri) => {
                let fetcher = room.fetcher.as_ref().ok_or(SourceError::Interrupted)?;
                let validators = self.state().validators.clone();
                let fetched = fetcher.crl(uri, &validators, largest).await;
                meters::fetched("crl", fetched.is_ok());
                fetched?.map_or(Found::Same, |(bytes, validators)| Found::New(bytes, validators))
            }
        };
        let Found::New(bytes, validators) = found else { return Ok(Some(false)) };
        let placed = self.read(bytes, room).await?;
        let new = self.take(placed, room).await?;
        // Whatever is not taken is fetched again.
        self.state().validators = validators;
        Ok(Some(new))
    }

    async fn read(&self, bytes: Vec<u8>, room: &Room) -> Result<Placed, SourceError> {
        let issuers = room.issuers.all();
        Ok(room.compute.run(move || read::read(bytes, &issuers)).await??)
    }

    async fn take(&self, placed: Placed, room: &Room) -> Result<bool, SourceError> {
        let signed = match placed {
            Placed::Signed(signed) => signed,
            Placed::Unplaced(list, why) => {
                self.state().unplaced = Some(list);
                return Err(why.into());
            }
        };
        self.state().unplaced = None;
        let Some(Unheld { slot, issuer, der }) = self.hold(signed, room)? else { return Ok(false) };
        let kept = self.kept.clone();
        let put = blocking(move || kept.put(slot, &issuer, &der)).await;
        if let Err(error) = put {
            let (ca, source) = (&room.origin, &self.source);
            tracing::warn!(%ca, %source, %error, "the CRL of a client CA cannot be kept for the next start");
        }
        Ok(true)
    }

    /// Uses a CRL from now on; none if it is the one that is in use.
    fn hold(&self, signed: Signed, room: &Room) -> Result<Option<Unheld>, SourceError> {
        let now = room.clock.now();
        let Signed { list, issuer, der } = signed;
        let this_update = list.this_update();
        if this_update > now.saturating_add(LEEWAY).unwrap_or(Timestamp::MAX) {
            return Err(SourceError::Early(this_update));
        }
        let (revoked, next_update) = (list.len(), list.next_update());
        let Some((slot, lists)) = self.held().with(list, &issuer, now)? else { return Ok(None) };
        tracing::info!(
            ca = %room.origin, source = %self.source, revoked, %this_update, %next_update,
            "took a CRL of a client CA"
        );
        self.held.store(Arc::new(lists));
        Ok(Some(Unheld { slot, issuer, der }))
    }

    /// Notes what came of a look, and when to look again.
    fn conclude(&self, outcome: Result<Option<bool>, SourceError>, room: &Room) {
        let (now, ca, source) = (room.clock.now(), &room.origin, &self.source);
        let held = self.held();
        let newest = held.newest();
        let until = newest.map(|held| held.list.next_update());
        let mut state = self.state();
        match outcome {
            // A file that has not changed: what was wrong with it still is.
            Ok(None) => {}
            Ok(Some(_)) => {
                (state.error, state.failures, state.looked) = (None, 0, Some(now));
            }
            Err(error) => {
                let error = error.to_string();
                if matches!(self.source, Source::File(_)) {
                    meters::fetched("file", false);
                }
                // A file that is wrong is said once, and an address each time: that has a pause in between.
                if state.error.as_deref() != Some(&error) || matches!(self.source, Source::Url(_)) {
                    tracing::warn!(%ca, %source, %error, "a CRL of a client CA was not taken");
                }
                state.error = Some(error);
                state.failures = state.failures.saturating_add(1);
            }
        }
        let stale = !freshness(until, room.settings.grace, now).is_current();
        if stale && !state.told_stale {
            tracing::error!(
                %ca, %source, next_update = until.map(tracing::field::display),
                "there is no CRL in date of a client CA: what becomes of its clients is for \
                 clients.cas.when_unknown to say"
            );
        }
        state.told_stale = stale;
        let pause = match self.source {
            Source::File(_) => LOOK.min(room.settings.refresh),
            Source::Url(_) => {
                Pause { refresh: room.settings.refresh, until, now }.after(state.failures)
            }
        };
        state.due = Instant::now() + pause;
        meters::held(ca, source, newest);
    }

    pub(crate) fn report(&self, room: &Room) -> CrlReport {
        let held = self.held();
        let list = held.newest().map(|held| &held.list);
        let until = list.map(RevocationList::next_update);
        let state = self.state();
        CrlReport {
            source: self.source.to_string(),
            status: freshness(until, room.settings.grace, room.clock.now()),
            this_update: list.map(RevocationList::this_update),
            next_update: until,
            number: list.and_then(|list| list.number()).map(ToString::to_string),
            revoked: list.map(RevocationList::len),
            looked: state.looked,
            error: state.error.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a CRL that is in use.
struct Unheld {
    slot: u8,
    issuer: Arc<Issuer>,
    der: Vec<u8>,
}

/// What a file has, unless it is known to be the same; no stamp if there is no file.
fn file(
    path: &Path,
    known: Option<Stamp>,
    largest: usize,
) -> io::Result<(Option<Stamp>, Option<Vec<u8>>)> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
        found => found?,
    };
    let stamp = Stamp {
        inode: found.ino(),
        length: found.len(),
        changed: (found.mtime(), found.mtime_nsec()),
    };
    if known == Some(stamp) {
        return Ok((Some(stamp), None));
    }
    let content = keep::file(path, largest)?;
    Ok((content.is_some().then_some(stamp), content))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(SourceError::Interrupted),
    }
}
