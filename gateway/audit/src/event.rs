//! An audit event: who asked for what, what the policies said and how the operation ended.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chancery_identity::{
    Evidence, EvidenceError, Fingerprint, RequestContext, RequestId, TenantId, Trail,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::bound::{Budget, REFUSED, WHOLE};
use crate::encode::encode;

/// The outcomes of decisions that are no obstacle.
const NO_OBSTACLE: [&str; 2] = ["allow", "no-objection"];

/// One operation and how it ended. Built with [`Event::new`] and the methods that follow it.
///
/// Nothing in an event is filtered: callers put names, ids and codes into it, never a secret value. When
/// it is recorded, a text of more than 4 KiB is cut, and so is what goes beyond 32 KiB together; of an
/// operation that was refused, beyond 512 bytes and 6 KiB. A cut text ends with
/// `…[cut, N bytes, sha256:…]`, which is of the whole text.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    request: RequestId,
    received: Timestamp,
    tenant: TenantId,
    actor: Actor,
    operation: String,
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decisions: Vec<Decision>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, Value>,
    #[serde(skip)]
    trail: Trail,
}

/// Who asked, as far as is known.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Actor {
    /// SHA-256 of the client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The identity that the certificate, or the token, stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The ACME account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Where the request came from; none for what the gateway does of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// What one policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Name of the binding that was asked.
    pub binding: String,
    /// The plugin behind it.
    pub plugin: String,
    /// Digest of the plugin's bytes, `sha256:…`.
    pub digest: String,
    /// The plugin's version, as it says itself.
    pub version: String,
    /// How long the evaluation took, in microseconds.
    pub micros: u64,
    /// `allow`, `deny` or `error:…`.
    pub outcome: String,
    /// The policy's own words, for the reader of this log only.
    pub detail: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused: by policy, or because the caller may not.
    Denied {
        /// Stable code of the reason.
        code: String,
    },
    /// It was allowed and could not be done.
    Failed {
        /// Stable code of the reason.
        code: String,
    },
}

impl Event {
    /// The event of `operation` (such as `secrets.read`) on `resource` in this request. Address,
    /// certificate and the certificate's identity are taken from the request. A certificate that does
    /// not count at this moment names no actor: it stands in the detail `certificate_refused` with the
    /// reason.
    ///
    /// The outcome is a failure with code `outcome-not-stated` until [`outcome`](Self::outcome)
    /// says otherwise, so that no forgotten call looks like a success.
    pub fn new(
        context: &RequestContext,
        operation: impl Into<String>,
        resource: impl Into<String>,
    ) -> Self {
        let shown = context.evidence.as_ref().map(|evidence| (evidence, evidence.check()));
        let (certificate, refused) = match shown {
            None => (None, None),
            Some((_, Ok(certificate))) => (Some(certificate), None),
            Some((evidence, Err(why))) => (None, Some(refused(evidence, why))),
        };
        let refused = refused.map(|refused| ("certificate_refused".to_owned(), refused));
        Self {
            request: context.id,
            received: context.received,
            tenant: context.tenant.clone(),
            actor: Actor {
                fingerprint: certificate.map(|certificate| certificate.fingerprint),
                identity: certificate
                    .and_then(|certificate| certificate.identity.as_ref().ok())
                    .map(ToString::to_string),
                account: None,
                address: context.address,
            },
            operation: operation.into(),
            resource: resource.into(),
            decisions: Vec::new(),
            outcome: Outcome::Failed { code: "outcome-not-stated".to_owned() },
            details: refused.into_iter().collect(),
            trail: context.trail.clone(),
        }
    }

    /// What is known of the request.
    pub(crate) fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// As it stands in a line: one JSON object, bounded whatever callers have sent.
    pub(crate) fn encode(mut self) -> Result<Vec<u8>, serde_json::Error> {
        let limits = if matches!(self.outcome, Outcome::Denied { .. }) { REFUSED } else { WHOLE };
        let mut budget = Budget::new(&limits);
        budget.text(&mut self.operation);
        budget.text(&mut self.resource);
        let Actor { identity, account, .. } = &mut self.actor;
        [identity, account].into_iter().flatten().for_each(|text| budget.text(text));
        if let Outcome::Denied { code } | Outcome::Failed { code } = &mut self.outcome {
            budget.text(code);
        }
        let left_out = shorten(&mut self.decisions, limits.decisions);
        let mut said = Budget::new(&limits);
        for decision in &mut self.decisions {
            let Decision { binding, plugin, digest, version, outcome, detail, micros: _ } =
                decision;
            for text in [binding, plugin, digest, version, outcome, detail] {
                said.text(text);
            }
        }
        for (name, mut value) in std::mem::take(&mut self.details) {
            let mut name = name;
            budget.text(&mut name);
            budget.value(&mut value);
            self.details.insert(name, value);
        }
        if left_out > 0 {
            self.details.insert("decisions_left_out".to_owned(), left_out.into());
        }
        encode(&self)
    }

    /// Names the ACME account that acted, while the operation goes on.
    pub fn set_account(&mut self, account: impl Into<String>) {
        self.actor.account = Some(account.into());
    }

    /// Adds what policies said, while the operation goes on.
    pub fn add_decisions(&mut self, decisions: impl IntoIterator<Item = Decision>) {
        self.decisions.extend(decisions);
    }

    /// Adds a fact, as [`detail`](Self::detail) does, while the operation goes on.
    pub fn add_detail(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.details.insert(name.into(), value.into());
    }

    /// Names the identity that acted, where it is not the certificate's.
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.actor.identity = Some(identity.into());
        self
    }

    /// Names the ACME account that acted.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.set_account(account);
        self
    }

    /// Adds what policies said.
    #[must_use]
    pub fn decisions(mut self, decisions: impl IntoIterator<Item = Decision>) -> Self {
        self.add_decisions(decisions);
        self
    }

    /// Adds a fact under `name`. Never a secret: see [`Audit::keyed_hash`](crate::Audit::keyed_hash).
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.add_detail(name, value);
        self
    }

    /// Says how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// It was done.
    #[must_use]
    pub fn succeeded(self) -> Self {
        self.outcome(Outcome::Success)
    }

    /// It was refused, for the reason with this stable code.
    #[must_use]
    pub fn denied(self, code: impl Into<String>) -> Self {
        self.outcome(Outcome::Denied { code: code.into() })
    }

    /// It was allowed and could not be done, for the reason with this stable code.
    #[must_use]
    pub fn failed(self, code: impl Into<String>) -> Self {
        self.outcome(Outcome::Failed { code: code.into() })
    }
}

/// Keeps so many decisions, in their order, and of those that allowed only what has room beside the others; says how
/// many were left out.
fn shorten(decisions: &mut Vec<Decision>, most: usize) -> usize {
    let left_out = decisions.len().saturating_sub(most);
    let allowed = |one: &Decision| NO_OBSTACLE.contains(&one.outcome.as_str());
    let others = decisions.iter().filter(|one| !allowed(one)).count();
    let (mut others_left, mut allowed_left) = (others.min(most), most.saturating_sub(others));
    decisions.retain(|one| {
        let left = if allowed(one) { &mut allowed_left } else { &mut others_left };
        let keep = *left > 0;
        *left = left.saturating_sub(1);
        keep
    });
    left_out
}

/// A certificate that was shown and does not count.
fn refused(evidence: &Evidence, why: EvidenceError) -> Value {
    serde_json::json!({
        "fingerprint": evidence.fingerprint().to_string(),
        "serial": evidence.serial(),
        "reason": why.code(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chancery_identity::Clock;

    use super::*;

    fn json(event: &Event) -> Value {
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn an_event_whose_outcome_was_forgotten_is_no_success() {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        let event = Event::new(&context, "secrets.read", "secret/a");
        assert_eq!(json(&event)["outcome"]["code"], "outcome-not-stated");
        assert_eq!(json(&event.succeeded())["outcome"], serde_json::json!({"result": "success"}));
    }

    #[test]
    fn what_callers_send_does_not_make_a_line_long() {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        let long = "\"".repeat(1 << 14);
        let decision = Decision {
            binding: long.clone(),
            plugin: long.clone(),
            digest: long.clone(),
            version: long.clone(),
            micros: 1,
            outcome: long.clone(),
            detail: long.clone(),
        };
        let event = Event::new(&context, long.clone(), long.clone())
            .identity(long.clone())
            .account(long.clone())
            .decisions(vec![decision; 100])
            .detail(long.clone(), vec![long.clone(); 1000]);
        for (event, most, left_out) in [
            (event.clone().failed(long.clone()), 64 << 10, 36),
            (event.denied(long.clone()), 12 << 10, 92),
        ] {
            let bytes = event.encode().unwrap();
            assert!(bytes.len() < most, "{}", bytes.len());
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["details"]["decisions_left_out"], left_out);
            assert!(value["resource"].as_str().unwrap().contains("…[cut, 16384 bytes, sha256:"));
        }
    }

    #[test]
    fn a_denial_is_told_before_those_who_allowed() {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        let decision = |number: u64| Decision {
            binding: number.to_string(),
            plugin: String::new(),
            digest: String::new(),
            version: String::new(),
            micros: number,
            outcome: if number == 70 { "deny" } else { "allow" }.to_owned(),
            detail: String::new(),
        };
        let event = Event::new(&context, "secrets.read", "a").decisions((0..100).map(decision));
        let bytes = event.denied("no").encode().unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let told: Vec<_> =
            value["decisions"].as_array().unwrap().iter().map(|one| &one["micros"]).collect();
        assert_eq!(told, [0, 1, 2, 3, 4, 5, 6, 70]);
        assert_eq!(value["details"]["decisions_left_out"], 92);
    }

    #[test]
    fn takes_the_actor_from_the_certificate() {
        use chancery_identity::{Identity, IdentityName, PeerCertificate};
        let mut context =
            RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        context.address = Some("192.0.2.1".parse().unwrap());
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let certificate = Arc::new(PeerCertificate {
            der: vec![],
            fingerprint: Fingerprint::of_certificate(b""),
            serial: "1".to_owned(),
            authority_key_id: String::new(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            lineage: None,
            identity: Ok(Identity {
                tenant: TenantId::default_tenant(),
                name: IdentityName::Dns("a.example".parse().unwrap()),
            }),
        });
        context.evidence = Some(Evidence::new(certificate, clock.clone(), Arc::new(|_| Ok(()))));
        let event = json(&Event::new(&context, "auth.login", "app").account("7"));
        assert_eq!(event["actor"]["identity"], "dns:a.example");
        assert_eq!(event["actor"]["account"], "7");
        assert_eq!(event["actor"]["address"], "192.0.2.1");
        let fingerprint = Fingerprint::of_certificate(b"").to_string();
        assert_eq!(event["actor"]["fingerprint"], fingerprint);
        assert_eq!(event["details"], Value::Null);

        clock.advance(Duration::from_secs(1));
        let event = json(&Event::new(&context, "auth.login", "app"));
        assert_eq!(event["actor"]["identity"], Value::Null);
        assert_eq!(event["actor"]["fingerprint"], Value::Null);
        let refused = &event["details"]["certificate_refused"];
        assert_eq!(refused["reason"], "certificate-expired");
        assert_eq!(refused["fingerprint"], fingerprint);
        assert_eq!(refused["serial"], "1");
    }
}
