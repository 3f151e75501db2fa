//! Requests of somebody known that were refused before any operation began: malformed ones, and such as lead
//! nowhere. Each has a line in the audit log, so that who probes the gateway is seen, up to a bound for each client.

use chancery_audit::Event;
use chancery_identity::{RequestContext, Sender};

use crate::{Access, AccessError};

impl Access {
    /// Puts a request on record that was answered with this status and that no line tells of, if it is known
    /// who sent it: by the certificate of the connection, by a bearer token, or as an ACME account. `request`
    /// is its method and path as they came.
    ///
    /// # Errors
    /// The audit log did not take it: then the request must not be answered as if it had.
    pub async fn record_refused(
        &self,
        context: &RequestContext,
        request: &str,
        status: u16,
    ) -> Result<(), AccessError> {
        let of = |context: &RequestContext| Event::new(context, "api.request", request);
        let event = match context.trail.sender() {
            Some(Sender::Bearer { identity, accessor }) => {
                let tenant = identity.tenant.clone();
                let event = of(&RequestContext { tenant, ..context.clone() });
                let event = event.identity(identity.to_string());
                event.detail("accessor", accessor.as_str()).detail("bearer", true)
            }
            Some(Sender::Account(id)) => of(context).account(id.as_str()),
            None if context.evidence.is_some() => of(context),
            None => return Ok(()),
        };
        let event = event.detail("status", status);
        Ok(self.gate.record_refusal(context, event, code(status)).await?)
    }
}

/// The stable code of a refusal of which only the status is known.
fn code(status: u16) -> &'static str {
    match status {
        400 => "malformed-request",
        401 | 403 => "forbidden",
        404 => "not-found",
        405 => "method-not-allowed",
        408 => "too-slow",
        409 => "conflict",
        413 => "too-large",
        415 => "unsupported-media-type",
        421 => "misdirected",
        _ => "refused",
    }
}
