use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use chancery_records::Tries;
use chancery_store::Commit;
use chancery_x509::{CrlScope, Serial};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::next::{Next, next_number};
use super::publisher::CrlPublisher;
use super::scope::{Scope, Shard};
use crate::config::CaConfig;
use crate::issuing::IssuingCa;
use crate::record::{self, DistributionRecord, Records};
use crate::{Ca, CrlError, OpenError};

/// By how much the clock of a revocation may be behind the CRL that is made at the same time and does not
/// have it yet: deltas go back so far before their base.
const OVERLAP: Duration = Duration::from_mins(10);

/// The CRLs of the issuing CA.
pub(crate) struct IssuingCrls {
    complete: CrlPublisher,
    delta: Option<CrlPublisher>,
    shards: Vec<(Shard, CrlPublisher)>,
    /// Where shards were said to be, now and formerly.
    places: Vec<DistributionRecord>,
    /// The complete CRL that deltas begin with.
    base: std::sync::Mutex<Option<Base>>,
    /// CRLs are made one after the other. Held while signing, which no request for certificates or CRLs
    /// waits for: those who wait here want the same CRL, and find it made.
    making: Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Base {
    number: u64,
    at: Timestamp,
}

impl IssuingCrls {
    /// Those that the configuration asks for, and the shards that certificates were issued with before.
    pub(crate) async fn open(
        config: &CaConfig,
        records: &Records,
        issuer: &str,
    ) -> Result<Self, OpenError> {
        let places = places(config, records).await?;
        let mut counts: Vec<u32> = places.iter().map(|place| place.shards).collect();
        counts.sort_unstable();
        counts.dedup();
        let publisher = |scope: Scope| CrlPublisher::new(scope.name(issuer));
        Ok(Self {
            complete: publisher(Scope::Complete),
            delta: config.delta_crl_validity.map(|_| publisher(Scope::Delta)),
            shards: counts
                .into_iter()
                .flat_map(Shard::all)
                .map(|shard| (shard, publisher(Scope::Shard(shard))))
                .collect(),
            places,
            base: std::sync::Mutex::new(None),
            making: Mutex::new(()),
        })
    }

    pub(crate) fn complete(&self) -> Bytes {
        self.complete.current()
    }

    /// The CRL with this name.
    pub(crate) fn named(&self, name: &str) -> Option<Bytes> {
        let shards = self.shards.iter().map(|(_, publisher)| publisher);
        let mut all = std::iter::once(&self.complete).chain(&self.delta).chain(shards);
        let found = all.find(|publisher| publisher.name() == name).map(CrlPublisher::current);
        // One that was never made is none.
        found.filter(|der| !der.is_empty())
    }

    /// The certificate was revoked: the CRLs that have to list it do not.
    pub(crate) fn mark_outdated(&self, serial: &Serial) {
        self.complete.mark_outdated();
        if let Some(publisher) = &self.delta {
            publisher.mark_outdated();
        }
        for (shard, publisher) in &self.shards {
            if Scope::Shard(*shard).contains(serial) {
                publisher.mark_outdated();
            }
        }
    }

    fn base(&self) -> Option<Base> {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ca {
    /// Makes those CRLs of the issuing CA that are due.
    pub(crate) async fn publish_crls(
        &self,
        issuing: &IssuingCa,
        now: Timestamp,
    ) -> Result<(), CrlError> {
        let crls = &issuing.crls;
        let _making = crls.making.lock().await;
        let complete = if crls.complete.is_due(now) {
            Some(self.publish_complete(issuing, now).await?)
        } else {
            None
        };
        for (shard, publisher) in &crls.shards {
            if publisher.is_due(now) {
                self.publish_shard(issuing, *shard, publisher, now).await?;
            }
        }
        let Some((publisher, validity)) = crls.delta.as_ref().zip(self.config.delta_crl_validity)
        else {
            return Ok(());
        };
        if complete.is_some() || publisher.is_due(now) {
            self.publish_delta(issuing, publisher, validity, complete, now).await?;
        }
        Ok(())
    }

    async fn publish_complete(&self, issuing: &IssuingCa, now: Timestamp) -> Result<u64, CrlError> {
        let publisher = &issuing.crls.complete;
        let revision = publisher.revision();
        let (number, _) = next_number(&self.records, publisher.name()).await?;
        let delta_url = issuing.crls.delta.as_ref().map(|delta| self.config.crl_url(delta.name()));
        let validity = self.config.crl_validity;
        let next = Next {
            issuer: &issuing.authority,
            scope: CrlScope::Complete { delta_url },
            revoked: issuing.revocations.listed(now, validity, |_| true)?,
            validity,
            now,
        };
        let made = next.sign(number, self.keys.signer()).await?;
        tracing::info!(number, issuer = issuing.id(), "published a CRL");
        // Who has this one can do with deltas until it is renewed in its time.
        let mut base = issuing.crls.base.lock().unwrap_or_else(PoisonError::into_inner);
        if base.is_none_or(|base| base.at + validity / 2 <= now) {
            *base = Some(Base { number, at: made.this_update });
        }
        drop(base);
        publisher.publish(made.der, made.renew_at, revision);
        Ok(number)
    }

    async fn publish_shard(
        &self,
        issuing: &IssuingCa,
        shard: Shard,
        publisher: &CrlPublisher,
        now: Timestamp,
    ) -> Result<(), CrlError> {
        let revision = publisher.revision();
        let (number, _) = next_number(&self.records, publisher.name()).await?;
        let places = issuing.crls.places.iter().filter(|place| place.shards == shard.of);
        let urls = places.map(|place| CaConfig::crl_url_at(&place.base, publisher.name()));
        let validity = self.config.crl_validity;
        let next = Next {
            issuer: &issuing.authority,
            scope: CrlScope::Shard { urls: urls.collect() },
            revoked: issuing
                .revocations
                .listed(now, validity, |entry| Scope::Shard(shard).contains(&entry.serial))?,
            validity,
            now,
        };
        let made = next.sign(number, self.keys.signer()).await?;
        publisher.publish(made.der, made.renew_at, revision);
        Ok(())
    }

    /// The delta beside a complete CRL has its number (RFC 5280 §5.2.3).
    async fn publish_delta(
        &self,
        issuing: &IssuingCa,
        publisher: &CrlPublisher,
        validity: Duration,
        complete: Option<u64>,
        now: Timestamp,
    ) -> Result<(), CrlError> {
        let Some(base) = issuing.crls.base() else { return Ok(()) };
        let revision = publisher.revision();
        let number = match complete {
            Some(number) => number,
            None => next_number(&self.records, issuing.crls.complete.name()).await?.0,
        };
        let since = base.at.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN);
        let next = Next {
            issuer: &issuing.authority,
            scope: CrlScope::Delta { base: base.number },
            revoked: issuing
                .revocations
                .listed(now, self.config.crl_validity, |entry| entry.at >= since)?,
            validity,
            now,
        };
        let made = next.sign(number, self.keys.signer()).await?;
        publisher.publish(made.der, made.renew_at, revision);
        Ok(())
    }
}

/// Where shards were ever said to be: certificates carry it for their whole life, and what a CRL says of
/// its place has to be what they say.
async fn places(
    config: &CaConfig,
    records: &Records,
) -> Result<Vec<DistributionRecord>, OpenError> {
    let key = records.distribution_key()?;
    let now = DistributionRecord { base: config.crl_url_base.clone(), shards: config.crl_shards };
    let mut tries = Tries::default();
    loop {
        let found = records.read(&key).await?;
        let mut places: Vec<DistributionRecord> =
            found.as_ref().map(record::decode).transpose()?.unwrap_or_default();
        if config.crl_shards <= 1 || places.contains(&now) {
            return Ok(places);
        }
        places.push(now.clone());
        let commit = match &found {
            Some(found) => Commit::new().check_version(key.clone(), found.version),
            None => Commit::new().check_absent(key.clone()),
        };
        let commit = commit.put(key.clone(), record::encode(&places)?);
        if tries.commit(records.store(), commit).await?.is_some() {
            return Ok(places);
        }
    }
}
