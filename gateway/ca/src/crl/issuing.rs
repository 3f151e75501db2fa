//! Makes the CRLs of an issuing CA that are due.

use std::time::Duration;

use chancery_store::Commit;
use chancery_x509::{CrlScope, RevokedEntry};
use jiff::Timestamp;

use super::issuing_crls::places;
use super::next::{Made, Next};
use super::number::Number;
use super::publisher::CrlPublisher;
use super::scope::{Scope, Shard};
use crate::config::CaConfig;
use crate::issuing::IssuingCa;
use crate::record::{Base, PublishedCrl, Records};
use crate::{Ca, CrlError};

/// By how much the clock of a revocation may be behind the CRL that is made at the same time and does not
/// have it yet: deltas go back so far before their base.
const OVERLAP: Duration = Duration::from_mins(10);

/// How often a CRL is made again because another gateway made one at the same time.
const TRIES: usize = 3;

impl Ca {
    /// Makes those of the wanted CRLs of the issuing CA that are due. If another gateway does so at the same time, one of the two
    /// is published, and it is looked again whether that has everything.
    pub(crate) async fn publish_crls(
        &self,
        records: &Records,
        issuing: &IssuingCa,
        now: Timestamp,
        wanted: impl Fn(&CrlPublisher) -> bool,
    ) -> Result<(), CrlError> {
        let crls = &issuing.crls;
        let is_due = |publisher: &CrlPublisher| wanted(publisher) && publisher.is_due(now);
        let _making = crls.making.lock().await;
        let making = Making { ca: self, records, issuing, now };
        let mut complete = None;
        for _ in 0..TRIES {
            if complete.is_some() || !is_due(&crls.complete) {
                break;
            }
            complete = making.complete().await?;
        }
        for (shard, publisher) in &crls.shards {
            for _ in 0..TRIES {
                if !is_due(publisher) || making.shard(*shard, publisher).await? {
                    break;
                }
            }
        }
        let Some((publisher, validity)) = crls.delta.as_ref().zip(self.config.delta_crl_validity)
        else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let beside = complete.take();
            if beside.is_none() && !is_due(publisher)
                || making.delta(publisher, validity, beside).await?
            {
                break;
            }
        }
        Ok(())
    }
}

/// The CRLs of one issuing CA that are made now.
struct Making<'a> {
    ca: &'a Ca,
    records: &'a Records,
    issuing: &'a IssuingCa,
    now: Timestamp,
}

impl Making<'_> {
    /// The complete CRL; none if another gateway was quicker.
    async fn complete(&self) -> Result<Option<Number>, CrlError> {
        let Self { ca, issuing, now, .. } = *self;
        let publisher = &*issuing.crls.complete;
        let covers = publisher.newest();
        let number = ca.number(self.records, publisher).await?;
        let delta_url = issuing.crls.delta.as_ref().map(|delta| ca.config.crl_url(delta.name()));
        let scope = CrlScope::Complete { delta_url };
        let validity = ca.config.crl_validity;
        let made = self.sign(scope, number.value, validity, |_| true).await?;
        // Who has this one can do with deltas until it is renewed in its time.
        let base = publisher.current().base.filter(|base| base.at + validity / 2 > now);
        let base = base.unwrap_or(Base { number: number.value, at: made.this_update });
        let crl = PublishedCrl { base: Some(base), ..made.published(number.value, covers) };
        let published = self.publish(publisher, crl, number).await?;
        if let Some(number) = &published {
            tracing::info!(number = number.value, issuer = issuing.id(), "published a CRL");
        }
        Ok(published)
    }

    /// The CRL of a shard; false if another gateway was quicker.
    async fn shard(&self, shard: Shard, publisher: &CrlPublisher) -> Result<bool, CrlError> {
        let covers = publisher.newest();
        let number = self.ca.number(self.records, publisher).await?;
        // Other gateways may have other places.
        let (places, _) = places::<CrlError>(self.records).await?;
        let places = places.iter().filter(|place| place.shards == shard.of);
        let urls = places.map(|place| CaConfig::crl_url_at(&place.base, publisher.name()));
        let scope = CrlScope::Shard { urls: urls.collect() };
        let is_in = |entry: &RevokedEntry| Scope::Shard(shard).contains(&entry.serial);
        let made = self.sign(scope, number.value, self.ca.config.crl_validity, is_in).await?;
        let crl = made.published(number.value, covers);
        Ok(self.publish(publisher, crl, number).await?.is_some())
    }

    /// The delta; false if another gateway was quicker. Beside a complete CRL it has the same number
    /// (RFC 5280 §5.2.3).
    async fn delta(
        &self,
        publisher: &CrlPublisher,
        validity: Duration,
        beside: Option<Number>,
    ) -> Result<bool, CrlError> {
        let complete = &*self.issuing.crls.complete;
        let Some(base) = complete.current().base else { return Ok(true) };
        let covers = publisher.newest();
        let number = match beside {
            Some(number) => number,
            None => self.ca.number(self.records, complete).await?,
        };
        let since = base.at.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN);
        let scope = CrlScope::Delta { base: base.number };
        let made = self.sign(scope, number.value, validity, |entry| entry.at >= since).await?;
        let crl = made.published(number.value, covers);
        Ok(self.publish(publisher, crl, number).await?.is_some())
    }

    async fn sign(
        &self,
        scope: CrlScope,
        number: u64,
        validity: Duration,
        lists: impl Fn(&RevokedEntry) -> bool,
    ) -> Result<Made, CrlError> {
        let Self { ca, issuing, now, .. } = *self;
        let revocations = &issuing.revocations;
        revocations.catch_up().await?;
        let revoked = revocations.listed(now, ca.config.crl_validity, lists)?;
        let next = Next { issuer: &issuing.authority, scope, revoked, validity, now };
        next.sign(number, ca.keys.signer()).await
    }

    async fn publish(
        &self,
        publisher: &CrlPublisher,
        crl: PublishedCrl,
        number: Number,
    ) -> Result<Option<Number>, CrlError> {
        self.ca.publish(self.records, publisher, crl, number, Commit::new()).await
    }
}
