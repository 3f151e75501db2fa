//! The settings of a transit key, their limits, and the rules for changing them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TransitError;

/// The shortest time between two rotations that are made by themselves.
const MIN_ROTATION: Duration = Duration::from_hours(1);
/// The longest time that a key waits for its destruction, and between rotations.
const MAX_PERIOD: Duration = Duration::from_hours(24 * 366 * 10);
/// How long a key waits for its destruction unless told otherwise.
const DEFAULT_WAIT: Duration = Duration::from_hours(24 * 7);
/// The shortest wait of a key that is protected from being purged.
const MIN_PROTECTED_WAIT: Duration = Duration::from_hours(24);

/// What may be done with a key, and what happens to it by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own in the API")]
pub struct KeySettings {
    /// Versions before this one do not decrypt, and signatures of theirs are not verified.
    pub min_decryption_version: u64,
    /// Versions before this one neither encrypt nor sign; 0: only the latest does, unless another is
    /// asked for.
    pub min_encryption_version: u64,
    /// Whether it may be deleted.
    pub deletion_allowed: bool,
    /// Whether it may be handed to another installation, wrapped. Cannot be taken back.
    pub exportable: bool,
    /// Whether a key that was brought in may be rotated here.
    pub allow_rotation: bool,
    /// How often it is rotated by itself; zero: never.
    pub rotation_period: Duration,
    /// From its deletion to its destruction. Until then it can be brought back.
    pub deletion_wait: Duration,
    /// Nobody can shorten the wait or destroy it before. Cannot be taken back.
    pub purge_protection: bool,
}

/// A change of settings; what is none stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SettingsUpdate {
    /// See [`KeySettings::min_decryption_version`].
    pub min_decryption_version: Option<u64>,
    /// See [`KeySettings::min_encryption_version`].
    pub min_encryption_version: Option<u64>,
    /// See [`KeySettings::deletion_allowed`].
    pub deletion_allowed: Option<bool>,
    /// See [`KeySettings::exportable`].
    pub exportable: Option<bool>,
    /// See [`KeySettings::allow_rotation`].
    pub allow_rotation: Option<bool>,
    /// See [`KeySettings::rotation_period`].
    pub rotation_period: Option<Duration>,
    /// See [`KeySettings::deletion_wait`].
    pub deletion_wait: Option<Duration>,
    /// See [`KeySettings::purge_protection`].
    pub purge_protection: Option<bool>,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            min_decryption_version: 1,
            min_encryption_version: 0,
            deletion_allowed: false,
            exportable: false,
            allow_rotation: true,
            rotation_period: Duration::ZERO,
            deletion_wait: DEFAULT_WAIT,
            purge_protection: false,
        }
    }
}

impl KeySettings {
    /// The settings after a change, of a key whose versions are `oldest` to `latest`.
    ///
    /// # Errors
    /// [`TransitError::Refused`] says which setting cannot be so.
    pub(super) fn changed(
        &self,
        update: SettingsUpdate,
        oldest: u64,
        latest: u64,
    ) -> Result<Self, TransitError> {
        let changed = Self {
            min_decryption_version: update
                .min_decryption_version
                .unwrap_or(self.min_decryption_version)
                .max(1),
            min_encryption_version: update
                .min_encryption_version
                .unwrap_or(self.min_encryption_version),
            deletion_allowed: update.deletion_allowed.unwrap_or(self.deletion_allowed),
            exportable: update.exportable.unwrap_or(self.exportable),
            allow_rotation: update.allow_rotation.unwrap_or(self.allow_rotation),
            rotation_period: update.rotation_period.unwrap_or(self.rotation_period),
            deletion_wait: update.deletion_wait.unwrap_or(self.deletion_wait),
            purge_protection: update.purge_protection.unwrap_or(self.purge_protection),
        };
        let Self { min_decryption_version, min_encryption_version, .. } = changed;
        let rotates = !changed.rotation_period.is_zero();
        let refusals = [
            (min_decryption_version > latest, "min_decryption_version is after the latest version"),
            (
                min_decryption_version < oldest,
                "min_decryption_version is before the oldest version",
            ),
            (min_encryption_version > latest, "min_encryption_version is after the latest version"),
            (
                min_encryption_version != 0 && min_encryption_version < min_decryption_version,
                "min_encryption_version must be 0 or not before min_decryption_version",
            ),
            (self.exportable && !changed.exportable, "exportable cannot be taken back"),
            (
                self.purge_protection && !changed.purge_protection,
                "purge_protection cannot be taken back",
            ),
            (
                self.purge_protection && changed.deletion_wait < self.deletion_wait,
                "deletion_wait cannot become shorter under purge_protection",
            ),
            (
                changed.purge_protection && changed.deletion_wait < MIN_PROTECTED_WAIT,
                "deletion_wait must be at least 24h under purge_protection",
            ),
            (
                changed.deletion_wait > MAX_PERIOD || changed.rotation_period > MAX_PERIOD,
                "deletion_wait and auto_rotate_period must be at most ten years",
            ),
            (
                rotates && changed.rotation_period < MIN_ROTATION,
                "auto_rotate_period must be at least 1h, or 0 for never",
            ),
        ];
        match refusals.into_iter().find(|(refused, _)| *refused) {
            Some((_, why)) => Err(TransitError::Refused(why.into())),
            None => Ok(changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &KeySettings, update: SettingsUpdate) -> String {
        settings.changed(update, 2, 5).unwrap_err().to_string()
    }

    #[test]
    fn versions_stay_in_order() {
        let settings = KeySettings { min_decryption_version: 2, ..KeySettings::default() };
        for (decryption, encryption, said) in [
            (6, 0, "after the latest"),
            (1, 0, "before the oldest"),
            (2, 6, "after the latest"),
            (4, 3, "not before min_decryption_version"),
        ] {
            let update = SettingsUpdate {
                min_decryption_version: Some(decryption),
                min_encryption_version: Some(encryption),
                ..SettingsUpdate::default()
            };
            assert!(refused(&settings, update).contains(said), "{decryption} {encryption}");
        }
        let update =
            SettingsUpdate { min_decryption_version: Some(5), ..SettingsUpdate::default() };
        assert_eq!(settings.changed(update, 2, 5).unwrap().min_decryption_version, 5);
    }

    #[test]
    fn what_protects_cannot_be_taken_back() {
        let day = Duration::from_hours(24);
        let settings = KeySettings {
            min_decryption_version: 2,
            exportable: true,
            purge_protection: true,
            deletion_wait: day * 30,
            ..KeySettings::default()
        };
        let update = SettingsUpdate::default();
        for (update, said) in [
            (SettingsUpdate { exportable: Some(false), ..update }, "exportable"),
            (SettingsUpdate { purge_protection: Some(false), ..update }, "purge_protection cannot"),
            (SettingsUpdate { deletion_wait: Some(day * 29), ..update }, "shorter"),
        ] {
            assert!(refused(&settings, update).contains(said), "{said}");
        }
        let without = KeySettings { purge_protection: false, ..settings };
        let too_short =
            SettingsUpdate { purge_protection: Some(true), deletion_wait: Some(day / 2), ..update };
        assert!(refused(&without, too_short).contains("at least 24h"));
        let too_often = SettingsUpdate { rotation_period: Some(day / 48), ..update };
        assert!(refused(&without, too_often).contains("at least 1h"));
        let never = SettingsUpdate { rotation_period: Some(Duration::ZERO), ..update };
        assert!(without.changed(never, 2, 5).is_ok());
    }
}
