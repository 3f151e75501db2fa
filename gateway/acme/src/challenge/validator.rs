//! Validates challenges of all types within a time limit, and limits how many validations run at once.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::NetError;
use rustls::ClientConfig;

use super::lookup::Lookups;
use super::slots::{NoTurn, Slot, Slots, Whose};
use super::{ChallengeType, Networks, tls};
use crate::config::ValidationConfig;
use crate::failure::{Failure, FailureKind};
use crate::identifier::Identifier;

/// Goes out and looks whether challenges are met. It knows nothing of accounts and orders.
#[derive(Debug)]
pub struct Validator {
    pub(super) lookups: Lookups,
    pub(super) networks: Networks,
    pub(super) http01_port: u16,
    pub(super) tls_alpn01_port: u16,
    pub(super) https: Arc<ClientConfig>,
    pub(super) acme_tls: Arc<ClientConfig>,
    pub(super) connect_timeout: Duration,
    timeout: Duration,
    slots: Slots,
}

/// What to look for.
#[derive(Debug, Clone)]
pub struct Task {
    /// The name to prove, as it was ordered.
    pub identifier: Identifier,
    /// The challenge that the client chose.
    pub kind: ChallengeType,
    /// The challenge's token.
    pub token: String,
    /// The thumbprint of the account's key.
    pub thumbprint: String,
}

/// Why no [`Validator`] can be made.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorError {
    /// The resolver cannot be set up.
    #[error("the DNS resolver for validation cannot be set up: {0}")]
    Resolver(NetError),
    /// The TLS library refuses its settings.
    #[error("TLS for validation cannot be set up: {0}")]
    Tls(rustls::Error),
}

impl Task {
    /// What the client has to show (RFC 8555 §8.1).
    pub fn key_authorization(&self) -> String {
        format!("{}.{}", self.token, self.thumbprint)
    }
}

impl Validator {
    /// Sets up resolver and TLS.
    ///
    /// # Errors
    /// [`ValidatorError`].
    pub fn new(config: &ValidationConfig) -> Result<Self, ValidatorError> {
        Ok(Self {
            lookups: Lookups::new(config.dns).map_err(ValidatorError::Resolver)?,
            networks: Networks::new(config.allowed_networks.clone()),
            http01_port: config.http01_port,
            tls_alpn01_port: config.tls_alpn01_port,
            https: tls::client(&[]).map_err(ValidatorError::Tls)?,
            acme_tls: tls::client(&[b"acme-tls/1"]).map_err(ValidatorError::Tls)?,
            timeout: config.timeout,
            connect_timeout: config.connect_timeout,
            slots: Slots::new(config.concurrency, config.turn_timeout),
        })
    }

    /// Waits until a validation may begin; it may go on for as long as the slot is held.
    ///
    /// # Errors
    /// [`NoTurn`] if that takes longer than [`turn_timeout`](ValidationConfig::turn_timeout), or too
    /// many wait: it should be tried again later.
    pub async fn turn(&self, whose: &Whose) -> Result<Slot, NoTurn> {
        let turn = self.slots.take(whose).await;
        if turn.is_err() {
            metrics::counter!("chancery_acme_validations_postponed_total").increment(1);
        }
        turn
    }

    /// Looks whether the challenge is met, within the configured time.
    ///
    /// # Errors
    /// What was found instead; [`FailureKind::Internal`] if the gateway lacks what it takes to look, which says
    /// nothing about the challenge.
    #[tracing::instrument(name = "acme.validate", skip_all, fields(kind = task.kind.as_str()))]
    pub async fn validate(&self, task: &Task) -> Result<(), Failure> {
        let look = async {
            match task.kind {
                ChallengeType::Http01 => self.http01(task).await,
                ChallengeType::Dns01 => self.dns01(task).await,
                ChallengeType::TlsAlpn01 => self.tls_alpn01(task).await,
            }
        };
        let outcome = tokio::time::timeout(self.timeout, look).await.unwrap_or_else(|_| {
            Err(Failure::new(
                FailureKind::Connection,
                format!("{}: no answer within {:?}", task.identifier.base(), self.timeout),
            ))
        });
        let result = outcome.as_ref().map_or_else(|failure| failure.kind.code(), |()| "valid");
        metrics::counter!(
            "chancery_acme_validations_total", "type" => task.kind.as_str(), "result" => result
        )
        .increment(1);
        outcome
    }
}
