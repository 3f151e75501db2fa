//! Abandons the intents of a process that ended before it stored the certificates.

use chancery_audit::{Audit, Event};
use chancery_identity::{Clock, RequestContext};
use chancery_store::CommitError;
use jiff::Timestamp;

use crate::OpenError;
use crate::inventory::Inventory;
use crate::record::Intent;

/// How many are settled between two reads.
const BATCH: usize = 256;

/// Marks as abandoned what has been in signing since before `began_before`: the process that recorded it ended. Its
/// certificates, if they were signed at all, never left that process: storing comes before answering. Should the
/// process be alive after all, its own commit fails, and it answers nothing. Returns how many there were.
pub(crate) async fn settle(
    inventory: &Inventory,
    audit: &Audit,
    clock: &Clock,
    began_before: Timestamp,
) -> Result<usize, OpenError> {
    let mut count = 0;
    let mut after = None;
    loop {
        let left = inventory.signing(after.as_ref(), BATCH).await?;
        let Some(last) = left.last() else { return Ok(count) };
        after = Some(last.key().clone());
        for signing in left {
            if signing.intent().began >= began_before {
                continue;
            }
            record(audit, clock, signing.intent()).await?;
            match inventory.abandon(signing, "the gateway ended before it was stored").await {
                Ok(()) => count += 1,
                // Settled by its own process, or by another gateway.
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

async fn record(audit: &Audit, clock: &Clock, intent: &Intent) -> Result<(), OpenError> {
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
    Ok(audit.record(event).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_audit::MemorySink;
    use chancery_identity::TenantId;
    use chancery_store::Store as _;
    use chancery_store::memory::MemoryStore;
    use std::sync::Arc;
    use zeroize::Zeroizing;

    const LATER: Timestamp = Timestamp::constant(1, 0);

    struct World {
        store: MemoryStore,
        inventory: Inventory,
        sink: MemorySink,
        audit: Audit,
        clock: Clock,
    }

    /// A store in which a process left three certificates in signing.
    async fn world() -> World {
        let store = MemoryStore::new();
        let inventory = Inventory::new(Arc::new(store.clone()));
        for serial in [Some("0a"), Some("0b"), None] {
            let intent = Intent {
                tenant: TenantId::default_tenant(),
                issuer: "private".to_owned(),
                requester: "acme:1".to_owned(),
                profile: "tls-server".to_owned(),
                names: vec!["dns:a.example".parse().unwrap()],
                spki_sha256: "aa".to_owned(),
                serial: serial.map(|serial| serial.parse().unwrap()),
                content_sha256: None,
                began: Timestamp::UNIX_EPOCH,
                abandoned: None,
            };
            inventory.begin(intent).await.unwrap();
        }
        let sink = MemorySink::new();
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let key = Zeroizing::new(vec![7; 32]);
        let audit = Audit::with_sink(Box::new(sink.clone()), &key, clock.clone()).unwrap();
        World { store, inventory, sink, audit, clock }
    }

    #[tokio::test]
    async fn what_was_left_in_signing_is_set_aside_and_recorded() {
        let World { store, inventory, sink, audit, clock } = world().await;
        settle(&inventory, &audit, &clock, LATER).await.unwrap();
        assert!(inventory.signing(None, 10).await.unwrap().is_empty());
        assert_eq!(store.scan(b"_/issuance/abandoned/", None, 10).await.unwrap().len(), 3);
        let lines = sink.lines();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["operation"], "certificates.abandon");
        assert_eq!(lines[0]["resource"], "dns:a.example");
        assert_eq!(lines[0]["details"]["serial"], "a");
        assert_eq!(lines[2]["details"].get("serial"), None);
        settle(&inventory, &audit, &clock, LATER).await.unwrap();
        assert_eq!(sink.lines().len(), 3);
    }

    #[tokio::test]
    async fn nothing_is_settled_that_cannot_be_recorded() {
        let World { inventory, sink, audit, clock, .. } = world().await;
        sink.refuse(true);
        assert!(matches!(
            settle(&inventory, &audit, &clock, LATER).await,
            Err(OpenError::Audit(_))
        ));
        assert_eq!(inventory.signing(None, 10).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn what_another_gateway_may_be_signing_is_left_to_it() {
        let World { inventory, sink, audit, clock, .. } = world().await;
        let settled = settle(&inventory, &audit, &clock, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(settled, 0);
        assert_eq!(inventory.signing(None, 10).await.unwrap().len(), 3);
        assert!(sink.lines().is_empty());
        assert_eq!(settle(&inventory, &audit, &clock, LATER).await.unwrap(), 3);
    }
}
