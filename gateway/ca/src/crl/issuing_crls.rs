//! Which CRLs an issuing CA has.

use std::sync::Arc;

use bytes::Bytes;
use chancery_records::Tries;
use chancery_store::{Check, Commit, ReadError, Version};
use chancery_x509::Serial;
use tokio::sync::Mutex;

use super::publisher::CrlPublisher;
use super::scope::{Scope, Shard};
use crate::OpenError;
use crate::config::CaConfig;
use crate::record::{self, Damaged, DistributionRecord, Records};

/// The CRLs of the issuing CA.
pub(crate) struct IssuingCrls {
    pub(super) complete: Arc<CrlPublisher>,
    pub(super) delta: Option<Arc<CrlPublisher>>,
    pub(super) shards: Vec<(Shard, Arc<CrlPublisher>)>,
    /// CRLs are made one after the other. Held while signing, which no request for certificates or CRLs
    /// waits for: those who wait here want the same CRL, and find it made.
    pub(super) making: Mutex<()>,
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

/// What is on record of the places of shards.
pub(super) async fn places<E: From<ReadError> + From<Damaged>>(
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
