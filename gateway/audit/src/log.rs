//! The log in files: a chain of lines over a row of files. Only the last file is written.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::Clock;
use jiff::{SignedDuration, Timestamp};

use crate::checkpoint::{self, LogName, PublicKey};
use crate::file::{self, LogFile, Whereabouts};
use crate::find::{Found, Search};
use crate::head::Head;
use crate::line::Chain;
use crate::mark::{KnownMark, Mark, Place};
use crate::own::{self, Occasion};
use crate::paths::Names;
use crate::{AuditConfig, AuditKey, Event, OpenError, Rotation};

/// How long after a failed rotation the next one is tried.
const RETRY: SignedDuration = SignedDuration::from_mins(1);

/// The open log.
#[derive(Debug)]
pub(crate) struct Log {
    names: Names,
    name: LogName,
    key: Arc<AuditKey>,
    clock: Clock,
    rotation: Rotation,
    checkpoints: Duration,
    file: LogFile,
    chain: Chain,
    /// Whether the file contains more than the lines that the log writes about itself.
    has_events: bool,
    /// Whether there are lines after the last checkpoint.
    unsigned: bool,
    signed_at: Timestamp,
    /// A rotation has failed: the next try is not before this time.
    no_rotation_before: Timestamp,
}

impl Log {
    /// Opens the log, or begins it. Cuts off a torn last line, continues a log of the first format,
    /// and begins the next file after one that was closed or moved away. Each of these is recorded.
    pub(crate) fn open(
        config: &AuditConfig,
        key: &Arc<AuditKey>,
        clock: &Clock,
    ) -> Result<Self, OpenError> {
        let names = Names::new(&config.path);
        let io = |doing: &'static str| {
            let path = config.path.clone();
            move |cause| OpenError::Io { path, doing, cause }
        };
        if config.marks.known == KnownMark::Missing {
            return Err(OpenError::Broken {
                path: config.path.clone(),
                problem: "the store had a mark of how long it is, and has none any more".to_owned(),
            });
        }
        config.trusted.make_directory(names.directory())?;
        let lock = |path: &Path| file::lock(path, &config.trusted);
        let locked = lock(names.active())?;
        let mut search = Search::new(&names, key, &config.marks.known);
        let found = search.run()?;
        let is_new = found.is_none();
        let begin = Begin { names: &names, name: &config.name, key, clock };
        let (file, chain, found) = match found {
            None => {
                let (file, chain) = begin.first(&search.chain).map_err(io("beginning it"))?;
                (file, chain, None)
            }
            Some(found) => {
                let file = match locked.filter(|_| found.path == names.active()) {
                    Some(file) => file,
                    None => lock(&found.path)?
                        .ok_or(io::ErrorKind::NotFound.into())
                        .map_err(io("opening it"))?,
                };
                let end = found.end.clone();
                let file = LogFile::resume(names.clone(), Arc::clone(key), file, end)
                    .map_err(io("opening it"))?;
                (file, search.chain, Some(found))
            }
        };
        let mut log = Self {
            has_events: file.place().first < chain.tip.seq,
            unsigned: !is_new && !search.signed,
            names: names.clone(),
            name: config.name.clone(),
            key: Arc::clone(key),
            clock: clock.clone(),
            rotation: config.rotation,
            checkpoints: config.checkpoints,
            file,
            chain,
            signed_at: clock.now(),
            no_rotation_before: Timestamp::MIN,
        };
        if let Some(found) = found {
            log.take_up(&found).map_err(io("writing it"))?;
        }
        let public_key = format!("{}\n", log.public_key());
        file::publish(&names.public_key(), &public_key).map_err(io("writing its public key"))?;
        Ok(log)
    }

    /// Records the state in which the log was found.
    fn take_up(&mut self, found: &Found) -> io::Result<()> {
        if found.first_format {
            self.record_upgrade()?;
        }
        if !found.torn.is_empty() {
            self.record_recovery(&found.torn)?;
        }
        if found.path != self.names.active() {
            // It was closed or moved away, and then the gateway ended.
            self.rotate("interrupted")?;
        }
        Ok(())
    }

    /// The chain that every other writer of lines has to continue.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Where the log stands.
    pub(crate) fn mark(&self) -> Mark {
        Mark { chain: self.chain.clone(), place: self.file.place() }
    }

    /// Appends lines, after which the chain is `chain`; closes the file if it is long enough.
    pub(crate) fn append(&mut self, lines: &[u8], chain: Chain) -> io::Result<()> {
        self.file.append(lines, &chain.tip)?;
        self.chain = chain;
        self.has_events = true;
        self.unsigned = true;
        if self.rotation.bytes.is_some_and(|most| self.file.place().end >= most) {
            self.try_rotation("size");
        }
        Ok(())
    }

    /// Does what is due: a checkpoint, or the next file.
    pub(crate) fn keep(&mut self) {
        let now = self.clock.now();
        let old = |since: Timestamp, most: Duration| {
            SignedDuration::try_from(most).is_ok_and(|most| now.duration_since(since) >= most)
        };
        if self.unsigned
            && old(self.signed_at, self.checkpoints)
            && let Err(error) = self.checkpoint(Occasion::Interval)
        {
            tracing::error!(%error, "no checkpoint could be added to the audit log");
        }
        let age = self.rotation.age;
        if self.has_events && age.is_some_and(|age| old(self.file.began(), age)) {
            self.try_rotation("age");
        }
        match self.file.whereabouts() {
            Ok(Whereabouts::InPlace) => {}
            Ok(Whereabouts::Moved(name)) => tracing::warn!(
                name,
                "the file of the audit log has another name and is written on: send SIGHUP to begin the next"
            ),
            Err(error) => tracing::error!(%error, "the audit log is not where it belongs"),
        }
    }

    /// Whether the disk has room for more lines.
    pub(crate) fn has_room(&self) -> bool {
        self.file.has_room()
    }

    /// Finds out, after a write that failed, whether the log can be written: writes a checkpoint.
    ///
    /// # Errors
    /// It cannot, and why.
    pub(crate) fn retry(&mut self) -> io::Result<()> {
        self.checkpoint(Occasion::Retry)
    }

    /// Begins the next file if somebody moved this one away, and returns whether.
    pub(crate) fn reopen(&mut self) -> io::Result<bool> {
        let moved = self.file.whereabouts()? != Whereabouts::InPlace;
        if moved {
            self.rotate("signal")?;
        }
        Ok(moved)
    }

    /// Signs how far the log has come, before it is closed.
    pub(crate) fn stop(&mut self) {
        if self.unsigned
            && let Err(error) = self.checkpoint(Occasion::Stop)
        {
            tracing::error!(%error, "no last checkpoint could be added to the audit log");
        }
    }

    fn try_rotation(&mut self, why: &'static str) {
        if self.clock.now() < self.no_rotation_before {
            return;
        }
        if let Err(error) = self.rotate(why) {
            let next = self.clock.now().checked_add(RETRY);
            self.no_rotation_before = next.unwrap_or(Timestamp::MAX);
            tracing::error!(%error, "the next file of the audit log could not be begun: this one is written on");
        }
    }

    /// Closes the file and begins the next. After a crash at any moment, the lines are there and the
    /// next start continues: the file has its old name or its new one, or the next file exists.
    fn rotate(&mut self, why: &'static str) -> io::Result<()> {
        self.checkpoint(Occasion::EndOfFile)?;
        let name = match self.file.whereabouts()? {
            Whereabouts::InPlace => self.file.rename()?,
            Whereabouts::Moved(name) => name,
        };
        let head = Head { tip: self.chain.tip.clone(), place: self.file.place() };
        let begin =
            Begin { names: &self.names, name: &self.name, key: &self.key, clock: &self.clock };
        let (file, chain) = begin.next(&self.chain, &head, &name, why)?;
        self.file = file;
        self.chain = chain;
        self.has_events = false;
        self.unsigned = false;
        metrics::counter!("chancery_audit_files_total").increment(1);
        Ok(())
    }

    fn checkpoint(&mut self, occasion: Occasion) -> io::Result<()> {
        let note = checkpoint::sign(&self.name, &self.chain.tree, &self.key);
        let event = own::event(&self.clock, own::CHECKPOINT, occasion.as_str().to_owned());
        self.own(event.detail("note", note.clone()))?;
        self.unsigned = false;
        self.signed_at = self.clock.now();
        // The checkpoint is in the log; this copy is for those who collect checkpoints.
        if let Err(error) = file::publish(&self.names.checkpoint(), &note) {
            tracing::warn!(%error, "the newest checkpoint of the audit log could not be written beside it");
        }
        metrics::counter!("chancery_audit_checkpoints_total").increment(1);
        Ok(())
    }

    fn record_recovery(&mut self, torn: &[u8]) -> io::Result<()> {
        let path = self.names.active();
        tracing::warn!(log = %path.display(), bytes = torn.len(), "cut a torn last line off the audit log");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let event = own::event(&self.clock, own::RECOVER, name)
            .detail("torn_bytes", torn.len())
            .detail("torn_sha256", hex::encode(digest(&SHA256, torn)));
        self.own(event)
    }

    /// Earlier lines have no MAC. Their chain and their head were checked just now, and this line,
    /// which has a MAC, fixes them as they are.
    fn record_upgrade(&mut self) -> io::Result<()> {
        let lines = self.chain.tip.seq;
        tracing::info!(lines, "the audit log has MACs from here on");
        let event = own::event(&self.clock, own::UPGRADE, self.name.to_string());
        let event = own::about(event, &self.chain, &self.public_key());
        self.own(event.detail("lines_without_mac", lines))
    }

    fn own(&mut self, event: Event) -> io::Result<()> {
        let mut chain = self.chain.clone();
        let mut line = Vec::new();
        chain.write(&mut line, self.clock.now(), &event.encode()?, &self.key);
        self.file.append(&line, &chain.tip)?;
        self.chain = chain;
        Ok(())
    }

    fn public_key(&self) -> PublicKey {
        PublicKey::of(self.name.clone(), &self.key)
    }
}

/// What a first line needs.
pub(crate) struct Begin<'a> {
    pub(crate) names: &'a Names,
    pub(crate) name: &'a LogName,
    pub(crate) key: &'a Arc<AuditKey>,
    pub(crate) clock: &'a Clock,
}

impl Begin<'_> {
    /// The first file of a log.
    fn first(&self, chain: &Chain) -> io::Result<(LogFile, Chain)> {
        let event = own::event(self.clock, own::BEGIN, self.name.to_string());
        let before = Head { tip: chain.tip.clone(), place: Place { first: 1, start: 0, end: 0 } };
        self.file(event, chain, &before)
    }

    /// The file after one that ends as `before` says.
    fn next(
        &self,
        chain: &Chain,
        before: &Head,
        name: &str,
        why: &'static str,
    ) -> io::Result<(LogFile, Chain)> {
        let previous = own::previous(name, before.place.first, chain, why);
        let event = own::event(self.clock, own::BEGIN, self.name.to_string());
        self.file(event.detail("previous", previous), chain, before)
    }

    /// A file whose first line is this event.
    pub(crate) fn file(
        &self,
        event: Event,
        chain: &Chain,
        before: &Head,
    ) -> io::Result<(LogFile, Chain)> {
        let Self { names, name, key, clock } = self;
        let event = own::about(event, chain, &PublicKey::of((*name).clone(), key));
        let (mut chain, mut line, now) = (chain.clone(), Vec::new(), clock.now());
        chain.write(&mut line, now, &event.encode()?, key);
        let (names, key) = ((*names).clone(), Arc::clone(key));
        let file = LogFile::begin(names, key, before, &line, &chain.tip, now)?;
        Ok((file, chain))
    }
}
