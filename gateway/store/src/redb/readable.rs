//! What can be read of a file that is damaged.

use std::ops::Bound;
use std::path::{Path, PathBuf};

use ::redb::{
    Builder, ConcurrencyMode, DatabaseError, ReadOnlyTable, ReadableDatabase as _, StorageError,
};

use super::guard::guarded;
use super::open_error;
use super::snapshot::{FACTS, FORMAT, KNOWN_FORMAT, NEWEST, RECORDS, decode};
use crate::{Key, OpenError, Record, Version};

/// How often a stretch that cannot be read is halved without anything found in it.
const FRUITLESS: u32 = 6;

/// How many stretches are tried in all.
const MOST_STRETCHES: usize = 16_384;

/// A file that is damaged and was closed in order. It is not changed.
///
/// What is read of it need not be so: the pages are not as they were written. A record may be another than its key
/// says, or an older one, and some may be missing without a [`Gap`].
#[derive(Debug)]
pub struct Readable {
    path: PathBuf,
    newest: Version,
}

/// Keys of which the records cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The last one before that can be read; none if none is.
    pub after: Option<Key>,
    /// The first one behind that can be read; none if none is.
    pub before: Option<Key>,
}

impl Gap {
    /// Whether a record of this key would be in it.
    pub fn contains(&self, key: &Key) -> bool {
        self.after.as_ref().is_none_or(|after| key > after)
            && self.before.as_ref().is_none_or(|before| key < before)
    }
}

/// The bounds of a stretch of keys.
type Stretch = (Bound<Vec<u8>>, Bound<Vec<u8>>);

impl Readable {
    /// Opens the file. Nobody may have it open for writing. Blocks, as does all that follows.
    ///
    /// # Errors
    /// [`OpenError`]: [`OpenError::Unclosed`] if it was not closed in order, [`OpenError::Damaged`] if nothing can be
    /// read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let facts = guarded(|| {
            let database = open(path)?;
            let transaction = database.begin_read().map_err(storage)?;
            let facts = transaction.open_table(FACTS).map_err(storage)?;
            let of = |name| facts.get(name).map(|fact| fact.map(|fact| fact.value()));
            Ok::<_, DatabaseError>((of(FORMAT)?, of(NEWEST)?))
        });
        let facts = facts.map_err(|error| match error {
            DatabaseError::RepairAborted => OpenError::Unclosed { path: path.to_owned() },
            error => open_error(path, error),
        })?;
        match facts {
            (Some(KNOWN_FORMAT), newest) => {
                Ok(Self { path: path.to_owned(), newest: Version::new(newest.unwrap_or(0)) })
            }
            (Some(found), _) => {
                Err(OpenError::Format { path: path.to_owned(), found, known: KNOWN_FORMAT })
            }
            (None, _) => {
                let reason = "it does not say its format".to_owned();
                Err(OpenError::Damaged { path: path.to_owned(), reason })
            }
        }
    }

    /// The newest commit in it.
    pub fn newest(&self) -> Version {
        self.newest
    }

    /// Hands on each record that can be read, in no order; of one that is too short to be a record, the key. Gives
    /// what cannot be read, in the order of keys.
    pub fn walk(&self, mut each: impl FnMut(Result<Record, Key>)) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut tried = 0;
        let mut stretches = vec![((Bound::Unbounded, Bound::Unbounded), 0)];
        while let Some((stretch, fruitless)) = stretches.pop() {
            tried += 1;
            let Some((rest, found)) = self.read_from_both_ends(stretch, &mut each) else {
                continue;
            };
            let fruitless = if found { 0 } else { fruitless + 1 };
            let may_go_on = fruitless < FRUITLESS && tried < MOST_STRETCHES;
            match middle(&rest).filter(|_| may_go_on) {
                Some(middle) => {
                    let (low, high) = rest;
                    // The lower half is taken first.
                    stretches.push(((Bound::Included(middle.clone()), high), fruitless));
                    stretches.push(((low, Bound::Excluded(middle)), fruitless));
                }
                None => gaps.push(rest),
            }
        }
        joined(gaps)
    }

    /// What is left between what can be read from the start on and what can be read from the end back, and whether
    /// there was anything; none if all can be read.
    fn read_from_both_ends(
        &self,
        (low, high): Stretch,
        each: &mut impl FnMut(Result<Record, Key>),
    ) -> Option<(Stretch, bool)> {
        let (last, all) = self.read(&low, &high, false, each);
        if all {
            return None;
        }
        let low = last.clone().map_or(low, Bound::Excluded);
        let (first, all) = self.read(&low, &high, true, each);
        if all {
            return None;
        }
        let found = last.is_some() || first.is_some();
        Some(((low, first.map_or(high, Bound::Excluded)), found))
    }

    /// Reads until it fails; gives the last key, and whether it was all.
    fn read(
        &self,
        low: &Bound<Vec<u8>>,
        high: &Bound<Vec<u8>>,
        back: bool,
        each: &mut impl FnMut(Result<Record, Key>),
    ) -> (Option<Vec<u8>>, bool) {
        let mut last = None;
        let read: Result<(), DatabaseError> = guarded(|| {
            let records = self.records()?;
            let bounds = (as_slice(low), as_slice(high));
            let mut range = records.range::<&[u8]>(bounds)?;
            while let Some(entry) = if back { range.next_back() } else { range.next() } {
                let (key, stored) = entry?;
                let at = key.value().to_vec();
                let in_order =
                    last.as_ref().is_none_or(|last| if back { at < *last } else { at > *last });
                if !in_order || !is_within(&at, bounds) {
                    return Err(corrupted("its keys are in disorder").into());
                }
                let found = match Key::new(at.clone()) {
                    Ok(key) => decode(key, stored.value()),
                    Err(_) => return Err(corrupted("it has what is no key").into()),
                };
                last = Some(at);
                each(found);
            }
            Ok(())
        });
        (last, read.is_ok())
    }

    /// Opened anew each time: what was left by a failure is not to be relied on.
    fn records(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, DatabaseError> {
        let transaction = open(&self.path)?.begin_read().map_err(storage)?;
        transaction.open_table(RECORDS).map_err(|error| storage(error).into())
    }
}

/// Such a reader takes the file as it is, and leaves the account of its free pages alone, which may be what is damaged.
fn open(path: &Path) -> Result<::redb::ReadOnlyDatabase, DatabaseError> {
    Builder::new().set_concurrency_mode(ConcurrencyMode::SingleWriter).open_read_only(path)
}

fn storage(error: impl Into<::redb::Error>) -> StorageError {
    corrupted(&error.into().to_string())
}

fn corrupted(reason: &str) -> StorageError {
    StorageError::Corrupted(reason.to_owned())
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn is_within(key: &[u8], bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    std::ops::RangeBounds::<[u8]>::contains(&bounds, key)
}

fn key_of(bound: &Bound<Vec<u8>>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

/// A key about halfway between the two ends.
fn middle((low, high): &Stretch) -> Option<Vec<u8>> {
    /// How many bytes behind those that both have are looked at.
    const PRECISION: usize = 8;
    let (low, high) = (key_of(low).unwrap_or_default(), key_of(high));
    let common = high.map_or(0, |high| low.iter().zip(high).take_while(|(a, b)| a == b).count());
    let digits = |key: &[u8]| {
        let rest = key.iter().skip(common).chain(std::iter::repeat(&0)).take(PRECISION);
        rest.fold(0_u128, |number, byte| number << 8 | u128::from(*byte))
    };
    let high = high.map_or(1 << (8 * PRECISION), digits);
    let halfway = u64::try_from(digits(low).midpoint(high)).ok()?;
    if u128::from(halfway) <= digits(low) {
        return None;
    }
    let mut middle: Vec<u8> = low.iter().take(common).copied().collect();
    middle.extend(halfway.to_be_bytes());
    Some(middle)
}

/// The gaps, with those together between which nothing can be read.
fn joined(gaps: Vec<Stretch>) -> Vec<Gap> {
    let mut joined: Vec<Stretch> = Vec::new();
    for (low, high) in gaps {
        match joined.last_mut() {
            // Only in the middle of what cannot be read does one begin with its key.
            Some((_, end)) if matches!(low, Bound::Included(_)) && key_of(end) == key_of(&low) => {
                *end = high;
            }
            _ => joined.push((low, high)),
        }
    }
    let key = |bound: &Bound<Vec<u8>>| key_of(bound).and_then(|key| Key::new(key).ok());
    joined.iter().map(|(low, high)| Gap { after: key(low), before: key(high) }).collect()
}
