//! Writing anew by what orders and accounts are found, which follows from them.

use std::collections::BTreeSet;
use std::str::FromStr;

use chancery_identity::TenantId;
use chancery_records::decode;
use chancery_store::{Commit, Key, Store, lenient};
use jiff::Timestamp;

use crate::account::Account;
use crate::error::Error;
use crate::id::{AccountId, OrderId};
use crate::order::Order;
use crate::records;

/// How many records are read at once.
const PAGE: usize = 100;

/// Writes the entries of a tenant's orders and accounts that are missing. What has no entry is looked at from `now` on;
/// the sweep finds the time after that.
///
/// # Errors
/// If the store fails. What was written before stays.
pub async fn reindex(store: &dyn Store, tenant: &TenantId, now: Timestamp) -> Result<(), Error> {
    let looked_at: BTreeSet<OrderId> = ids(store, &records::orders_due(tenant)).await?;
    let queued: BTreeSet<OrderId> = ids(store, &records::issuances_due(tenant)).await?;
    let (prefix, mut after) = (records::orders(tenant), None::<Key>);
    loop {
        let page = lenient::scan(store, prefix.as_bytes(), after.as_ref(), PAGE).await?;
        let mut commit = Commit::new();
        // One that is damaged has nothing to be found by.
        for order in page.records.iter().filter_map(|record| decode::<Order>(record).ok()) {
            let facts = order.value.facts();
            let of_account = records::order_of(tenant, facts.account, facts.id)?;
            commit = commit.put(of_account, "");
            if !looked_at.contains(&facts.id) {
                commit = commit.put(records::order_due(tenant, now, facts.id)?, "");
            }
            if let Order::Processing(processing) = &order.value
                && !queued.contains(&facts.id)
            {
                let due = records::issuance_due(tenant, processing.due(), facts.id)?;
                commit = commit.put(due, "");
            }
        }
        if !commit.writes().is_empty() {
            store.commit(commit).await?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    reindex_accounts(store, tenant, now).await
}

async fn reindex_accounts(
    store: &dyn Store,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<(), Error> {
    let looked_at: BTreeSet<AccountId> = ids(store, &records::accounts_due(tenant)).await?;
    let (prefix, mut after) = (records::accounts(tenant), None::<Key>);
    loop {
        let page = lenient::scan(store, prefix.as_bytes(), after.as_ref(), PAGE).await?;
        let accounts = page.records.iter().filter_map(|record| decode::<Account>(record).ok());
        let mut commit = Commit::new();
        for account in accounts.filter(|account| !looked_at.contains(&account.value.id)) {
            commit = commit.put(records::account_due(tenant, now, account.value.id)?, "");
        }
        if !commit.writes().is_empty() {
            store.commit(commit).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The ids that have an entry that is good.
async fn ids<T: FromStr + Ord>(store: &dyn Store, prefix: &str) -> Result<BTreeSet<T>, Error> {
    let (mut ids, mut after) = (BTreeSet::new(), None::<Key>);
    loop {
        let page = lenient::scan(store, prefix.as_bytes(), after.as_ref(), PAGE).await?;
        ids.extend(
            page.records.iter().filter_map(|record| records::due_id::<T>(prefix, &record.key)),
        );
        after = page.next;
        if after.is_none() {
            return Ok(ids);
        }
    }
}
