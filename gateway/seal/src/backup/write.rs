//! Writes a backup of the sealed store, and opens each record to detect damage.

use aws_lc_rs::{digest, hmac};
use bytes::Bytes;
use chancery_store::redb::Frozen;
use chancery_store::{ReadError, Record};
use tokio::sync::mpsc::Sender;

use super::{BackupHeader, BackupKey, END, FIRST_LINE, RECORD};
use crate::barrier::Barrier;

/// How many records are read at once.
const PAGE: usize = 256;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How many records are in the backup.
    pub records: u64,
    /// How many records of the store do not open. They are in the backup as they are, but for those of which
    /// not even the version can be read. Each is named in the log.
    pub damaged: u64,
}

/// Writes a backup of this state of the store behind the barrier, in pieces, to `out`; none if nobody wants the
/// rest. Every record is opened on the way, so that damage is found while there may be an older backup without it.
///
/// # Errors
/// [`ReadError::Unavailable`]; what was written so far has no end, and so is no backup.
pub async fn write_backup(
    barrier: &Barrier,
    state: Frozen,
    header: &BackupHeader,
    out: &Sender<Bytes>,
) -> Result<Option<Written>, ReadError> {
    let unavailable = |error: &dyn std::fmt::Display| ReadError::Unavailable(error.to_string());
    let mut encoder = Encoder::new(header).map_err(|error| unavailable(&error))?;
    let state = std::sync::Arc::new(state);
    let mut after = None;
    loop {
        let (reader, from) = (state.clone(), after.clone());
        let page = tokio::task::spawn_blocking(move || reader.scan(from.as_ref(), PAGE))
            .await
            .map_err(|error| unavailable(&error))??;
        let ended = page.len() < PAGE;
        after = page.last().map(|found| match found {
            Ok(record) => record.key.clone(),
            Err(key) => key.clone(),
        });
        for found in &page {
            let opened = match found {
                Ok(record) => {
                    encoder.record(record);
                    barrier.verify(record).await
                }
                Err(key) => {
                    tracing::error!(target: "seal", %key, "a record is too short to be one");
                    encoder.damaged += 1;
                    continue;
                }
            };
            match opened {
                Err(ReadError::Damaged { .. }) => encoder.damaged += 1,
                opened => opened?,
            }
        }
        if ended {
            encoder.end(barrier.backup_key());
        }
        if out.send(encoder.take()).await.is_err() {
            return Ok(None);
        }
        if ended {
            return Ok(Some(Written { records: encoder.records, damaged: encoder.damaged }));
        }
    }
}

/// What is written and not yet taken.
pub(super) struct Encoder {
    hash: digest::Context,
    written: Vec<u8>,
    records: u64,
    damaged: u64,
}

impl Encoder {
    pub(super) fn new(header: &BackupHeader) -> serde_json::Result<Self> {
        let hash = digest::Context::new(&digest::SHA256);
        let mut new = Self { hash, written: Vec::new(), records: 0, damaged: 0 };
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        new.write(FIRST_LINE);
        new.write(&line);
        Ok(new)
    }

    pub(super) fn record(&mut self, record: &Record) {
        let (key, value) = (record.key.as_bytes(), &record.value);
        // A key has at most 1,024 bytes and a value a few megabytes.
        let (key_length, value_length) =
            (u16::try_from(key.len()).unwrap_or(0), u32::try_from(value.len()).unwrap_or(0));
        self.write(&[RECORD]);
        self.write(&key_length.to_be_bytes());
        self.write(&value_length.to_be_bytes());
        self.write(&record.version.get().to_be_bytes());
        self.write(key);
        self.write(value);
        self.records += 1;
    }

    pub(super) fn end(&mut self, key: &BackupKey) {
        self.write(&[END]);
        for count in [self.records, self.damaged] {
            self.write(&count.to_be_bytes());
        }
        let hash = self.hash.clone().finish();
        let mac = hmac::sign(&key.0, hash.as_ref());
        self.written.extend_from_slice(hash.as_ref());
        self.written.extend_from_slice(mac.as_ref());
    }

    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.written).into()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.written.extend_from_slice(bytes);
    }
}
