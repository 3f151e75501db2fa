use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::{Clock, RequestContext, TenantId};

use crate::head::{Head, HeadError};
use crate::line::{self, MAX_LINE, Tip};
use crate::{AuditKey, Event, OpenError, Sink};

/// The log file and its head.
pub(crate) struct FileSink {
    log: File,
    head_file: File,
    key: Arc<AuditKey>,
    /// Bytes of whole, durable lines.
    end: u64,
    /// A write failed half-way and what it left has not been cut off yet.
    dirty: bool,
}

impl FileSink {
    /// Opens or begins the log at `path`, checks that it continues from its head, cuts off a torn
    /// last line, and returns the sink with the tip to continue from.
    pub(crate) fn open(
        path: &Path,
        key: Arc<AuditKey>,
        clock: &Clock,
    ) -> Result<(Self, Tip), OpenError> {
        let opening = Opening { path };
        let log = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(opening.io("opening it"))?;
        match log.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(opening.io("locking it")(source)),
        }
        let length = log.metadata().map_err(opening.io("reading its length"))?.len();
        let head_path = Head::path(path);
        let head =
            match Head::read(&head_path, Some(&key)).map_err(opening.io("reading its head"))? {
                Some(Ok(head)) => head,
                Some(Err(problem)) => return Err(opening.head(problem)),
                // The head is made before the first line is written.
                None if length == 0 => Head::start(),
                None => return Err(opening.head(HeadError::Missing)),
            };
        let found = opening.tail(&log, length, &head)?;
        // Made anew, not only opened: this also makes the directory entries durable.
        let head_file =
            found.head.create(&head_path, &key).map_err(opening.io("writing its head"))?;
        let mut sink = Self { log, head_file, key, end: found.head.end, dirty: false };
        let mut tip = found.head.tip;
        if !found.torn.is_empty() {
            sink.cut().map_err(opening.io("cutting off its torn last line"))?;
            tip = sink
                .record_recovery(&tip, path, &found.torn, clock)
                .map_err(opening.io("writing"))?;
        }
        Ok((sink, tip))
    }

    fn record_recovery(
        &mut self,
        tip: &Tip,
        path: &Path,
        torn: &[u8],
        clock: &Clock,
    ) -> io::Result<Tip> {
        let now = clock.now();
        tracing::warn!(log = %path.display(), bytes = torn.len(), "cut a torn last line off the audit log");
        let context = RequestContext::internal(TenantId::default_tenant(), now);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let event = Event::new(&context, "audit.recover", name)
            .detail("torn_bytes", torn.len())
            .detail("torn_sha256", hex::encode(digest(&SHA256, torn)))
            .succeeded();
        let mut lines = Vec::new();
        let tip = line::write(&mut lines, tip, now, &serde_json::to_vec(&event)?);
        self.append(&lines, &tip)?;
        Ok(tip)
    }

    /// Cuts off whatever stands after the last durable line.
    fn cut(&mut self) -> io::Result<()> {
        self.log.set_len(self.end)?;
        self.log.sync_all()?;
        self.dirty = false;
        Ok(())
    }

    fn check_untouched(&self) -> io::Result<()> {
        let file = self.log.metadata()?;
        if file.nlink() == 0 {
            return Err(io::Error::other("the file was removed while the gateway writes it"));
        }
        if file.len() != self.end {
            return Err(io::Error::other(format!(
                "the file has {} bytes where the gateway left {}: another program changed it",
                file.len(),
                self.end
            )));
        }
        Ok(())
    }

    fn write(&mut self, lines: &[u8], tip: &Tip) -> io::Result<()> {
        self.log.write_all(lines)?;
        self.log.sync_data()?;
        let length = |bytes: usize| u64::try_from(bytes).map_err(io::Error::other);
        let last = lines.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let end = self.end + length(lines.len())?;
        let head = Head { tip: tip.clone(), start: end - length(last.len())?, end };
        head.overwrite(&self.head_file, &self.key)?;
        self.end = end;
        Ok(())
    }
}

impl Sink for FileSink {
    fn append(&mut self, lines: &[u8], tip: &Tip) -> io::Result<()> {
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
}

/// What stands at the end of an existing log.
struct Tail {
    /// The last whole line, which may be after the head that was found.
    head: Head,
    /// What follows it.
    torn: Vec<u8>,
}

struct Opening<'a> {
    path: &'a Path,
}

impl Opening<'_> {
    fn io(&self, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        let path: PathBuf = self.path.to_owned();
        move |cause| OpenError::Io { path, doing, cause }
    }

    fn head(&self, problem: HeadError) -> OpenError {
        OpenError::Head { path: self.path.to_owned(), problem }
    }

    fn broken(&self, problem: impl Into<String>) -> OpenError {
        OpenError::Broken { path: self.path.to_owned(), problem: problem.into() }
    }

    /// Reads from the line that the head seals to the end; what is before is not read, so that
    /// opening does not take longer as the log grows.
    fn tail(&self, log: &File, length: u64, head: &Head) -> Result<Tail, OpenError> {
        if length < head.end {
            return Err(self.broken(format!(
                "it has {length} bytes where its head seals {} (line {}): lines were removed from \
                 its end",
                head.end, head.tip.seq
            )));
        }
        let mut reader = Reader { log, at: head.start, length };
        let read = |reader: &mut Reader<'_>| {
            reader.next().map_err(self.io("reading it")).map(Option::unwrap_or_default)
        };
        if head.tip.seq > 0 {
            let sealed = read(&mut reader)?;
            let link = sealed.strip_suffix(b"\n").and_then(line::read);
            let fits = link.is_some_and(|link| {
                link.hash == link.computed && link.hash == head.tip.hash && reader.at == head.end
            });
            if !fits {
                return Err(self.broken(format!(
                    "the line before byte {} is not line {} that its head seals",
                    head.end, head.tip.seq
                )));
            }
        }
        let mut head = head.clone();
        while reader.at < length {
            let start = reader.at;
            let piece = read(&mut reader)?;
            let Some(line) = piece.strip_suffix(b"\n") else {
                if reader.at < length {
                    return Err(self.broken(format!("the line at byte {start} has no end")));
                }
                return Ok(Tail { head, torn: piece });
            };
            let link = line::read(line).filter(|link| {
                link.hash == link.computed
                    && link.seq == head.tip.seq + 1
                    && link.prev == head.tip.hash
            });
            let Some(link) = link else {
                return Err(self.broken(format!(
                    "the line at byte {start} does not follow from line {}",
                    head.tip.seq
                )));
            };
            head = Head { tip: Tip { seq: link.seq, hash: link.hash }, start, end: reader.at };
        }
        Ok(Tail { head, torn: Vec::new() })
    }
}

/// Reads lines of at most [`MAX_LINE`] bytes at a position.
struct Reader<'a> {
    log: &'a File,
    at: u64,
    length: u64,
}

impl Reader<'_> {
    /// The next line with its newline; without one if it is too long or the last and torn.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX).min(MAX_LINE);
        let mut bytes = vec![0; left];
        self.log.read_exact_at(&mut bytes, self.at)?;
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            bytes.truncate(end + 1);
        }
        self.at += u64::try_from(bytes.len()).map_err(io::Error::other)?;
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}
