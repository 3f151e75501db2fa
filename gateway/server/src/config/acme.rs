//! `[acme.limits]`: how much of the ACME server an account, and all clients at one address, may use.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of the ACME server, as the configuration writes them.
#[derive(Debug, Clone, Deserialize, Serialize)]
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
    /// How long an order may stay unfinished.
    pub(crate) order_hours: u64,
    /// How long orders are kept after they are over.
    pub(crate) keep_hours: u64,
    /// Orders that are not finished; 0 for no limit.
    pub(crate) pending_orders_per_account: u16,
    pub(crate) pending_orders_per_address: u16,
    /// Orders that were refused within `refused_hours`; 0 for no limit.
    pub(crate) refused_orders_per_account: u16,
    pub(crate) refused_orders_per_address: u16,
    pub(crate) refused_hours: u64,
    /// New contacts and keys of accounts within an hour; 0 for no limit.
    pub(crate) account_changes_per_account: u16,
    pub(crate) account_changes_per_address: u16,
    /// New accounts within `new_accounts_hours`; 0 for no limit.
    pub(crate) new_accounts_per_address: u16,
    pub(crate) new_accounts_hours: u64,
    /// After how many days an account that never had an order is removed.
    pub(crate) unused_account_days: u64,
    /// After how many days without a new order an account is removed.
    pub(crate) idle_account_days: u64,
}

impl Default for AcmeLimits {
    fn default() -> Self {
        Self {
            validations: 256,
            validation_seconds: 10,
            connect_seconds: 3,
            turn_seconds: 30,
            order_hours: 12,
            keep_hours: 24,
            pending_orders_per_account: 100,
            pending_orders_per_address: 1000,
            refused_orders_per_account: 100,
            refused_orders_per_address: 1000,
            refused_hours: 1,
            account_changes_per_account: 100,
            account_changes_per_address: 1000,
            new_accounts_per_address: 100,
            new_accounts_hours: 3,
            unused_account_days: 30,
            idle_account_days: 400,
        }
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
        let hours = |hours: u64| seconds(hours.saturating_mul(3600));
        acme.order_lifetime = hours(self.order_hours);
        acme.retention = hours(self.keep_hours);
        acme.limits = chancery_acme::Limits {
            pending_orders_per_account: self.pending_orders_per_account,
            pending_orders_per_address: self.pending_orders_per_address,
            refused_orders_per_account: self.refused_orders_per_account,
            refused_orders_per_address: self.refused_orders_per_address,
            refused_window: hours(self.refused_hours),
            account_changes_per_account: self.account_changes_per_account,
            account_changes_per_address: self.account_changes_per_address,
            new_accounts_per_address: self.new_accounts_per_address,
            new_accounts_window: hours(self.new_accounts_hours),
            unused_accounts: hours(self.unused_account_days.saturating_mul(24)),
            idle_accounts: hours(self.idle_account_days.saturating_mul(24)),
        };
    }
}

impl AcmeLimits {
    /// Each limit by its name, and within what it has to be.
    pub(super) fn ranges(&self) -> [(&'static str, u64, RangeInclusive<u64>); 17] {
        let limits = self;
        [
            ("validations", limits.validations.into(), 4..=10_000),
            ("validation_seconds", limits.validation_seconds, 1..=300),
            ("connect_seconds", limits.connect_seconds, 1..=limits.validation_seconds.max(1)),
            ("turn_seconds", limits.turn_seconds, 1..=3600),
            ("order_hours", limits.order_hours, 1..=30 * 24),
            ("keep_hours", limits.keep_hours, 1..=365 * 24),
            ("pending_orders_per_account", limits.pending_orders_per_account.into(), 0..=10_000),
            ("pending_orders_per_address", limits.pending_orders_per_address.into(), 0..=10_000),
            ("refused_orders_per_account", limits.refused_orders_per_account.into(), 0..=10_000),
            ("refused_orders_per_address", limits.refused_orders_per_address.into(), 0..=10_000),
            ("refused_hours", limits.refused_hours, 1..=30 * 24),
            ("account_changes_per_account", limits.account_changes_per_account.into(), 0..=10_000),
            ("account_changes_per_address", limits.account_changes_per_address.into(), 0..=10_000),
            ("new_accounts_per_address", limits.new_accounts_per_address.into(), 0..=10_000),
            ("new_accounts_hours", limits.new_accounts_hours, 1..=30 * 24),
            ("unused_account_days", limits.unused_account_days, 1..=36_500),
            ("idle_account_days", limits.idle_account_days, 1..=36_500),
        ]
    }
}
