//! `[audit]`.

use std::path::Path;
use std::time::Duration;

use chancery_audit::{LogName, Pace, Rotation};

use super::validate::{Check, DAY};
use super::{AuditSettings, document};

/// The largest file of the audit log that can be asked for, in MiB: a TiB.
const LARGEST: u64 = 1 << 20;

/// How much of it may be read in a second to verify it, in KiB: a GiB.
const LARGEST_RATE: u64 = 1 << 20;

/// How long after it was verified it is verified again.
const PAUSE: Duration = Duration::from_hours(1);

impl Check<'_> {
    /// `directory` is the state directory, and `names` those of the gateway.
    pub(super) fn audit(
        &mut self,
        audit: document::Audit,
        directory: &Path,
        names: &[String],
    ) -> Option<AuditSettings> {
        let default = || names.first().map(|name| format!("{name}/audit"));
        // Without a name for the gateway there is another problem, which is told.
        let name = audit.name.or_else(default).unwrap_or_else(|| "audit".to_owned());
        let name: Option<LogName> = match name.parse() {
            Ok(name) => Some(name),
            Err(error) => self.refuse("audit.name", format!("{error}")),
        };
        let mib = self.within("audit.rotate_mib", audit.rotate_mib, 0..=LARGEST);
        let hours = self.within("audit.rotate_hours", audit.rotate_hours, 0..=24 * 366);
        let checkpoints =
            self.within("audit.checkpoint_seconds", audit.checkpoint_seconds, 1..=7 * DAY);
        let rate = self.within(
            "audit.verify_kib_per_second",
            audit.verify_kib_per_second,
            0..=LARGEST_RATE,
        );
        let file =
            audit.file.map_or_else(|| directory.join("audit/audit.jsonl"), |path| self.path(&path));
        self.log_file("audit.file", &file);
        Some(AuditSettings {
            file,
            name: name?,
            rotation: Rotation {
                bytes: (mib > 0).then_some(mib << 20),
                age: (hours > 0).then(|| Duration::from_secs(hours * 60 * 60)),
            },
            checkpoints: Duration::from_secs(checkpoints),
            verify: (rate > 0).then_some(Pace { bytes_per_second: rate << 10, pause: PAUSE }),
        })
    }
}
