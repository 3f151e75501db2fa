//! Certificates that end: a look ahead for those who have to renew them, and the removal of what is
//! stored about them.

use std::time::Duration;

use chancery_audit::Event;
use chancery_identity::{RequestContext, TenantId};
use chancery_records::Fence;
use chancery_store::ReadError;
use jiff::Timestamp;

use crate::index::{self, Index};
use crate::issuers::Issuer;
use crate::record::InventoryEntry;
use crate::{Inner, Unavailable, ssh};

const DAY: Duration = Duration::from_hours(24);

/// How many keys are read at once.
const PAGE: usize = 4096;

/// How many certificates are removed at once: their serial numbers make one audit line.
const BATCH: usize = 64;

/// The periods of the look ahead, with their names.
const AHEAD: [(&str, Duration); 3] =
    [("1d", DAY), ("7d", Duration::from_hours(7 * 24)), ("30d", Duration::from_hours(30 * 24))];

/// For how many of these periods it is looked up whether the certificates are replaced.
const LOOKED_UP: usize = 2;

/// Counts the tenant's valid certificates and those that end soon, and sets the gauges.
pub(crate) async fn survey(inner: &Inner, tenant: &TenantId) -> Result<(), ReadError> {
    let now = inner.clock.now();
    let index = Index::all(tenant);
    let ends: Vec<i64> = AHEAD.iter().map(|(_, time)| later(now, *time).as_second()).collect();
    let mut last = index.from(Some(now))?;
    let (mut valid, mut ending, mut unreplaced) = (0_u64, [0_u64; 3], [0_u64; 3]);
    loop {
        let page = inner.inventory.keys(index.prefix(), last.as_ref(), PAGE).await?;
        let Some(end) = page.last().cloned() else { break };
        for pointer in &page {
            valid = valid.saturating_add(1);
            let expiry = index::expiry_in(pointer).unwrap_or(i64::MAX);
            let within = |count: &mut [u64; 3]| {
                let counts = count.iter_mut().zip(&ends).filter(|(_, end)| expiry <= **end);
                counts.for_each(|(count, _)| *count = count.saturating_add(1));
            };
            within(&mut ending);
            if ends.get(LOOKED_UP - 1).is_some_and(|end| expiry <= *end) {
                let entry = inner.inventory.readable(tenant, pointer).await?;
                let entry = entry.filter(|entry| entry.revoked.is_none());
                if let Some(entry) = entry
                    && !inner.inventory.is_replaced(&entry).await?
                {
                    within(&mut unreplaced);
                }
            }
        }
        last = Some(end);
    }
    let name = tenant.to_string();
    set("chancery_issuance_certificates_valid", valid, &[("tenant", name.clone())]);
    for (at, (within, _)) in AHEAD.iter().enumerate() {
        let labels = [("tenant", name.clone()), ("within", (*within).to_owned())];
        let of = |counts: &[u64; 3]| counts.get(at).copied().unwrap_or_default();
        set("chancery_issuance_certificates_expiring", of(&ending), &labels);
        if at < LOOKED_UP {
            set("chancery_issuance_certificates_unreplaced", of(&unreplaced), &labels);
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point numbers")]
fn set(gauge: &'static str, value: u64, labels: &[(&'static str, String)]) {
    metrics::gauge!(gauge, labels).set(value as f64);
}

/// Removes the tenant's certificates that ended longer ago than `keep`, and their revocations.
/// Returns how many there were.
pub(crate) async fn prune(
    inner: &Inner,
    tenant: &TenantId,
    keep: Duration,
    fence: &Fence,
) -> Result<u64, Unavailable> {
    let inventory = inner.inventory.under(fence);
    let until = inner.clock.now().checked_sub(keep).unwrap_or(Timestamp::MIN);
    ssh::prune(&inventory, tenant, until).await?;
    let index = Index::all(tenant);
    let mut count = 0_u64;
    loop {
        let page = inventory.keys(index.prefix(), None, BATCH).await?;
        let mut old = Vec::with_capacity(page.len());
        for pointer in page.iter().take_while(|pointer| !index.ends(pointer, until)) {
            // A damaged one stays until somebody repairs the store.
            old.extend(inventory.readable(tenant, pointer).await?);
        }
        if old.is_empty() {
            return Ok(count);
        }
        let serials: Vec<String> = old.iter().map(|entry| entry.serial.to_string()).collect();
        let context = RequestContext::internal(tenant.clone(), inner.clock.now());
        let event = Event::new(&context, "certificates.prune", serials.join(","))
            .detail("expired_until", until.to_string());
        inner.gate.record(event.succeeded()).await?;
        forget_at_issuers(inner, &old, fence).await?;
        inventory.remove(&old).await?;
        count = count.saturating_add(old.len() as u64);
    }
}

async fn forget_at_issuers(
    inner: &Inner,
    old: &[InventoryEntry],
    fence: &Fence,
) -> Result<(), Unavailable> {
    for entry in old.iter().filter(|entry| entry.revoked.is_some()) {
        // An issuer that is no longer configured keeps nothing here, so there is nothing to forget.
        if let Ok((_, Issuer::Private(ca))) = inner.issuers.choose(Some(&entry.issuer)) {
            ca.forget(&entry.serial, fence).await?;
        }
    }
    Ok(())
}

fn later(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}
