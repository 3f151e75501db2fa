//! The settings of a key-value mount, and their limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many versions of a secret are kept where nobody says otherwise.
pub const DEFAULT_MAX_VERSIONS: u32 = 10;

/// The most versions of a secret that can be asked for: its metadata is read with every value.
pub const MAX_MAX_VERSIONS: u32 = 1000;

/// The longest time after which versions can be made to disappear: about a hundred years.
pub const MAX_RETENTION: Duration = Duration::from_hours(876_000);

/// The settings of a mount, which hold for all of its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvConfig {
    /// How many versions of a secret are kept; none is [`DEFAULT_MAX_VERSIONS`].
    pub max_versions: Option<u32>,
    /// Whether every write must say which version it replaces.
    pub cas_required: bool,
    /// When versions disappear by themselves.
    pub delete_version_after: Retention,
}

/// How long after they were written versions disappear by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// The mount sets nothing; a secret may.
    #[default]
    Unset,
    /// After this time, or a secret's own if that is shorter.
    After(Duration),
    /// Never, whatever a secret says.
    Never,
}

/// What to change in a [`KvConfig`]; none leaves a setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvConfigUpdate {
    /// 0 goes back to the default.
    pub max_versions: Option<u32>,
    /// Whether every write must say which version it replaces.
    pub cas_required: Option<bool>,
    /// When versions disappear by themselves.
    pub delete_version_after: Option<Retention>,
}

/// A setting has a value that it cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSetting {
    /// Over [`MAX_MAX_VERSIONS`].
    #[error("max_versions may be at most {MAX_MAX_VERSIONS} (0 for the default)")]
    MaxVersions,
    /// Over [`MAX_RETENTION`].
    #[error("delete_version_after may be at most 876000h")]
    DeleteVersionAfter,
}

impl KvConfig {
    /// How many versions are kept of a secret that has `own` as its limit.
    pub(crate) fn versions_kept(&self, own: Option<u32>) -> usize {
        let kept = own.or(self.max_versions).unwrap_or(DEFAULT_MAX_VERSIONS);
        usize::try_from(kept).unwrap_or(usize::MAX)
    }

    /// How long a version of a secret with `own` retention stays; none is for ever.
    pub(crate) fn retention(&self, own: Option<Duration>) -> Option<Duration> {
        match (self.delete_version_after, own) {
            (Retention::Never, _) => None,
            (Retention::Unset, own) => own,
            (Retention::After(mount), None) => Some(mount),
            (Retention::After(mount), Some(own)) => Some(own.min(mount)),
        }
    }

    /// This configuration with the update applied.
    ///
    /// # Errors
    /// If a setting is out of range; nothing is changed then.
    pub(crate) fn updated(&self, update: &KvConfigUpdate) -> Result<Self, InvalidSetting> {
        Ok(Self {
            max_versions: updated_max_versions(self.max_versions, update.max_versions)?,
            cas_required: update.cas_required.unwrap_or(self.cas_required),
            delete_version_after: match update.delete_version_after {
                None => self.delete_version_after,
                Some(Retention::After(after)) => match bounded_retention(after)? {
                    Some(after) => Retention::After(after),
                    None => Retention::Unset,
                },
                Some(other) => other,
            },
        })
    }
}

/// The limit after a change, where 0 takes it away.
pub(crate) fn updated_max_versions(
    old: Option<u32>,
    change: Option<u32>,
) -> Result<Option<u32>, InvalidSetting> {
    match change {
        None => Ok(old),
        Some(0) => Ok(None),
        Some(limit) if limit > MAX_MAX_VERSIONS => Err(InvalidSetting::MaxVersions),
        Some(limit) => Ok(Some(limit)),
    }
}

/// The retention that was asked for, where 0 takes it away.
pub(crate) fn bounded_retention(after: Duration) -> Result<Option<Duration>, InvalidSetting> {
    match after {
        Duration::ZERO => Ok(None),
        after if after > MAX_RETENTION => Err(InvalidSetting::DeleteVersionAfter),
        after => Ok(Some(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn the_secret_s_limit_wins_over_the_mount_s() {
        let mount = |max_versions| KvConfig { max_versions, ..KvConfig::default() };
        assert_eq!(mount(None).versions_kept(None), 10);
        assert_eq!(mount(Some(3)).versions_kept(None), 3);
        assert_eq!(mount(Some(3)).versions_kept(Some(5)), 5);
        assert_eq!(mount(Some(5)).versions_kept(Some(2)), 2);
    }

    #[test]
    fn versions_stay_for_the_shorter_time_unless_the_mount_says_never() {
        let mount = |delete_version_after| KvConfig { delete_version_after, ..KvConfig::default() };
        assert_eq!(mount(Retention::Unset).retention(None), None);
        assert_eq!(mount(Retention::Unset).retention(Some(HOUR)), Some(HOUR));
        assert_eq!(mount(Retention::After(HOUR)).retention(None), Some(HOUR));
        assert_eq!(mount(Retention::After(HOUR)).retention(Some(DAY)), Some(HOUR));
        assert_eq!(mount(Retention::After(DAY)).retention(Some(HOUR)), Some(HOUR));
        assert_eq!(mount(Retention::Never).retention(Some(HOUR)), None);
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let old = KvConfig {
            max_versions: Some(4),
            cas_required: true,
            delete_version_after: Retention::After(HOUR),
        };
        assert_eq!(old.updated(&KvConfigUpdate::default()), Ok(old.clone()));
        let cleared = KvConfigUpdate {
            max_versions: Some(0),
            cas_required: Some(false),
            delete_version_after: Some(Retention::After(Duration::ZERO)),
        };
        assert_eq!(old.updated(&cleared), Ok(KvConfig::default()));
    }

    #[test]
    fn settings_are_bounded() {
        let versions = KvConfigUpdate { max_versions: Some(1001), ..KvConfigUpdate::default() };
        assert_eq!(KvConfig::default().updated(&versions), Err(InvalidSetting::MaxVersions));
        let retention = KvConfigUpdate {
            delete_version_after: Some(Retention::After(MAX_RETENTION + HOUR)),
            ..KvConfigUpdate::default()
        };
        assert_eq!(
            KvConfig::default().updated(&retention),
            Err(InvalidSetting::DeleteVersionAfter)
        );
    }
}
