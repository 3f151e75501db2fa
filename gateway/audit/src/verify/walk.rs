//! From line to line, over all files.

use std::path::{Path, PathBuf};

use super::finding::{Finding, Kind};
use super::row::Part;
use super::{Checks, Loss, Seal, Signatures, Verified, VerifyError};
use crate::HeadError;
use crate::checkpoint::{Checkpoint, PublicKey, Signed};
use crate::head::Head;
use crate::line::{Chain, Link, Tip};
use crate::lines::{Line, Lines, Next};
use crate::own::{self, Occasion, Own};
use crate::paths::{closed_number, unpacked_name};

/// What is known so far.
pub(super) struct Walk<'a> {
    row: &'a [Part],
    checks: &'a Checks<'a>,
    head: Option<Head>,
    public_key: Option<&'a PublicKey>,
    /// None before the first line.
    chain: Option<Chain>,
    lines: u64,
    torn: u64,
    /// Whether a line with a MAC was seen: from there on each must have one.
    macs: bool,
    without_mac: u64,
    signatures: Signatures,
    /// The name that the file before had when it was closed.
    losses: Vec<Loss>,
    /// Whether the last line ends its file.
    ended: bool,
}

/// Where the walk is.
struct At<'a> {
    path: &'a Path,
    number: u64,
}

impl At<'_> {
    fn broken(&self, seq: Option<u64>, kind: Kind) -> VerifyError {
        let finding = Finding { line: self.number, seq, kind };
        VerifyError::Broken { path: self.path.to_owned(), finding }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(row: &'a [Part], checks: &'a Checks<'a>, head: Option<Head>) -> Self {
        Self {
            row,
            checks,
            head,
            public_key: checks.public_key,
            chain: None,
            lines: 0,
            torn: 0,
            macs: false,
            without_mac: 0,
            signatures: Signatures::default(),
            losses: vec![],
            ended: false,
        }
    }

    pub(super) fn run(mut self) -> Result<Verified, VerifyError> {
        for (at, part) in self.row.iter().enumerate() {
            self.file(part, at + 1 == self.row.len())?;
        }
        let chain = self.chain.take().unwrap_or_else(Chain::start);
        self.end(&chain)?;
        let seal = self.seal(&chain)?;
        Ok(Verified {
            files: self.row.len(),
            lines: self.lines,
            last: chain.tip.seq,
            last_hash: chain.tip.hash,
            torn_bytes: self.torn,
            seal,
            without_mac: self.without_mac,
            checkpoints: self.signatures,
            losses: self.losses,
        })
    }

    /// Begins where another has ended, between two files; `macs`: whether it has seen lines with a MAC.
    pub(super) fn go_on(&mut self, chain: Chain, macs: bool) {
        self.chain = Some(chain);
        self.macs = macs;
    }

    /// How far it has come, if it has begun, and whether it has seen lines with a MAC.
    pub(super) fn so_far(self) -> (Option<Chain>, bool) {
        (self.chain, self.macs)
    }

    /// Reads a file up to this line, or as long as `more` says, which is told how many bytes were read.
    pub(super) fn read_until(
        &mut self,
        part: &Part,
        last: u64,
        mut more: impl FnMut(u64) -> bool,
    ) -> Result<(), VerifyError> {
        self.read(part, false, |seq, bytes| seq < last && more(bytes))
    }

    fn file(&mut self, part: &Part, is_last: bool) -> Result<(), VerifyError> {
        self.read(part, is_last, |_, _| true)
    }

    /// Reads a file as long as `more` says, which is told the number of each line and how many bytes it has. The last
    /// file of a log may end in the middle of a line.
    fn read(
        &mut self,
        part: &Part,
        may_be_torn: bool,
        mut more: impl FnMut(u64, u64) -> bool,
    ) -> Result<(), VerifyError> {
        let path = &part.path;
        let unreadable = |cause| VerifyError::Read { path: path.clone(), cause };
        let mut lines = Lines::open_packed(path).map_err(unreadable)?;
        loop {
            let at = At { path, number: lines.number() + 1 };
            let next = self.chain.as_ref().map_or(1, |chain| chain.tip.seq + 1);
            match lines.next().map_err(unreadable)? {
                Next::Line(line) => {
                    self.line(&at, &line)?;
                    if !more(line.link.seq, line.end - line.start) {
                        return Ok(());
                    }
                }
                Next::Torn(torn) if may_be_torn => {
                    self.torn = u64::try_from(torn.len()).unwrap_or(u64::MAX);
                }
                Next::Malformed | Next::Torn(_) => {
                    return Err(at.broken(Some(next), Kind::Malformed));
                }
                Next::End => return Ok(()),
            }
        }
    }

    fn line(&mut self, at: &At<'_>, line: &Line<'_>) -> Result<(), VerifyError> {
        let link = &line.link;
        if link.hash != link.computed {
            return Err(at.broken(Some(link.seq), Kind::Changed));
        }
        let own = Own::read(line.text);
        let mut chain = match self.chain.take() {
            Some(chain) => self.next(at, link, own.as_ref(), chain)?,
            None => self.first(at, link, own.as_ref())?,
        };
        if link.prev != chain.tip.hash {
            // The line before states its own hash correctly and yet is not the one that this line
            // was written after.
            let before = At { path: at.path, number: at.number.saturating_sub(1).max(1) };
            return Err(before.broken(Some(chain.tip.seq.max(1)), Kind::Changed));
        }
        self.mac(at, link)?;
        if at.number == 1
            && let Some(own) = &own
        {
            self.first_line(at, link, own, &chain)?;
        }
        self.ended = false;
        if let Some(note) = own.as_ref().filter(|own| own.operation == own::CHECKPOINT) {
            self.checkpoint(at, link, note, &chain)?;
        }
        chain.advance(link.seq, link.hash.clone());
        self.lines += 1;
        self.witnesses(at, &chain)?;
        self.chain = Some(chain);
        Ok(())
    }

    /// The chain before the very first line that was given.
    fn first(&self, at: &At<'_>, link: &Link, own: Option<&Own>) -> Result<Chain, VerifyError> {
        let wanted = self.checks.from.max(1);
        if link.seq > wanted {
            return Err(out_of_order(at, link, wanted)?);
        }
        if link.seq == 1 {
            return Ok(Chain::start());
        }
        let tree = own.and_then(|own| own.tree(link.seq));
        let tree = tree.ok_or_else(|| at.broken(Some(link.seq), Kind::WrongTree))?;
        Ok(Chain { tip: Tip { seq: link.seq - 1, hash: link.prev.clone() }, tree })
    }

    /// The chain before a line that is not the first.
    fn next(
        &mut self,
        at: &At<'_>,
        link: &Link,
        own: Option<&Own>,
        chain: Chain,
    ) -> Result<Chain, VerifyError> {
        let wanted = chain.tip.seq + 1;
        let loss = own.filter(|own| own.operation == own::ACCEPT_LOSS && at.number == 1);
        if let Some(own) = loss.filter(|_| link.seq >= wanted) {
            let tree = own.tree(link.seq);
            let tree = tree.ok_or_else(|| at.broken(Some(link.seq), Kind::WrongTree))?;
            self.losses.push(Loss {
                from: wanted,
                to: link.seq - 1,
                line: link.seq,
                time: own.time.clone(),
                reason: own.details.reason.clone().unwrap_or_default(),
            });
            return Ok(Chain { tip: Tip { seq: link.seq - 1, hash: link.prev.clone() }, tree });
        }
        if link.seq != wanted {
            return Err(out_of_order(at, link, wanted)?);
        }
        Ok(chain)
    }

    fn mac(&mut self, at: &At<'_>, link: &Link) -> Result<(), VerifyError> {
        let wrong = || at.broken(Some(link.seq), Kind::Unauthentic);
        match (&link.mac, self.checks.key) {
            (Some(mac), Some(key)) if !key.made_line(&link.hash, mac) => return Err(wrong()),
            (Some(_), _) => self.macs = true,
            // Only a log's beginning can be of the first format, and that was one file.
            (None, _) if self.macs || self.row.first().is_some_and(|part| part.first > 1) => {
                return Err(wrong());
            }
            (None, _) => self.without_mac += 1,
        }
        Ok(())
    }

    /// A file's first line names the file before, and the tree so far.
    fn first_line(
        &self,
        at: &At<'_>,
        link: &Link,
        own: &Own,
        chain: &Chain,
    ) -> Result<(), VerifyError> {
        if own.tree(link.seq).is_some_and(|tree| tree != chain.tree) {
            return Err(at.broken(Some(link.seq), Kind::WrongTree));
        }
        let here = self.row.iter().position(|part| part.path == at.path).unwrap_or_default();
        let before = here.checked_sub(1).and_then(|before| self.row.get(before));
        if let (Some(before), Some(previous)) = (before, &own.details.previous) {
            let unpacked = unpacked_name(&before.path);
            let name = unpacked.file_name().unwrap_or_default().to_string_lossy();
            // What others have named they may rename.
            if closed_number(Path::new(&previous.name)).is_some() && name != previous.name {
                let (path, name) = (before.path.clone(), previous.name.clone());
                return Err(VerifyError::Renamed { path, name });
            }
        }
        Ok(())
    }

    fn checkpoint(
        &mut self,
        at: &At<'_>,
        link: &Link,
        own: &Own,
        chain: &Chain,
    ) -> Result<(), VerifyError> {
        let note = own.details.note.as_deref().and_then(|note| note.parse::<Checkpoint>().ok());
        let Some(note) = note.filter(|note| note.states(&chain.tree)) else {
            return Err(at.broken(Some(link.seq), Kind::WrongTree));
        };
        self.ended = own.resource == Occasion::EndOfFile.as_str();
        self.signatures.all += 1;
        match self.public_key.map(|key| note.signed_by(key)) {
            Some(Signed::ByKey) => {
                self.signatures.signed += 1;
                self.signatures.lines = note.lines;
            }
            Some(Signed::Wrongly) => {
                let (path, lines) = (at.path.to_owned(), note.lines);
                return Err(VerifyError::Unsigned { path, lines });
            }
            Some(Signed::ByOthers) | None => {}
        }
        Ok(())
    }

    /// Compares with what others know of the log, at the line that was just read.
    fn witnesses(&self, at: &At<'_>, chain: &Chain) -> Result<(), VerifyError> {
        let Tip { seq, hash } = &chain.tip;
        if self.head.as_ref().is_some_and(|head| head.tip.seq == *seq && head.tip.hash != *hash) {
            return Err(at.broken(Some(*seq), Kind::Changed));
        }
        let other =
            |witness| Err(VerifyError::Other { path: at.path.to_owned(), line: *seq, witness });
        if self.checks.mark.is_some_and(|mark| mark.lines() == *seq && mark.hash() != hash) {
            return other("the store's mark");
        }
        let kept = self.checks.kept.iter().filter(|kept| kept.lines == *seq);
        if kept.into_iter().any(|kept| !kept.states(&chain.tree)) {
            return other("the checkpoint that was kept");
        }
        Ok(())
    }

    /// What has to be there at the end.
    fn end(&self, chain: &Chain) -> Result<(), VerifyError> {
        let (path, last) = (self.last_path(), chain.tip.seq);
        let short =
            |lines, witness| VerifyError::Short { path: path.clone(), last, lines, witness };
        if let Some(to) = self.checks.to.filter(|to| *to > last) {
            return Err(short(to, "--to-line"));
        }
        // What comes after that line is elsewhere.
        let missing = |lines: &u64| *lines > last && self.checks.to.is_none();
        if let Some(mark) = self.checks.mark.map(crate::Mark::lines).filter(missing) {
            return Err(short(mark, "the store's mark"));
        }
        for kept in self.checks.kept {
            let signed = self.public_key.map(|key| kept.signed_by(key));
            if signed != Some(Signed::ByKey) {
                return Err(VerifyError::Unsigned { path, lines: kept.lines });
            }
            if missing(&kept.lines) {
                return Err(short(kept.lines, "the checkpoint that was kept"));
            }
        }
        if self.public_key.is_some() && self.signatures.signed == 0 && self.checks.kept.is_empty() {
            return Err(VerifyError::NeverSigned { path });
        }
        Ok(())
    }

    /// How far the end can be trusted.
    fn seal(&self, chain: &Chain) -> Result<Seal, VerifyError> {
        let (path, seq) = (self.last_path(), chain.tip.seq);
        let lines = self.lines;
        if let Some(head) = self.head.as_ref().filter(|head| head.tip.seq > seq) {
            let kind = Kind::Removed { to: head.tip.seq };
            let finding = Finding { line: lines + 1, seq: Some(seq + 1), kind };
            return Err(VerifyError::Broken { path, finding });
        }
        if self.head.is_none() && closed_number(&unpacked_name(&path)).is_some() && !self.ended {
            let finding = Finding { line: lines, seq: Some(seq), kind: Kind::CutOff };
            return Err(VerifyError::Broken { path, finding });
        }
        match (&self.head, self.checks.key) {
            (None, _) if self.ended => Ok(Seal::Closed),
            (None, Some(_)) if seq > 0 => {
                Err(VerifyError::Head { path, problem: HeadError::Missing })
            }
            (None, _) => Ok(Seal::Absent),
            (Some(_), None) => Ok(Seal::Unchecked),
            (Some(_), Some(_)) => Ok(Seal::Authentic),
        }
    }

    fn last_path(&self) -> PathBuf {
        self.row.last().map(|part| part.path.clone()).unwrap_or_default()
    }
}

/// The line is sound but not the next: is the next gone, or elsewhere in its file?
fn out_of_order(at: &At<'_>, found: &Link, wanted: u64) -> Result<VerifyError, VerifyError> {
    let reordered = at.broken(Some(found.seq), Kind::Reordered);
    if found.seq < wanted {
        return Ok(reordered);
    }
    let unreadable = |cause| VerifyError::Read { path: at.path.to_owned(), cause };
    let mut lines = Lines::open_packed(at.path).map_err(unreadable)?;
    loop {
        let number = lines.number() + 1;
        match lines.next().map_err(unreadable)? {
            Next::Line(line) if line.link.seq == wanted && number > at.number => {
                return Ok(reordered);
            }
            Next::Line(_) | Next::Malformed => {}
            Next::Torn(_) | Next::End => break,
        }
    }
    Ok(at.broken(Some(wanted), Kind::Removed { to: found.seq - 1 }))
}
