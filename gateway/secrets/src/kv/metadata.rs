//! The metadata of a secret, and the states of its versions.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::config::{KvConfig, bounded_retention, updated_max_versions};
use super::custom::CustomMetadata;
use super::error::KvError;
use super::version::{Version, VersionMetadata, VersionState};

/// Everything about a secret except its values: the state machine of its versions. One store record per
/// secret; each change is an optimistic commit on that record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretMetadata {
    /// The id under which the values are stored. A secret that is removed and made anew gets another id,
    /// so old values cannot come back.
    pub(crate) id: Uuid,
    /// When the secret, or its metadata, was first written.
    pub created: Timestamp,
    /// When any part of it last changed.
    pub updated: Timestamp,
    /// Number of the newest version; 0 if there was none yet.
    pub current_version: u64,
    /// Number of the oldest version still known; 0 until the first one was dropped.
    pub oldest_version: u64,
    /// How many versions are kept; with none, the mount's setting counts.
    pub max_versions: Option<u32>,
    /// Whether every write must say which version it replaces.
    pub cas_required: bool,
    /// When versions disappear by themselves; with none, the mount's setting counts.
    pub delete_version_after: Option<Duration>,
    /// Notes about it.
    pub custom_metadata: CustomMetadata,
    /// The versions still known, by number.
    pub versions: BTreeMap<u64, Version>,
}

/// A change of a secret's settings; none leaves a setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataUpdate {
    /// 0 restores the mount's setting.
    pub max_versions: Option<u32>,
    /// Whether every write must say which version it replaces.
    pub cas_required: Option<bool>,
    /// 0 restores the mount's setting.
    pub delete_version_after: Option<Duration>,
    /// A change of the notes.
    pub custom_metadata: Option<NotesUpdate>,
}

/// A change of the notes on a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotesUpdate {
    /// Replaces all notes by these.
    Replace(CustomMetadata),
    /// A text replaces or adds a note, none removes it.
    Change(BTreeMap<String, Option<String>>),
}

/// A version that was just written.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) number: u64,
    /// Versions that are no longer kept.
    pub(crate) dropped: Vec<u64>,
}

impl SecretMetadata {
    /// A secret without versions.
    pub(crate) fn new(id: Uuid, now: Timestamp) -> Self {
        Self {
            id,
            created: now,
            updated: now,
            current_version: 0,
            oldest_version: 0,
            max_versions: None,
            cas_required: false,
            delete_version_after: None,
            custom_metadata: CustomMetadata::default(),
            versions: BTreeMap::new(),
        }
    }

    /// The version with this number; for none, the newest.
    pub(crate) fn version(&self, number: Option<u64>) -> Option<VersionMetadata> {
        let number = number.unwrap_or(self.current_version);
        let version = *self.versions.get(&number)?;
        Some(VersionMetadata { number, version, custom_metadata: self.custom_metadata.clone() })
    }

    /// Whether a write that claims to replace version `cas` may go ahead.
    pub(crate) fn check_cas(&self, cas: Option<u64>, config: &KvConfig) -> Result<(), KvError> {
        match cas {
            None if self.cas_required || config.cas_required => Err(KvError::CasRequired),
            Some(expected) if expected != self.current_version => Err(KvError::CasMismatch),
            _ => Ok(()),
        }
    }

    /// Adds a version and drops the oldest ones beyond the limit.
    pub(crate) fn add_version(&mut self, now: Timestamp, config: &KvConfig) -> Added {
        let number = self.current_version.saturating_add(1);
        let deletion = self.deletion_from(now, config);
        self.versions.insert(number, Version { created: now, deletion, destroyed: false });
        self.current_version = number;
        self.updated = now;
        let mut dropped = Vec::new();
        while self.versions.len() > config.versions_kept(self.max_versions) {
            let Some((oldest, _)) = self.versions.pop_first() else { break };
            dropped.push(oldest);
            self.oldest_version = oldest.saturating_add(1);
        }
        Added { number, dropped }
    }

    /// Deletes the live ones among these versions. Returns whether there were any.
    pub(crate) fn delete(&mut self, numbers: &[u64], now: Timestamp) -> bool {
        self.change(numbers, now, |version| {
            let live = version.state(now) == VersionState::Live;
            if live {
                version.deletion = Some(now);
            }
            live
        })
    }

    /// Brings back those of these versions that are, or will be, deleted; their time begins anew. Returns
    /// whether there were any.
    pub(crate) fn undelete(&mut self, numbers: &[u64], now: Timestamp, config: &KvConfig) -> bool {
        let deletion = self.deletion_from(now, config);
        self.change(numbers, now, |version| {
            let ends = !version.destroyed && version.deletion.is_some();
            if ends {
                version.deletion = deletion;
            }
            ends
        })
    }

    /// When a version that is written or brought back now disappears by itself.
    fn deletion_from(&self, now: Timestamp, config: &KvConfig) -> Option<Timestamp> {
        let retention = config.retention(self.delete_version_after);
        retention.map(|after| now.checked_add(after).unwrap_or(Timestamp::MAX))
    }

    /// Marks these versions as destroyed. Returns the numbers of those that were not destroyed yet.
    pub(crate) fn destroy(&mut self, numbers: &[u64], now: Timestamp) -> Vec<u64> {
        let mut destroyed = Vec::new();
        for number in numbers {
            if self
                .change(&[*number], now, |version| !std::mem::replace(&mut version.destroyed, true))
            {
                destroyed.push(*number);
            }
        }
        destroyed
    }

    fn change(
        &mut self,
        numbers: &[u64],
        now: Timestamp,
        mut change: impl FnMut(&mut Version) -> bool,
    ) -> bool {
        let mut changed = false;
        for number in numbers {
            if let Some(version) = self.versions.get_mut(number) {
                changed |= change(version);
            }
        }
        if changed {
            self.updated = now;
        }
        changed
    }

    /// Changes the settings.
    ///
    /// # Errors
    /// A setting is out of range; nothing is changed then.
    pub(crate) fn update(
        &mut self,
        update: &MetadataUpdate,
        now: Timestamp,
    ) -> Result<(), KvError> {
        let max_versions = updated_max_versions(self.max_versions, update.max_versions)?;
        let delete_version_after = match update.delete_version_after {
            None => self.delete_version_after,
            Some(after) => bounded_retention(after)?,
        };
        let custom_metadata = match &update.custom_metadata {
            None => self.custom_metadata.clone(),
            Some(NotesUpdate::Replace(notes)) => notes.clone(),
            Some(NotesUpdate::Change(changes)) => self.custom_metadata.changed(changes)?,
        };
        self.max_versions = max_versions;
        self.delete_version_after = delete_version_after;
        self.custom_metadata = custom_metadata;
        self.cas_required = update.cas_required.unwrap_or(self.cas_required);
        self.updated = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::config::Retention;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn secret_with(versions: u64) -> SecretMetadata {
        let mut secret = SecretMetadata::new(Uuid::nil(), at(0));
        for n in 1..=versions {
            secret.add_version(at(i64::try_from(n).unwrap()), &KvConfig::default());
        }
        secret
    }

    fn state(secret: &SecretMetadata, number: u64, now: i64) -> VersionState {
        secret.versions[&number].state(at(now))
    }

    #[test]
    fn versions_count_up_and_the_oldest_is_dropped() {
        let mut secret = secret_with(10);
        assert_eq!((secret.current_version, secret.oldest_version), (10, 0));
        let added = secret.add_version(at(11), &KvConfig::default());
        assert_eq!((added.number, added.dropped), (11, vec![1]));
        assert_eq!((secret.current_version, secret.oldest_version), (11, 2));
        assert_eq!((secret.created, secret.updated), (at(0), at(11)));
    }

    #[test]
    fn a_lower_limit_takes_effect_with_the_next_write() {
        let mut secret = secret_with(5);
        let update = MetadataUpdate { max_versions: Some(2), ..MetadataUpdate::default() };
        secret.update(&update, at(20)).unwrap();
        assert_eq!(secret.versions.len(), 5);
        let added = secret.add_version(at(21), &KvConfig::default());
        assert_eq!(added.dropped, [1, 2, 3, 4]);
        assert_eq!(secret.oldest_version, 5);
    }

    #[test]
    fn cas_0_creates_only_and_another_must_be_the_current_version() {
        let config = KvConfig::default();
        let check = |versions, cas| secret_with(versions).check_cas(cas, &config).is_ok();
        assert!(check(0, Some(0)) && check(0, None) && check(3, Some(3)) && check(3, None));
        assert!(
            !check(1, Some(0)) && !check(3, Some(2)) && !check(3, Some(4)) && !check(0, Some(1))
        );
    }

    #[test]
    fn cas_can_be_required_by_the_secret_or_by_the_mount() {
        let strict = KvConfig { cas_required: true, ..KvConfig::default() };
        assert!(matches!(secret_with(1).check_cas(None, &strict), Err(KvError::CasRequired)));
        let mut secret = secret_with(1);
        secret.cas_required = true;
        let result = secret.check_cas(None, &KvConfig::default());
        assert!(matches!(result, Err(KvError::CasRequired)));
        assert!(secret.check_cas(Some(1), &strict).is_ok());
    }

    #[test]
    fn a_deleted_version_comes_back_and_a_destroyed_one_does_not() {
        let mut secret = secret_with(3);
        assert!(secret.delete(&[2, 3, 99], at(10)));
        assert_eq!(state(&secret, 2, 10), VersionState::Deleted);
        assert!(!secret.delete(&[2], at(11)), "was deleted before");
        assert_eq!(secret.destroy(&[3, 99], at(12)), [3]);
        assert!(secret.undelete(&[2, 3], at(13), &KvConfig::default()));
        assert_eq!(state(&secret, 1, 13), VersionState::Live);
        assert_eq!(state(&secret, 2, 13), VersionState::Live);
        assert_eq!(state(&secret, 3, 13), VersionState::Destroyed);
        assert!(secret.destroy(&[3], at(14)).is_empty(), "was destroyed before");
    }

    #[test]
    fn a_version_disappears_at_its_time_which_begins_anew_when_it_is_brought_back() {
        let config = KvConfig {
            delete_version_after: Retention::After(Duration::from_mins(1)),
            ..KvConfig::default()
        };
        let mut secret = secret_with(0);
        secret.add_version(at(100), &config);
        assert_eq!(state(&secret, 1, 159), VersionState::Live);
        assert_eq!(state(&secret, 1, 160), VersionState::Deleted);
        assert!(secret.undelete(&[1], at(200), &config));
        assert_eq!(state(&secret, 1, 259), VersionState::Live);
        assert_eq!(state(&secret, 1, 260), VersionState::Deleted);
        // Without a retention any more, it stays.
        assert!(secret.undelete(&[1], at(300), &KvConfig::default()));
        assert_eq!(secret.versions[&1].deletion, None);
        assert!(!secret.undelete(&[1], at(301), &config), "it was not deleted");
        assert_eq!(secret.versions[&1].deletion, None);
    }

    #[test]
    fn a_time_beyond_the_calendar_is_its_end() {
        let mut secret = secret_with(0);
        secret.delete_version_after = Some(Duration::from_secs(u64::MAX / 4));
        secret.add_version(at(100), &KvConfig::default());
        assert_eq!(secret.versions[&1].deletion, Some(Timestamp::MAX));
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let mut secret = secret_with(1);
        let before = secret.clone();
        let update = MetadataUpdate {
            cas_required: Some(true),
            custom_metadata: Some(NotesUpdate::Change(BTreeMap::from([(
                String::new(),
                Some("x".to_owned()),
            )]))),
            ..MetadataUpdate::default()
        };
        assert!(secret.update(&update, at(9)).is_err());
        assert_eq!(secret, before);
    }

    proptest! {
        #[test]
        fn any_sequence_keeps_the_invariants(
            steps in prop::collection::vec((0u8..5, 1u64..12), 1..60),
            kept in 1u32..6,
        ) {
            let config = KvConfig { max_versions: Some(kept), ..KvConfig::default() };
            let mut secret = SecretMetadata::new(Uuid::nil(), at(0));
            let mut stored = std::collections::BTreeSet::new();
            for (time, (step, number)) in steps.into_iter().enumerate() {
                let now = at(i64::try_from(time).unwrap());
                match step {
                    0 | 1 => {
                        let added = secret.add_version(now, &config);
                        prop_assert_eq!(added.number, secret.current_version);
                        stored.insert(added.number);
                        for number in added.dropped { stored.remove(&number); }
                    }
                    2 => { secret.delete(&[number], now); }
                    3 => { secret.undelete(&[number], now, &config); }
                    _ => for number in secret.destroy(&[number], now) {
                        prop_assert!(stored.remove(&number), "destroys what is stored, once");
                    },
                }
                prop_assert!(secret.versions.len() <= usize::try_from(kept).unwrap());
                let readable: std::collections::BTreeSet<u64> = secret.versions.iter()
                    .filter(|(_, version)| !version.destroyed).map(|(number, _)| *number).collect();
                prop_assert_eq!(&readable, &stored, "exactly the values that are not destroyed are stored");
                if let (Some(first), Some(last)) = (secret.versions.keys().next(), secret.versions.keys().last()) {
                    prop_assert!(*last == secret.current_version && *first >= secret.oldest_version);
                }
            }
        }
    }
}
