//! Reads a backup record by record, and verifies its MAC at the end.

use std::io::{self, BufRead, BufReader, Read};

use aws_lc_rs::{digest, hmac};
use chancery_store::{Commit, Key, Record, Version};

use super::{BackupError, BackupHeader, BackupKey, END, FIRST_LINE, HASH, RECORD};
use crate::barrier::Barrier;
use crate::root::RootKey;

/// The largest header, in bytes.
const LARGEST_HEADER: u64 = 4096;

/// The largest value: what a commit may have, and the envelope around it.
const LARGEST_VALUE: usize = Commit::MAX_BYTES + 1024;

/// Reads a backup, record by record. Nothing of it may be relied on before its [end](Self::end) was reached and
/// is [authentic](BackupEnd::authenticate).
pub struct BackupReader<R: Read> {
    input: BufReader<R>,
    hash: digest::Context,
    header: BackupHeader,
    records: u64,
    last: Option<Key>,
    end: Option<BackupEnd>,
}

/// The end of a backup: all of it is there, and as it was written.
#[derive(Debug, Clone)]
pub struct BackupEnd {
    /// How many records there are.
    pub records: u64,
    /// How many of the store's records were damaged when it was made.
    pub damaged: u64,
    hash: [u8; HASH],
    mac: [u8; HASH],
}

impl<R: Read> BackupReader<R> {
    /// Reads how a backup begins.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn open(input: R) -> Result<Self, BackupError> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut first = Vec::new();
        (&mut input).take(FIRST_LINE.len() as u64).read_to_end(&mut first)?;
        if first != FIRST_LINE {
            return Err(BackupError::NotABackup);
        }
        let mut line = Vec::new();
        (&mut input).take(LARGEST_HEADER).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(BackupError::CutShort { records: 0 });
        }
        hash.update(&first);
        hash.update(&line);
        let header = serde_json::from_slice(&line)
            .map_err(|error| BackupError::Damaged(format!("its second line: {error}")))?;
        Ok(Self { input, hash, header, records: 0, last: None, end: None })
    }

    /// What it says of itself.
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn next_record(&mut self) -> Result<Option<Record>, BackupError> {
        if self.end.is_some() {
            return Ok(None);
        }
        match self.array::<1>()? {
            [RECORD] => self.record().map(Some),
            [END] => {
                self.read_end()?;
                Ok(None)
            }
            [other] => Err(self.damaged(&format!("a record cannot begin with {other}"))),
        }
    }

    /// The end, once [`next_record`](Self::next_record) has come to it.
    ///
    /// # Errors
    /// [`BackupError::CutShort`] before.
    pub fn end(&self) -> Result<&BackupEnd, BackupError> {
        self.end.as_ref().ok_or(BackupError::CutShort { records: self.records })
    }

    fn record(&mut self) -> Result<Record, BackupError> {
        let key_length = usize::from(u16::from_be_bytes(self.array()?));
        let value_length = usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX);
        let version = Version::new(u64::from_be_bytes(self.array()?));
        if value_length > LARGEST_VALUE {
            return Err(self.damaged(&format!("a value of {value_length} bytes")));
        }
        let key = self.bytes(key_length)?;
        let key = Key::new(key).map_err(|error| self.damaged(&error.to_string()))?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(self.damaged(&format!("{key} is not in its place")));
        }
        let value = self.bytes(value_length)?.into();
        self.last = Some(key.clone());
        self.records += 1;
        Ok(Record { key, value, version })
    }

    fn read_end(&mut self) -> Result<(), BackupError> {
        let records = u64::from_be_bytes(self.array()?);
        let damaged = u64::from_be_bytes(self.array()?);
        let found = self.hash.clone().finish();
        let (hash, mac) = (self.array::<HASH>()?, self.array::<HASH>()?);
        if records != self.records || found.as_ref() != hash {
            return Err(self.damaged("its hash is another one"));
        }
        if !self.input.fill_buf()?.is_empty() {
            return Err(self.damaged("something follows its end"));
        }
        self.end = Some(BackupEnd { records, damaged, hash, mac });
        Ok(())
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        match self.input.read_exact(bytes) {
            Ok(()) => {
                self.hash.update(bytes);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(BackupError::CutShort { records: self.records })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn damaged(&self, what: &str) -> BackupError {
        BackupError::Damaged(format!("after {} records: {what}", self.records))
    }
}

impl BackupEnd {
    /// The same as [`authenticate`](Self::authenticate), for the root key that `barrier` was opened with.
    ///
    /// # Errors
    /// [`BackupError::NotAuthentic`].
    pub fn authenticate_for(&self, barrier: &Barrier) -> Result<(), BackupError> {
        hmac::verify(&barrier.backup_key().0, &self.hash, &self.mac)
            .map_err(|_| BackupError::NotAuthentic { origin: "the configuration".to_owned() })
    }

    /// Makes sure that the backup was made under this root key and is as it was made.
    ///
    /// # Errors
    /// [`BackupError::NotAuthentic`].
    pub fn authenticate(&self, root: &RootKey) -> Result<(), BackupError> {
        hmac::verify(&BackupKey::of(root).0, &self.hash, &self.mac)
            .map_err(|_| BackupError::NotAuthentic { origin: root.origin().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::Encoder;
    use super::*;

    fn root(directory: &std::path::Path, name: &str) -> RootKey {
        RootKey::create_file(&directory.join(name)).unwrap()
    }

    fn records() -> Vec<Record> {
        let record = |key: &str, value: &[u8], version| Record {
            key: Key::new(key).unwrap(),
            value: value.to_vec().into(),
            version: Version::new(version),
        };
        vec![record("_/seal/check", b"sealed", 1), record("a/x", b"", 7), record("a/y", b"zz", 3)]
    }

    fn backup(root: &RootKey) -> Vec<u8> {
        let header = BackupHeader {
            created: "2026-01-01T00:00:00Z".into(),
            program: "0.1".into(),
            newest: 7,
        };
        let mut encoder = Encoder::new(&header).unwrap();
        for record in &records() {
            encoder.record(record);
        }
        encoder.end(&BackupKey::of(root));
        encoder.take().to_vec()
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Record>, BackupEnd), BackupError> {
        let mut reader = BackupReader::open(bytes)?;
        let mut found = Vec::new();
        while let Some(record) = reader.next_record()? {
            found.push(record);
        }
        Ok((found, reader.end()?.clone()))
    }

    #[test]
    fn what_was_written_is_read_and_authentic_under_its_root_key_only() {
        let directory = tempfile::tempdir().unwrap();
        let (mine, other) = (root(directory.path(), "mine"), root(directory.path(), "other"));
        let (found, end) = read(&backup(&mine)).unwrap();
        assert_eq!(found, records());
        assert_eq!(end.records, 3);
        end.authenticate(&mine).unwrap();
        let refused = end.authenticate(&other).unwrap_err();
        assert!(matches!(&refused, BackupError::NotAuthentic { .. }), "{refused}");
        assert!(refused.to_string().contains("other"), "{refused}");
    }

    #[test]
    fn every_cut_every_flipped_bit_and_every_addition_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = root(directory.path(), "root");
        let whole = backup(&root);
        for length in 0..whole.len() {
            let refused = read(&whole[..length]).unwrap_err();
            let expected =
                matches!(refused, BackupError::CutShort { .. } | BackupError::NotABackup);
            assert!(expected, "{length}: {refused}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let accepted = read(&flipped).is_ok_and(|(_, end)| end.authenticate(&root).is_ok());
            assert!(!accepted, "bit {bit}");
        }
        let longer = [&whole[..], b"x"].concat();
        assert!(read(&longer).unwrap_err().to_string().contains("follows its end"));
        // Without one of the records, and with a hash that fits: the key is missing for the rest.
        let mut encoder = Encoder::new(BackupReader::open(&whole[..]).unwrap().header()).unwrap();
        encoder.record(&records()[0]);
        encoder.end(&BackupKey::of(&self::root(directory.path(), "another")));
        let (_, end) = read(&encoder.take()).unwrap();
        end.authenticate(&root).unwrap_err();
    }

    #[test]
    fn records_out_of_order_or_too_large_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = root(directory.path(), "root");
        let whole = backup(&root);
        let header = BackupReader::open(&whole[..]).unwrap().header().clone();
        let mut encoder = Encoder::new(&header).unwrap();
        encoder.record(&records()[1]);
        encoder.record(&records()[0]);
        encoder.end(&BackupKey::of(&root));
        assert!(read(&encoder.take()).unwrap_err().to_string().contains("not in its place"));
        let mut encoder = Encoder::new(&header).unwrap();
        let mut huge = encoder.take().to_vec();
        huge.extend([RECORD, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        huge.extend([0; 16]);
        assert!(read(&huge).unwrap_err().to_string().contains("a value of"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read(&[FIRST_LINE, b"{\"created\":\"\",\"program\":\"\",\"newest\":1}\n", &bytes].concat());
        }
    }
}
