//! The ACME server: its parts, how it starts, and how it asks the access policies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chancery_audit::{Audit, Event};
use chancery_compute::Compute;
use chancery_gate::{EachAnswer, Gate, Grant, Refused, Session};
use chancery_identity::{Clock, RequestContext};
use chancery_issuance::Issuance;
use chancery_policy::PolicyHost;
use chancery_store::{Key, SharedStore};

use crate::challenge::{Validator, ValidatorError};
use crate::config::AcmeConfig;
use crate::error::{DeniedIdentifier, Error};
use crate::identifier::Identifier;
use crate::nonce::{NoRandomness, Nonces};
use crate::order::changes::Changes;
use crate::under_way::UnderWay;

/// The ACME server: everything but HTTP.
pub struct Acme {
    pub(crate) config: AcmeConfig,
    pub(crate) store: SharedStore,
    pub(crate) issuance: Issuance,
    pub(crate) gate: Gate,
    pub(crate) clock: Clock,
    pub(crate) nonces: Nonces,
    pub(crate) validator: Validator,
    pub(crate) under_way: UnderWay,
    pub(crate) compute: Compute,
    pub(crate) changes: Changes,
    /// How far the sweep of each kind of seats has come.
    pub(crate) swept: Mutex<HashMap<String, Key>>,
}

/// Why the ACME server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No key for nonces.
    #[error(transparent)]
    Nonces(#[from] NoRandomness),
    /// Nothing to validate challenges with.
    #[error(transparent)]
    Validator(#[from] ValidatorError),
}

impl Acme {
    /// An ACME server with these rooms behind it. Call [`resume`](Self::resume) next.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(
        config: AcmeConfig,
        store: SharedStore,
        issuance: Issuance,
        policy: PolicyHost,
        audit: Audit,
        clock: Clock,
    ) -> Result<Arc<Self>, StartError> {
        Ok(Arc::new(Self {
            nonces: Nonces::new()?,
            validator: Validator::new(&config.validation)?,
            under_way: UnderWay::default(),
            changes: Changes::default(),
            swept: Mutex::default(),
            config,
            store,
            issuance,
            gate: Gate::new(policy, audit),
            clock,
            compute: Compute::default(),
        }))
    }

    /// How the server is configured: what the directory shows.
    pub fn config(&self) -> &AcmeConfig {
        &self.config
    }

    /// The time by which the states of resources are shown.
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// A fresh nonce for an answer.
    pub fn nonce(&self) -> String {
        self.nonces.issue()
    }

    /// Asks the access policies for what `event` is about, and puts what they said into it.
    pub(crate) async fn ask(
        &self,
        context: &RequestContext,
        event: &mut Event,
        question: Question<'_>,
    ) -> Result<(), Error> {
        let Question { identity, operation, resource, attributes } = question;
        let session = Session::new(context, context.tenant.clone(), identity);
        let answer = self.gate.decide(&session, operation, resource, attributes).await;
        Ok(answer.noted_in(event).map(drop)?)
    }

    /// Asks the access policies for what `event` is about, once for each of the names that belong
    /// together; every question has the whole list as its attribute `names`. One denial denies them all.
    pub(crate) async fn ask_for_each(
        &self,
        context: &RequestContext,
        event: &mut Event,
        question: QuestionForEach<'_>,
    ) -> Result<Grant, Error> {
        let QuestionForEach { identity, operation, identifiers, mut attributes } = question;
        let names: Vec<String> = identifiers.iter().map(ToString::to_string).collect();
        // One text: a hundred attributes in each of a hundred questions cost more than the decisions.
        attributes.push(("names".to_owned(), names.join(",")));
        let session = Session::new(context, context.tenant.clone(), identity);
        let asked = self.gate.decide_each(&session, operation, &names, attributes).await;
        let EachAnswer { answer, denied } = asked;
        let refused = match answer.noted_in(event) {
            Ok(grant) => return Ok(grant),
            Err(refused) => refused,
        };
        let Some(whole) = refused.denied().cloned() else { return Err(refused.into()) };
        let identifier = |(at, refused): (usize, Refused)| {
            let (identifier, denied) = (identifiers.get(at)?.clone(), refused.denied()?.clone());
            Some(DeniedIdentifier { identifier, code: denied.code, message: denied.message })
        };
        let identifiers = denied.into_iter().filter_map(identifier).collect();
        Err(Error::DeniedIdentifiers { denied: Box::new(whole), identifiers })
    }
}

/// What the access policies are asked.
pub(crate) struct Question<'a> {
    /// Who asks.
    pub(crate) identity: &'a str,
    /// To do what.
    pub(crate) operation: &'static str,
    /// On what.
    pub(crate) resource: &'a str,
    /// Whatever else is known.
    pub(crate) attributes: Vec<(String, String)>,
}

/// What the access policies are asked about each of several names.
pub(crate) struct QuestionForEach<'a> {
    /// Who asks.
    pub(crate) identity: &'a str,
    /// To do what.
    pub(crate) operation: &'static str,
    /// For which names.
    pub(crate) identifiers: &'a [Identifier],
    /// Whatever else is known.
    pub(crate) attributes: Vec<(String, String)>,
}
