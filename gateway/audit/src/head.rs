//! The head of a log: a file with the log's last line under a MAC, which shows whether lines were cut off the end.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use chancery_files::{Draft, Readers};

use crate::AuditKey;
use crate::line::Tip;
use crate::mark::Place;

/// The end of a log, sealed: without it, cutting lines off the end would leave a sound chain.
///
/// The file has one line of fixed length, overwritten in place, so that after a crash it holds
/// either the old or the new head. It is written after the lines are durable and before anybody is
/// told, and it is itself not synced: after a power failure it may lag behind the log, never run
/// ahead of it.
///
/// It is beside the log, so an attacker who puts back an older log can put back its head too; the
/// mark ([`crate::Mark`]) shows that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The last line.
    pub(crate) tip: Tip,
    /// Where it is.
    pub(crate) place: Place,
}

/// What is wrong with the head of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The log has lines and no head.
    #[error("its head is missing, so lines may have been cut off its end")]
    Missing,
    /// The head cannot be read.
    #[error("its head is not one that the gateway wrote")]
    Malformed,
    /// The head was not made with this key.
    #[error(
        "its head was not sealed with this audit key: the key or the head is not the right one"
    )]
    Forged,
}

impl Head {
    /// Makes a new head file, whole or not at all, and opens it.
    pub(crate) fn create(&self, path: &Path, key: &AuditKey) -> io::Result<File> {
        let mut draft = Draft::new(path, Readers::Owner)?;
        draft.write_all(self.encode(key).as_bytes())?;
        draft.keep_open()
    }

    /// Overwrites the head in place.
    pub(crate) fn overwrite(&self, file: &File, key: &AuditKey) -> io::Result<()> {
        file.write_all_at(self.encode(key).as_bytes(), 0)
    }

    /// Reads a head file and, with the key, checks its seal. None if there is no such file.
    pub(crate) fn read(
        path: &Path,
        key: Option<&AuditKey>,
    ) -> io::Result<Option<Result<Self, HeadError>>> {
        // A running gateway may overwrite it meanwhile: two equal reads are one head.
        let mut text = read_if_there(path)?;
        loop {
            let again = read_if_there(path)?;
            if again == text {
                return Ok(text.map(|text| Self::decode(&text, key)));
            }
            text = again;
        }
    }

    fn encode(&self, key: &AuditKey) -> String {
        let Self { tip: Tip { seq, hash }, place: Place { first, start, end } } = self;
        let text =
            format!("chancery-audit-head 2 {seq:020} {hash} {first:020} {start:020} {end:020}");
        let mac = key.mac_head(&text);
        format!("{text} {mac}\n")
    }

    fn decode(bytes: &[u8], key: Option<&AuditKey>) -> Result<Self, HeadError> {
        let text = std::str::from_utf8(bytes).map_err(|_| HeadError::Malformed)?;
        let (text, mac) = text
            .strip_suffix('\n')
            .and_then(|line| line.rsplit_once(' '))
            .ok_or(HeadError::Malformed)?;
        if key.is_some_and(|key| !key.made_head(text, mac)) {
            return Err(HeadError::Forged);
        }
        let fields: Vec<&str> = text.split(' ').collect();
        let (seq, hash, first, start, end) = match fields.as_slice() {
            ["chancery-audit-head", "2", seq, hash, first, start, end] => {
                (seq, hash, *first, start, end)
            }
            // Written by a gateway whose log was always one file.
            ["chancery-audit-head", "1", seq, hash, start, end] => (seq, hash, "1", start, end),
            _ => return Err(HeadError::Malformed),
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| HeadError::Malformed);
        let place = Place { first: number(first)?, start: number(start)?, end: number(end)? };
        Ok(Self { tip: Tip { seq: number(seq)?, hash: (*hash).to_owned() }, place })
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
