//! Replaces the key of an account (RFC 8555 §7.3.5).

use chancery_audit::Event;
use chancery_identity::RequestContext;
use chancery_store::{Commit, CommitError};

use super::{Account, ActiveAccount};
use crate::Acme;
use crate::error::{Error, InternalError};
use crate::jws::{AccountKey, Object, Payload, SignedRequest, Signer};
use crate::records;

/// How often a change is tried that others come before.
const TRIES: usize = 20;

/// The inner request of a key change, proved to be signed by the new key (RFC 8555 §7.3.5).
#[derive(Debug)]
struct NewKey {
    key: AccountKey,
    payload: Payload,
}

#[derive(serde::Deserialize)]
struct KeyChange {
    account: String,
    #[serde(rename = "oldKey")]
    old_key: Object<AccountKey>,
}

impl Acme {
    /// Replaces the key of `account` by the one that signed `inner`, the JWS inside the request.
    /// `url` is where the outer request went, and `account_url` the account's own.
    ///
    /// # Errors
    /// [`Error::KeyInUse`] if the new key has an account, [`Error::RateLimited`], and what is wrong with `inner`.
    #[tracing::instrument(name = "acme.account.key-change", skip_all)]
    pub async fn change_key(
        &self,
        context: &RequestContext,
        account: ActiveAccount,
        inner: &Payload,
        url: &str,
        account_url: &str,
    ) -> Result<Account, Error> {
        let mut event = Event::new(context, "acme.account.key-change", "account")
            .account(account.id().to_string());
        let changed = self.store_key(context, account, inner, url, account_url, &mut event).await;
        self.conclude(context, event, changed).await
    }

    async fn store_key(
        &self,
        context: &RequestContext,
        ActiveAccount(stored): ActiveAccount,
        inner: &Payload,
        url: &str,
        account_url: &str,
        event: &mut Event,
    ) -> Result<Account, Error> {
        let new = self.inner_request(inner, url).await?;
        let change: KeyChange = new.payload.json()?;
        if change.account != account_url {
            return Err(Error::Malformed("the inner `account` is not the signer's".to_owned()));
        }
        if change.old_key.0 != stored.value.key {
            return Err(Error::Malformed("`oldKey` is not the account's key".to_owned()));
        }
        let thumbprint = new.key.thumbprint();
        event.add_detail("thumbprint", thumbprint.clone());
        let taken = records::account_of_key(&context.tenant, &thumbprint)?;
        let old = records::account_of_key(&context.tenant, &stored.value.key.thumbprint())?;
        let mut stored = stored;
        for _ in 0..TRIES {
            let changed = Account { key: new.key.clone(), ..stored.value.clone() };
            let commit = Commit::new()
                .check_absent(taken.clone())
                .check_version(stored.key.clone(), stored.version)
                .delete(old.clone())
                .put(taken.clone(), changed.id.to_string().into_bytes())
                .put(stored.key.clone(), records::encode(&changed)?);
            let now = self.clock.now();
            let seats = self.find_change_seats(context, changed.id, now).await?;
            let commit = seats.take(commit, now)?;
            match self.store.commit(commit).await {
                Ok(_) => return Ok(changed),
                Err(CommitError::Conflict { key }) if key == taken => {
                    let other = self.account_of_key(context, &thumbprint).await?;
                    let other =
                        other.ok_or_else(|| InternalError::Inconsistent(taken.to_string()))?;
                    return Err(Error::KeyInUse { account: other.value.id });
                }
                // An order of it came at the same time, or another change.
                Err(CommitError::Conflict { .. }) => {
                    let found = records::load(self.store.as_ref(), stored.key).await?;
                    stored = ActiveAccount::of(found)?.0;
                    if stored.value.key != change.old_key.0 {
                        let detail = "`oldKey` is not the account's key any more";
                        return Err(Error::Malformed(detail.to_owned()));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Overloaded)
    }

    /// Checks the inner JWS: a bare key, the outer `url`, no nonce, its own signature.
    async fn inner_request(&self, inner: &Payload, url: &str) -> Result<NewKey, Error> {
        let request = SignedRequest::parse(inner.as_bytes())?;
        if request.nonce().is_some() {
            return Err(Error::Malformed("the inner JWS has a nonce (RFC 8555 §7.3.5)".to_owned()));
        }
        if request.url() != url {
            return Err(Error::WrongUrl {
                signed: request.url().chars().take(200).collect(),
                called: url.to_owned(),
            });
        }
        let Signer::Key(key) = request.signer().clone() else {
            return Err(Error::Malformed("the inner JWS is signed by `kid`, not `jwk`".to_owned()));
        };
        let (key, payload) = self.verify_by(key, request).await?;
        Ok(NewKey { key, payload })
    }
}
