use chancery_audit::{Audit, Event};
use chancery_identity::{Clock, RequestContext};
use chancery_store::CommitError;

use crate::OpenError;
use crate::inventory::Inventory;

/// How many are settled between two reads.
const BATCH: usize = 256;

/// Sets aside what a process left in signing when it ended. Its certificates, if they were signed at
/// all, never left that process: storing comes before answering. Should the process be alive after
/// all, its own commit fails, and it answers nothing.
pub(crate) async fn settle(
    inventory: &Inventory,
    audit: &Audit,
    clock: &Clock,
) -> Result<(), OpenError> {
    loop {
        let left = inventory.signing(BATCH).await?;
        if left.is_empty() {
            return Ok(());
        }
        for signing in left {
            let intent = signing.intent();
            let names: Vec<String> = intent.names.iter().map(ToString::to_string).collect();
            let context = RequestContext::internal(intent.tenant.clone(), clock.now());
            let mut event = Event::new(&context, "certificates.abandon", names.join(","))
                .detail("requester", intent.requester.clone())
                .detail("issuer", intent.issuer.clone())
                .detail("spki_sha256", intent.spki_sha256.clone())
                .failed("interrupted");
            if let Some(serial) = &intent.serial {
                event = event.detail("serial", serial.to_string());
            }
            audit.record(event).await?;
            match inventory.abandon(signing, "the gateway ended before it was stored").await {
                // Settled by its own process, or by another that starts.
                Ok(()) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
