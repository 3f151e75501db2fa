//! Who signed a request (RFC 8555 §6.2): every operation but reading the directory and fetching a
//! nonce begins here.

use chancery_audit::Event;
use chancery_identity::{RequestContext, Sender};

use crate::Acme;
use crate::account::{Account, AccountStatus, ActiveAccount};
use crate::error::Error;
use crate::id::AccountId;
use crate::jws::{AccountKey, JwsError, OfferedKey, Payload, SignedRequest, Signer};
use crate::nonce::BadNonce;
use crate::records;

/// Where a request went, to compare with what the client signed.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The URL that was called, as a client would write it.
    pub url: &'a str,
    /// What the URLs of accounts begin with; the account's id follows.
    pub account_prefix: &'a str,
}

/// Who signed, where either kind of signer is possible.
#[derive(Debug)]
pub enum Authenticated {
    /// An account that may act.
    Account(ActiveAccount),
    /// A bare key, proved and otherwise unknown.
    Key(AccountKey),
}

impl Acme {
    /// Checks a request that an account must have signed.
    ///
    /// # Errors
    /// What is wrong with the request; [`Error::NoAccount`], [`Error::AccountDeactivated`] or
    /// [`Error::Certificate`].
    pub async fn by_account(
        &self,
        context: &RequestContext,
        target: Target<'_>,
        body: &[u8],
    ) -> Result<(ActiveAccount, Payload), Error> {
        match self.by_anyone(context, target, body).await? {
            (Authenticated::Account(account), payload) => Ok((account, payload)),
            (Authenticated::Key(_), _) => Err(Error::Malformed(
                "sign this request with `kid`, the account's URL, not with `jwk`".to_owned(),
            )),
        }
    }

    /// That the resource below an account's URL which `id` stands in is the signer's own.
    ///
    /// # Errors
    /// [`Error::Unauthorized`].
    pub async fn check_own(
        &self,
        context: &RequestContext,
        account: &ActiveAccount,
        id: &str,
    ) -> Result<(), Error> {
        let own = account.id().to_string();
        if own == id {
            return Ok(());
        }
        let other = id.chars().take(80).collect::<String>();
        let event = Event::new(context, "acme.account.use", other).account(own);
        let error = Error::Unauthorized("this is another account's URL".to_owned());
        Err(self.refuse(context, event, error).await)
    }

    /// Checks a request that a bare key must have signed: one for a new account.
    ///
    /// # Errors
    /// What is wrong with the request; [`Error::Certificate`].
    pub async fn by_key(
        &self,
        context: &RequestContext,
        target: Target<'_>,
        body: &[u8],
    ) -> Result<(AccountKey, Payload), Error> {
        self.check_certificate(context, target).await?;
        let request = self.fresh(target, body)?;
        let Signer::Key(key) = request.signer().clone() else {
            return Err(Error::Malformed(
                "sign this request with `jwk`, the new account's key, not with `kid`".to_owned(),
            ));
        };
        self.verify_by(key, request).await
    }

    /// Checks the key that a request brings along, and the request's signature with it, where both may take
    /// long.
    pub(crate) async fn verify_by(
        &self,
        key: OfferedKey,
        request: SignedRequest,
    ) -> Result<(AccountKey, Payload), Error> {
        let is_expensive = key.is_expensive();
        let verify = move || {
            let key = key.check()?;
            let payload = request.verify(&key)?;
            Ok::<_, JwsError>((key, payload))
        };
        Ok(if is_expensive { self.compute.run(verify).await? } else { verify() }?)
    }

    /// Checks a request that an account or a bare key signed: a revocation.
    ///
    /// # Errors
    /// As [`by_account`](Self::by_account).
    pub async fn by_anyone(
        &self,
        context: &RequestContext,
        target: Target<'_>,
        body: &[u8],
    ) -> Result<(Authenticated, Payload), Error> {
        self.check_certificate(context, target).await?;
        let request = self.fresh(target, body)?;
        match request.signer().clone() {
            Signer::Key(key) => {
                let (key, payload) = self.verify_by(key, request).await?;
                Ok((Authenticated::Key(key), payload))
            }
            Signer::Account(url) => {
                let id: AccountId = url
                    .strip_prefix(target.account_prefix)
                    .and_then(|id| id.parse().ok())
                    .ok_or(Error::NoAccount)?;
                let key = records::account(&context.tenant, id)?;
                let stored = records::load::<Account>(self.store.as_ref(), key).await?;
                let stored = stored.ok_or(Error::NoAccount)?;
                let verified = match &stored.value.key {
                    key if key.is_expensive() => {
                        let key = key.clone();
                        self.compute.run(move || request.verify(&key)).await?
                    }
                    key => request.verify(key),
                };
                let payload = match verified {
                    Ok(payload) if stored.value.status == AccountStatus::Valid => Ok(payload),
                    Ok(_) => Err(Error::AccountDeactivated),
                    Err(error) => Err(error.into()),
                };
                match payload {
                    Ok(payload) => {
                        context.trail.name(|| Sender::Account(id.to_string()));
                        Ok((Authenticated::Account(ActiveAccount(stored)), payload))
                    }
                    Err(error) => {
                        let event = Event::new(context, "acme.authenticate", target.url);
                        let event = event.account(id.to_string());
                        Err(self.refuse(context, event, error).await)
                    }
                }
            }
        }
    }

    /// That the client certificate of the connection, if it has one, counts now that all of the request
    /// is here. Certificate and address of a refusal stand in the audit log.
    async fn check_certificate(
        &self,
        context: &RequestContext,
        target: Target<'_>,
    ) -> Result<(), Error> {
        let Err(why) = context.check_evidence() else { return Ok(()) };
        let event = Event::new(context, "acme.authenticate", target.url);
        Err(self.refuse(context, event, why.into()).await)
    }

    /// A request whose `url` is the one that was called and whose nonce was good until now. No key was looked
    /// at yet: that costs more than all of this.
    fn fresh(&self, target: Target<'_>, body: &[u8]) -> Result<SignedRequest, Error> {
        let request = SignedRequest::parse(body)?;
        if request.url() != target.url {
            return Err(Error::WrongUrl {
                signed: request.url().chars().take(200).collect(),
                called: target.url.to_owned(),
            });
        }
        self.nonces.redeem(request.nonce().ok_or(BadNonce::Unknown)?)?;
        Ok(request)
    }
}
