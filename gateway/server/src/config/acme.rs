//! `[acme.limits]`: what one client may take of the ACME server.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::validate::Check;

/// The limits of the ACME server, as they are written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AcmeLimits {
    /// How many validations run at once.
    pub(crate) validations: u32,
    /// How long one may take altogether.
    pub(crate) validation_seconds: u64,
    /// How long one address may take to accept a connection.
    pub(crate) connect_seconds: u64,
    /// How long a challenge waits for its turn before it is put off.
    pub(crate) turn_seconds: u64,
}

impl Default for AcmeLimits {
    fn default() -> Self {
        Self { validations: 256, validation_seconds: 10, connect_seconds: 3, turn_seconds: 30 }
    }
}

impl AcmeLimits {
    /// The settings of an ACME server with these limits.
    pub(crate) fn apply(&self, acme: &mut chancery_acme::AcmeConfig) {
        let seconds = Duration::from_secs;
        let validation = &mut acme.validation;
        validation.concurrency = usize::try_from(self.validations).unwrap_or(usize::MAX);
        validation.timeout = seconds(self.validation_seconds);
        validation.connect_timeout = seconds(self.connect_seconds);
        validation.turn_timeout = seconds(self.turn_seconds);
    }
}

impl Check<'_> {
    pub(super) fn acme_limits(&mut self, limits: AcmeLimits) -> AcmeLimits {
        let ranges: [(&str, u64, RangeInclusive<u64>); 4] = [
            ("validations", limits.validations.into(), 4..=10_000),
            ("validation_seconds", limits.validation_seconds, 1..=300),
            ("connect_seconds", limits.connect_seconds, 1..=limits.validation_seconds.max(1)),
            ("turn_seconds", limits.turn_seconds, 1..=3600),
        ];
        for (key, value, range) in ranges {
            self.within(&format!("acme.limits.{key}"), value, range);
        }
        limits
    }
}
