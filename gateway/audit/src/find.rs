//! What a start finds: the end of the log, from the mark on.
//!
//! A start does not read the whole log, so that it does not take longer as the log grows. It begins at
//! the line that the mark names and goes on to the end, over as many files as there are.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use crate::file::End;
use crate::head::{Head, HeadError};
use crate::line::Chain;
use crate::lines::{Line, Lines, Next};
use crate::mark::{KnownMark, Mark, Place};
use crate::own::{self, Own};
use crate::paths::Names;
use crate::{AuditKey, OpenError};

/// The end of a log.
#[derive(Debug)]
pub(crate) struct Found {
    /// The file that has the last line.
    pub(crate) path: PathBuf,
    pub(crate) end: End,
    /// What follows the last line, as a crash leaves it.
    pub(crate) torn: Vec<u8>,
    /// The last line has no MAC: it is of the first format.
    pub(crate) first_format: bool,
}

/// Reads a log from its mark to its end.
pub(crate) struct Search<'a> {
    names: &'a Names,
    key: &'a AuditKey,
    /// As far as it was read, everything is in order.
    pub(crate) chain: Chain,
    pub(crate) place: Place,
    /// Whether a line with a MAC was seen, so that from there on each must have one.
    macs: bool,
    /// Whether the last line is a checkpoint.
    pub(crate) signed: bool,
    /// None as long as it was not read, or if it is not authentic.
    pub(crate) head: Option<Head>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(names: &'a Names, key: &'a AuditKey, known: &KnownMark) -> Self {
        let Mark { chain, place } = match known {
            KnownMark::At(mark) => mark.clone(),
            KnownMark::NeverKept | KnownMark::Missing => Mark::start(),
        };
        let macs = !matches!(known, KnownMark::NeverKept);
        Self { names, key, chain, place, macs, signed: false, head: None }
    }

    /// The end of the log; none if it has not begun.
    pub(crate) fn run(&mut self) -> Result<Option<Found>, OpenError> {
        let head = Head::read(&self.names.head(), Some(self.key));
        let head = head.map_err(self.io("reading its head"))?;
        let problem = match head {
            Some(Ok(head)) => {
                self.head = Some(head);
                None
            }
            Some(Err(problem)) => Some(problem),
            None => Some(HeadError::Missing),
        };
        let files = self.names.files().map_err(self.io("reading its directory"))?;
        let found = self.follow(&files)?;
        match (problem, &found) {
            (Some(HeadError::Missing), None) | (None, _) => {}
            (Some(problem), _) => {
                return Err(OpenError::Head { path: self.names.active().to_owned(), problem });
            }
        }
        let behind = self.head.as_ref().filter(|head| head.tip.seq > self.chain.tip.seq);
        if let Some(head) = behind {
            return Err(self.broken(format!(
                "it ends with line {}, where its head seals line {}: lines were removed from its end",
                self.chain.tip.seq, head.tip.seq
            )));
        }
        self.nothing_else(&files, found.as_ref())?;
        Ok(found)
    }

    /// Follows the chain from file to file.
    fn follow(&mut self, files: &BTreeMap<u64, PathBuf>) -> Result<Option<Found>, OpenError> {
        let seq = self.chain.tip.seq;
        let Some(mut path) = files.get(&self.place.first) else {
            if seq == 0 {
                return Ok(None);
            }
            return Err(self.broken(format!(
                "the store's mark says that line {seq} was written, and the file that begins with \
                 line {} and holds it is not there",
                self.place.first
            )));
        };
        let mut lines = self.open(path, self.place.start)?;
        if seq > 0 {
            self.marked(&mut lines)?;
        }
        loop {
            let torn = self.read(path, &mut lines)?;
            let next = files.get(&(self.chain.tip.seq + 1)).filter(|next| *next != path);
            let Some(next) = next.filter(|_| self.chain.tip.seq > 0) else {
                if self.chain.tip.seq == 0 && torn.is_empty() {
                    return Ok(None);
                }
                let end = End {
                    tip: self.chain.tip.clone(),
                    place: self.place,
                    began: self.began(path)?,
                };
                let found = Found { path: path.clone(), end, torn, first_format: !self.macs };
                return Ok(Some(found));
            };
            if !torn.is_empty() {
                return Err(self.broken(format!(
                    "{} ends with half a line, and is not its last file",
                    path.display()
                )));
            }
            path = next;
            self.place = Place { first: self.chain.tip.seq + 1, start: 0, end: 0 };
            lines = self.open(path, 0)?;
        }
    }

    /// The line that the mark names has to be where it says.
    fn marked(&mut self, lines: &mut Lines) -> Result<(), OpenError> {
        let tip = self.chain.tip.clone();
        let next = lines.next().map_err(self.io("reading it"))?;
        let fits = match next {
            Next::Line(Line { link, text, end, .. }) => {
                self.signed = Own::read(text).is_some_and(|own| own.operation == own::CHECKPOINT);
                link.hash == link.computed
                    && link.hash == tip.hash
                    && link.seq == tip.seq
                    && end == self.place.end
                    && link.mac.is_some_and(|mac| self.key.made_line(&link.hash, &mac))
            }
            Next::Malformed | Next::Torn(_) | Next::End => false,
        };
        if fits {
            return Ok(());
        }
        Err(self.broken(format!(
            "line {} of the store's mark is not in it: lines were removed from its end, or an older \
             log was put back",
            tip.seq
        )))
    }

    /// Reads a file to its end; returns half a line that stands there.
    fn read(&mut self, path: &Path, lines: &mut Lines) -> Result<Vec<u8>, OpenError> {
        loop {
            let next = lines.next();
            let wrong = |problem: &str| {
                let after = self.chain.tip.seq;
                self.broken(format!("what follows line {after} in {}: {problem}", path.display()))
            };
            let Line { link, text, start, end } = match next {
                Ok(Next::Line(line)) => line,
                Ok(Next::Malformed) => return Err(wrong("it is not a line of a log")),
                Ok(Next::Torn(torn)) => return Ok(torn.to_vec()),
                Ok(Next::End) => return Ok(Vec::new()),
                Err(error) => return Err(self.io("reading it")(error)),
            };
            let tip = &self.chain.tip;
            if link.hash != link.computed || link.seq != tip.seq + 1 || link.prev != tip.hash {
                return Err(wrong("the line does not follow from it"));
            }
            let has_mac = match &link.mac {
                Some(mac) if self.key.made_line(&link.hash, mac) => true,
                Some(_) => return Err(wrong("the line was not written with this key")),
                None if self.macs => return Err(wrong("the line has no MAC")),
                None => false,
            };
            let sealed = self.head.as_ref().filter(|head| head.tip.seq == link.seq);
            if sealed.is_some_and(|head| head.tip.hash != link.hash) {
                return Err(wrong("the line is not the one that its head seals"));
            }
            self.macs |= has_mac;
            self.signed = Own::read(text).is_some_and(|own| own.operation == own::CHECKPOINT);
            self.chain.advance(link.seq, link.hash);
            self.place = Place { first: self.place.first, start, end };
        }
    }

    /// A file at the log's path has to be its last one.
    fn nothing_else(
        &self,
        files: &BTreeMap<u64, PathBuf>,
        found: Option<&Found>,
    ) -> Result<(), OpenError> {
        let active = self.names.active();
        let is_last = found.is_some_and(|found| found.path == active);
        let empty = std::fs::metadata(active).map_or(true, |file| file.len() == 0);
        if is_last || empty {
            // A log that begins must not find closed files of another one.
            let first = files.keys().next().filter(|_| found.is_none());
            return match first {
                None => Ok(()),
                Some(first) => Err(self.broken(format!(
                    "it has not begun, and there is a file with line {first} and more in its directory"
                ))),
            };
        }
        let from = self.chain.tip.seq + 1;
        let other = files.iter().find(|(_, path)| *path == active).map(|(first, _)| *first);
        Err(self.broken(match other {
            Some(first) if first > from => {
                format!("it begins with line {first}: lines {from} to {} are missing", first - 1)
            }
            Some(first) => {
                format!("it begins with line {first}, which does not follow from line {}", from - 1)
            }
            None => format!("it does not begin with a line of a log, where line {from} belongs"),
        }))
    }

    /// When the first line of a file was written.
    fn began(&self, path: &Path) -> Result<Timestamp, OpenError> {
        #[derive(Deserialize)]
        struct First {
            time: Timestamp,
        }
        let mut lines = self.open(path, 0)?;
        let first = match lines.next().map_err(self.io("reading its first line"))? {
            Next::Line(line) => serde_json::from_slice::<First>(line.text).ok(),
            Next::Malformed | Next::Torn(_) | Next::End => None,
        };
        Ok(first.map_or(Timestamp::UNIX_EPOCH, |first| first.time))
    }

    fn open(&self, path: &Path, at: u64) -> Result<Lines, OpenError> {
        let file = std::fs::File::open(path).map_err(self.io("opening it"))?;
        Lines::at(file, at).map_err(self.io("reading it"))
    }

    fn io(&self, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        let path = self.names.active().to_owned();
        move |cause| OpenError::Io { path, doing, cause }
    }

    fn broken(&self, problem: impl Into<String>) -> OpenError {
        OpenError::Broken { path: self.names.active().to_owned(), problem: problem.into() }
    }
}
