use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Of all validations at once, the part that one account may have: a quarter. Otherwise somebody whose
/// names lead to servers that never answer would keep everybody waiting.
const SHARE: usize = 4;

/// How many validations may run at once, for all and for each account.
#[derive(Debug)]
pub(super) struct Slots {
    all: Semaphore,
    each: usize,
    accounts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A validation that may run; over when it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    _all: Option<SemaphorePermit<'a>>,
    _account: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Room for `count` validations.
    pub(super) fn new(count: usize) -> Self {
        let count = count.max(1);
        Self { all: Semaphore::new(count), each: count.div_ceil(SHARE), accounts: Mutex::default() }
    }

    /// Waits until `account`, and the gateway, may begin another validation; accounts that wait take
    /// none of the room of others.
    pub(super) async fn take(&self, account: &str) -> Slot<'_> {
        let own = self.of(account);
        // Neither is ever closed.
        let account = own.acquire_owned().await.ok();
        Slot { _account: account, _all: self.all.acquire().await.ok() }
    }

    fn of(&self, account: &str) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = accounts.get(account).and_then(Weak::upgrade) {
            return own;
        }
        // As many as wait or run, which is as many as are kept.
        accounts.retain(|_, semaphore| semaphore.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.each));
        accounts.insert(account.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_account_has_a_quarter_and_leaves_the_rest_to_others() {
        let slots = Slots::new(8);
        let first = slots.take("a").await;
        let _second = slots.take("a").await;
        assert!(slots.take("a").now_or_never().is_none(), "a third of the same account");
        let _others = [
            slots.take("b").await,
            slots.take("b").await,
            slots.take("c").await,
            slots.take("c").await,
        ];
        let _more = [slots.take("d").await, slots.take("d").await];
        assert!(slots.take("e").now_or_never().is_none(), "more than there are");
        drop(first);
        assert!(slots.take("e").now_or_never().is_some());
        assert!(slots.take("a").now_or_never().is_some());
    }

    #[tokio::test]
    async fn accounts_that_are_done_are_forgotten() {
        let slots = Slots::new(1);
        for account in 0..100 {
            drop(slots.take(&account.to_string()).await);
        }
        assert_eq!(slots.accounts.lock().unwrap().len(), 1);
    }
}
