//! Requests of somebody known that were refused before any operation began: malformed ones, and such as lead
//! nowhere. Each has a line in the audit log, so that who probes the gateway is seen.
//!
//! Accounts of ACME are free, so what comes by them without a client certificate has a bound for each client.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chancery_audit::Event;
use chancery_identity::{RequestContext, Sender, client_network};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::{Access, AccessError};

/// How many lines one client's accounts have in an [`HOUR`].
const MOST: u32 = 100;
/// The time in which they are counted.
const HOUR: Duration = Duration::from_hours(1);
/// How many clients are counted at once; with more, the lines of new ones are left out.
const CLIENTS: usize = 4096;

/// What clients without certificates have had lately.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<HashMap<IpNet, Count>>);

#[derive(Debug)]
struct Count {
    until: Timestamp,
    lines: u32,
    /// Refused since the last line.
    left_out: u64,
}

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
        let sender = context.trail.sender();
        let event = |context: &RequestContext| Event::new(context, "api.request", request);
        let (event, left_out) = match sender {
            Some(Sender::Bearer { identity, accessor }) => {
                let tenant = identity.tenant.clone();
                let context = RequestContext { tenant, ..context.clone() };
                let event = event(&context).identity(identity.to_string());
                (event.detail("accessor", accessor.as_str()).detail("bearer", true), Some(0))
            }
            Some(Sender::Account(id)) => {
                let is_known = context.evidence.is_some();
                let left_out = if is_known {
                    Some(0)
                } else {
                    self.refused.one_more(context, self.clock.now())
                };
                (event(context).account(id.as_str()), left_out)
            }
            None if context.evidence.is_some() => (event(context), Some(0)),
            None => return Ok(()),
        };
        let Some(left_out) = left_out else {
            metrics::counter!("chancery_access_refusals_unrecorded_total").increment(1);
            return Ok(());
        };
        let event = event.detail("status", status);
        let event = if left_out > 0 { event.detail("left_out", left_out) } else { event };
        Ok(self.audit.record(event.denied(code(status))).await?)
    }
}

impl Lines {
    /// Whether the client has room for one more line, and how many had none since the last.
    fn one_more(&self, context: &RequestContext, now: Timestamp) -> Option<u64> {
        let client = client_network(context.address?);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= CLIENTS && !counts.contains_key(&client) {
            counts.retain(|_, count| count.until > now);
            if counts.len() >= CLIENTS {
                return None;
            }
        }
        let fresh = || Count { until: now + HOUR, lines: 0, left_out: 0 };
        let count = counts.entry(client).or_insert_with(fresh);
        if count.until <= now {
            (count.until, count.lines) = (now + HOUR, 0);
        }
        if count.lines >= MOST {
            count.left_out = count.left_out.saturating_add(1);
            return None;
        }
        count.lines = count.lines.saturating_add(1);
        Some(std::mem::take(&mut count.left_out))
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

#[cfg(test)]
mod tests {
    use chancery_identity::TenantId;

    use super::*;

    #[test]
    fn a_client_has_so_many_lines_and_the_next_tells_what_was_left_out() {
        let lines = Lines::default();
        let start = Timestamp::UNIX_EPOCH;
        let from = |address: &str| {
            let mut context = RequestContext::internal(TenantId::default_tenant(), start);
            context.address = Some(address.parse().unwrap());
            context
        };
        let client = from("2001:db8::1");
        for _ in 0..MOST {
            assert_eq!(lines.one_more(&client, start), Some(0));
        }
        assert_eq!(lines.one_more(&client, start), None);
        assert_eq!(lines.one_more(&from("2001:db8::2"), start), None, "of one network");
        assert_eq!(lines.one_more(&from("192.0.2.1"), start), Some(0));
        assert_eq!(lines.one_more(&client, start + HOUR), Some(2));
        assert_eq!(lines.one_more(&client, start + HOUR), Some(0));
    }

    #[test]
    fn clients_are_counted_within_a_bound() {
        let lines = Lines::default();
        let start = Timestamp::UNIX_EPOCH;
        let mut context = RequestContext::internal(TenantId::default_tenant(), start);
        for number in 0..=u32::try_from(CLIENTS).unwrap() {
            context.address = Some(std::net::Ipv4Addr::from(number).into());
            let has_room = lines.one_more(&context, start).is_some();
            assert_eq!(has_room, number < u32::try_from(CLIENTS).unwrap());
        }
        assert_eq!(lines.one_more(&context, start + HOUR), Some(0));
    }
}
