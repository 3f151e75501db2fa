use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chancery_records::Tries;
use chancery_store::{Check, Commit, ReadError, Version};
use chancery_x509::{CrlScope, RevokedEntry, Serial};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::next::{Made, Next};
use super::number::Number;
use super::publisher::CrlPublisher;
use super::scope::{Scope, Shard};
use crate::config::CaConfig;
use crate::issuing::IssuingCa;
use crate::record::{self, Base, Damaged, DistributionRecord, PublishedCrl, Records};
use crate::{Ca, CrlError, OpenError};

/// By how much the clock of a revocation may be behind the CRL that is made at the same time and does not
/// have it yet: deltas go back so far before their base.
const OVERLAP: Duration = Duration::from_mins(10);

/// How often a CRL is made again because another gateway made one at the same time.
const TRIES: usize = 3;

/// The CRLs of the issuing CA.
pub(crate) struct IssuingCrls {
    complete: Arc<CrlPublisher>,
    delta: Option<Arc<CrlPublisher>>,
    shards: Vec<(Shard, Arc<CrlPublisher>)>,
    /// CRLs are made one after the other. Held while signing, which no request for certificates or CRLs
    /// waits for: those who wait here want the same CRL, and find it made.
    making: Mutex<()>,
}

impl IssuingCrls {
    /// Those that the configuration asks for, and the shards that certificates were issued with before.
    pub(crate) async fn open(
        config: &CaConfig,
        records: &Records,
        issuer: &str,
    ) -> Result<Self, OpenError> {
        let known = with_place(config, records).await?;
        let mut counts: Vec<u32> = known.iter().map(|place| place.shards).collect();
        counts.sort_unstable();
        counts.dedup();
        let publisher = |scope: Scope| Arc::new(CrlPublisher::new(scope.name(issuer)));
        Ok(Self {
            complete: publisher(Scope::Complete),
            delta: config.delta_crl_validity.map(|_| publisher(Scope::Delta)),
            shards: counts
                .into_iter()
                .flat_map(Shard::all)
                .map(|shard| (shard, publisher(Scope::Shard(shard))))
                .collect(),
            making: Mutex::new(()),
        })
    }

    pub(crate) fn complete(&self) -> Bytes {
        self.complete.der()
    }

    /// The CRL with this name.
    pub(crate) fn named(&self, name: &str) -> Option<Bytes> {
        let found = self.publishers().find(|publisher| publisher.name() == name);
        let found = found.map(|publisher| publisher.der());
        // One that was never made is none.
        found.filter(|der| !der.is_empty())
    }

    /// All of them.
    pub(crate) fn publishers(&self) -> impl Iterator<Item = &Arc<CrlPublisher>> {
        let shards = self.shards.iter().map(|(_, publisher)| publisher);
        std::iter::once(&self.complete).chain(&self.delta).chain(shards)
    }

    /// The certificate was revoked by this commit: the CRLs that have to list it do not.
    pub(crate) fn mark_outdated(&self, serial: &Serial, revoked: Version) {
        self.complete.mark_outdated(revoked);
        if let Some(publisher) = &self.delta {
            publisher.mark_outdated(revoked);
        }
        for (shard, publisher) in &self.shards {
            if Scope::Shard(*shard).contains(serial) {
                publisher.mark_outdated(revoked);
            }
        }
    }
}

impl Ca {
    /// Makes those CRLs of the issuing CA that are due. If another gateway does so at the same time, one of the two
    /// is published, and it is looked again whether that has everything.
    pub(crate) async fn publish_crls(
        &self,
        records: &Records,
        issuing: &IssuingCa,
        now: Timestamp,
    ) -> Result<(), CrlError> {
        let crls = &issuing.crls;
        let _making = crls.making.lock().await;
        let making = Making { ca: self, records, issuing, now };
        let mut complete = None;
        for _ in 0..TRIES {
            if complete.is_some() || !crls.complete.is_due(now) {
                break;
            }
            complete = making.complete().await?;
        }
        for (shard, publisher) in &crls.shards {
            for _ in 0..TRIES {
                if !publisher.is_due(now) || making.shard(*shard, publisher).await? {
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
            if beside.is_none() && !publisher.is_due(now)
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

/// What is on record of the places of shards.
async fn places<E: From<ReadError> + From<Damaged>>(
    records: &Records,
) -> Result<(Vec<DistributionRecord>, Option<Version>), E> {
    let found = records.read(&records.distribution_key()?).await?;
    let places = found.as_ref().map(record::decode).transpose()?.unwrap_or_default();
    Ok((places, found.map(|found| found.version)))
}

/// Where shards were ever said to be: certificates carry it for their whole life, and what a CRL says of
/// its place has to be what they say.
async fn with_place(
    config: &CaConfig,
    records: &Records,
) -> Result<Vec<DistributionRecord>, OpenError> {
    let key = records.distribution_key()?;
    let now = DistributionRecord { base: config.crl_url_base.clone(), shards: config.crl_shards };
    let mut tries = Tries::default();
    loop {
        let (mut places, version) = places::<OpenError>(records).await?;
        if config.crl_shards <= 1 || places.contains(&now) {
            return Ok(places);
        }
        places.push(now.clone());
        let check = Check { key: key.clone(), expected: version };
        let commit = Commit::new().check(check).put(key.clone(), record::encode(&places)?);
        if tries.commit(records.store(), commit).await?.is_some() {
            return Ok(places);
        }
    }
}
