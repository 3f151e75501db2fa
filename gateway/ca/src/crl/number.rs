//! The numbers of CRLs (RFC 5280 §5.2.3).

use bytes::Bytes;
use chancery_records::Tries;
use chancery_store::{Check, Commit, Key, Version};

use crate::CrlError;
use crate::record::{self, CrlRecord, Records};

/// The number of a CRL that is being made.
pub(crate) struct Number {
    pub(crate) value: u64,
    place: Key,
    /// The version that the number's record must have.
    expected: Option<Version>,
    /// The record that takes the number; none if it is taken.
    taking: Option<Bytes>,
}

impl Number {
    /// The next one, to be taken by the commit that publishes its CRL. In a store that was put back to an earlier
    /// state, it is above those that were published since (RFC 5280 §5.2.3).
    pub(crate) async fn next(records: &Records, name: &str) -> Result<Self, CrlError> {
        let place = records.crl_key(name)?;
        let least = records.restored().await?.unwrap_or(1);
        let found = records.read(&place).await?;
        let last = match &found {
            Some(found) => record::decode::<CrlRecord>(found)?,
            None => CrlRecord { number: 0, kept: None },
        };
        let next = CrlRecord { number: last.number.saturating_add(1).max(least), ..last };
        let taking = Some(record::encode(&next)?);
        Ok(Self { value: next.number, place, expected: found.map(|found| found.version), taking })
    }

    /// The next one, taken for good: a number whose CRL then fails is not used again.
    pub(crate) async fn taken(records: &Records, name: &str) -> Result<Self, CrlError> {
        let mut tries = Tries::default();
        loop {
            let number = Self::next(records, name).await?;
            let commit = number.take(Commit::new());
            if let Some(version) = tries.commit(records.store(), commit).await? {
                return Ok(number.taken_by(version));
            }
        }
    }

    /// Takes it in this commit, which fails with a conflict if somebody else took one. A commit that writes the
    /// record itself takes the number with it.
    pub(crate) fn take(&self, commit: Commit) -> Commit {
        let check = Check { key: self.place.clone(), expected: self.expected };
        let commit = commit.check(check);
        match &self.taking {
            Some(record) if !commit.writes().contains_key(&self.place) => {
                commit.put(self.place.clone(), record.clone())
            }
            _ => commit,
        }
    }

    /// The number after this commit took it.
    pub(crate) fn taken_by(self, version: Version) -> Self {
        Self { expected: Some(version), taking: None, ..self }
    }
}
