//! The file that is written, with its head.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use chancery_files::{Draft, Readers, Trusted, Untrusted};
use jiff::Timestamp;

use crate::head::Head;
use crate::line::{MAX_LINE, Tip};
use crate::mark::Place;
use crate::paths::Names;
use crate::{AuditKey, OpenError};

/// With fewer bytes on its disk, the log counts as one that cannot be written: the next lines may not fit.
const LEAST_ROOM: u64 = 256 << 10;

/// The open file at the end of a log.
#[derive(Debug)]
pub(crate) struct LogFile {
    names: Names,
    key: Arc<AuditKey>,
    log: File,
    head: File,
    /// Of the last durable line.
    place: Place,
    /// When its first line was written.
    began: Timestamp,
    /// A write failed half-way and what it left has not been cut off yet.
    dirty: bool,
}

/// What has to be known of a file to go on with it.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) tip: Tip,
    pub(crate) place: Place,
    pub(crate) began: Timestamp,
}

/// Where the open file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// Where it belongs.
    InPlace,
    /// Somebody gave it this name, or its closing was interrupted.
    Moved(String),
}

impl LogFile {
    /// Goes on with a file that ends as is said there, and cuts off what follows.
    pub(crate) fn resume(
        names: Names,
        key: Arc<AuditKey>,
        log: File,
        end: End,
    ) -> io::Result<Self> {
        let End { tip, place, began } = end;
        // Made anew, not only opened: this also makes the directory entries durable.
        let head = Head { tip, place }.create(&names.head(), &key)?;
        let mut file = Self { names, key, log, head, place, began, dirty: false };
        if file.log.metadata()?.len() != place.end {
            file.cut()?;
        }
        Ok(file)
    }

    /// Begins the next file with its first line. `before` is how the one before it ended. After a
    /// crash there is either no file at the log's path or one with this line.
    pub(crate) fn begin(
        names: Names,
        key: Arc<AuditKey>,
        before: &Head,
        line: &[u8],
        tip: &Tip,
        now: Timestamp,
    ) -> io::Result<Self> {
        // The head must not be ahead of the log, and there must be one as soon as there is a line.
        let head = before.create(&names.head(), &key)?;
        // It is locked from its beginning, as the log's files are.
        let mut draft = Draft::new(names.active(), Readers::Owner)?;
        draft.write_all(line)?;
        if std::fs::symlink_metadata(names.active()).is_ok_and(|found| found.len() > 0) {
            return Err(io::Error::other(in_the_way(names.active())));
        }
        let log = draft.keep_to_append()?;
        let place = Place { first: tip.seq, start: 0, end: length(line)? };
        Head { tip: tip.clone(), place }.overwrite(&head, &key)?;
        Ok(Self { names, key, log, head, place, began: now, dirty: false })
    }

    /// Appends whole lines, the last of which is `tip`; they are durable when this returns.
    pub(crate) fn append(&mut self, lines: &[u8], tip: &Tip) -> io::Result<()> {
        if self.dirty {
            self.cut()?;
        }
        self.check_untouched()?;
        let result = self.write(lines, tip);
        if result.is_err() {
            self.dirty = true;
            if let Err(error) = self.cut() {
                tracing::error!(%error, "a half-written audit line could not be cut off; trying again before the next");
            }
        }
        result
    }

    /// Whether its disk has room for the next lines.
    pub(crate) fn has_room(&self) -> bool {
        // A file system that cannot say is tried.
        rustix::fs::fstatvfs(&self.log)
            .map_or(true, |status| status.f_bavail.saturating_mul(status.f_frsize) >= LEAST_ROOM)
    }

    /// Where its last line is.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// When its first line was written.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// Whether it is still where it belongs.
    ///
    /// # Errors
    /// There is another file that has something in it, or the directory cannot be read.
    pub(crate) fn whereabouts(&self) -> io::Result<Whereabouts> {
        let ours = self.log.metadata()?;
        match std::fs::symlink_metadata(self.names.active()) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => {
                Ok(Whereabouts::InPlace)
            }
            // `logrotate` makes the new file itself if it is told to `create`.
            Ok(found) if found.len() == 0 => Ok(Whereabouts::Moved(self.name())),
            Ok(_) => Err(io::Error::other(in_the_way(self.names.active()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Whereabouts::Moved(self.name()))
            }
            Err(error) => Err(error),
        }
    }

    /// Gives it the name of a closed file; it can still be appended to.
    pub(crate) fn rename(&self) -> io::Result<String> {
        let closed = self.names.closed(self.place.first);
        if chancery_files::is_there(&closed) {
            return Err(io::Error::other(in_the_way(&closed)));
        }
        chancery_files::rename(self.names.active(), &closed)?;
        Ok(closed.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// What it is called now.
    fn name(&self) -> String {
        let link = format!("/proc/self/fd/{}", self.log.as_raw_fd());
        let path = std::fs::read_link(link).unwrap_or_default();
        path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Cuts off whatever stands after the last durable line.
    fn cut(&mut self) -> io::Result<()> {
        self.log.set_len(self.place.end)?;
        self.log.sync_all()?;
        self.dirty = false;
        Ok(())
    }

    fn check_untouched(&self) -> io::Result<()> {
        let file = self.log.metadata()?;
        if file.nlink() == 0 {
            return Err(io::Error::other("the file was removed while the gateway writes it"));
        }
        if file.len() != self.place.end {
            return Err(io::Error::other(format!(
                "the file has {} bytes where the gateway left {}: another program changed it \
                 (`copytruncate` of logrotate does; let it rename the file and send SIGHUP)",
                file.len(),
                self.place.end
            )));
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8], tip: &Tip) -> io::Result<()> {
        self.log.write_all(lines)?;
        self.log.sync_data()?;
        let last = lines.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let end = self.place.end + length(lines)?;
        let place = Place { first: self.place.first, start: end - length(last)?, end };
        Head { tip: tip.clone(), place }.overwrite(&self.head, &self.key)?;
        self.place = place;
        Ok(())
    }
}

/// Opens a file, if there is one, for this process alone. Nobody else may change it, and it is no symbolic link.
pub(crate) fn lock(path: &Path, trusted: &Trusted) -> Result<Option<File>, OpenError> {
    let log = match trusted.append(path) {
        Ok(log) => log,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match log.try_lock() {
        Ok(()) => Ok(Some(log)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => {
            Err(OpenError::Io { path: path.to_owned(), doing: "locking it", cause })
        }
    }
}

fn is_missing(error: &Untrusted) -> bool {
    error.cause().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

/// Makes a small file that others may read, whole or not at all.
pub(crate) fn publish(path: &Path, text: &str) -> io::Result<()> {
    chancery_files::replace(path, text.as_bytes(), Readers::Everybody)
}

fn in_the_way(path: &Path) -> String {
    format!(
        "{} is in the way: it is not the file that the gateway writes, and it is not empty",
        path.display()
    )
}

fn length(bytes: &[u8]) -> io::Result<u64> {
    debug_assert!(!bytes.is_empty() && bytes.len() < 8 * MAX_LINE);
    u64::try_from(bytes.len()).map_err(io::Error::other)
}
