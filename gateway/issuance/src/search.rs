//! Looking for certificates in the inventory.

use chancery_identity::{NoRoom, Room, TenantId};
use chancery_store::{Key, ReadError, lenient};
use chancery_x509::{GeneralName, Serial};
use jiff::Timestamp;

use crate::index::{self, Index};
use crate::inventory::Inventory;
use crate::record::InventoryEntry;

/// How many pointers are read at once.
const PAGE: usize = 512;

/// What certificates are looked for: those that fit all that is given. Nothing given: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// One of the names.
    pub name: Option<GeneralName>,
    /// A DNS name that is this one or below it, wildcards included.
    pub domain: Option<String>,
    /// Who got it, in the text form of [`Requester`](crate::Requester).
    pub requester: Option<String>,
    /// SHA-256 of its `SubjectPublicKeyInfo`, lower-case hex.
    pub spki_sha256: Option<String>,
    /// The name of the issuer.
    pub issuer: Option<String>,
    /// Valid at this moment or later.
    pub expires_from: Option<Timestamp>,
    /// Valid until this moment at most.
    pub expires_until: Option<Timestamp>,
    /// Revoked, or not.
    pub revoked: Option<bool>,
    /// Whether there is, for each of its names, a later certificate that is not revoked.
    pub replaced: Option<bool>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The certificate after which to go on is not there, or does not fit what is looked for.
    #[error("there is no certificate {0} among those looked for to go on after")]
    NoSuchPlace(Serial),
    /// There is no room for so many certificates.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Search {
    /// Whether it says which certificates, and not only when they end or whether they are revoked.
    pub fn is_specific(&self) -> bool {
        self.name.is_some()
            || self.domain.is_some()
            || self.requester.is_some()
            || self.spki_sha256.is_some()
            || self.issuer.is_some()
    }

    /// What was asked, for the audit log and for policies.
    pub fn facts(&self) -> Vec<(String, String)> {
        let moment = |moment: Timestamp| moment.to_string();
        let facts = [
            ("name", self.name.as_ref().map(ToString::to_string)),
            ("domain", self.domain.clone()),
            ("requester", self.requester.clone()),
            ("spki_sha256", self.spki_sha256.clone()),
            ("issuer", self.issuer.clone()),
            ("expires_from", self.expires_from.map(moment)),
            ("expires_until", self.expires_until.map(moment)),
            ("revoked", self.revoked.map(|revoked| revoked.to_string())),
            ("replaced", self.replaced.map(|replaced| replaced.to_string())),
        ];
        let given = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The index with the fewest certificates to look at.
    fn index(&self, tenant: &TenantId) -> Index {
        if let Some(key) = &self.spki_sha256 {
            Index::key(tenant, key)
        } else if let Some(name) = &self.name {
            Index::name(tenant, name)
        } else if let Some(requester) = &self.requester {
            Index::requester(tenant, requester)
        } else if let Some(domain) = &self.domain {
            Index::domain(tenant, domain)
        } else if let Some(issuer) = &self.issuer {
            Index::issuer(tenant, issuer)
        } else {
            Index::all(tenant)
        }
    }

    /// Everything but whether it is replaced, for which others have to be looked at.
    fn fits(&self, entry: &InventoryEntry) -> bool {
        let is = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|w| w == has);
        let below = |domain: &String| {
            let domain = domain.to_ascii_lowercase();
            entry.names.iter().any(|name| match name {
                GeneralName::Dns(name) => name
                    .strip_suffix(&domain)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
                _ => false,
            })
        };
        is(&self.requester, &entry.requester)
            && is(&self.spki_sha256, &entry.spki_sha256)
            && is(&self.issuer, &entry.issuer)
            && self.name.as_ref().is_none_or(|name| entry.names.contains(name))
            && self.domain.as_ref().is_none_or(below)
            && self.expires_from.is_none_or(|moment| entry.not_after >= moment)
            && self.expires_until.is_none_or(|moment| entry.not_after <= moment)
            && self.revoked.is_none_or(|revoked| entry.revoked.is_some() == revoked)
    }
}

/// What a search finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Searched {
    /// The certificates that fit.
    pub entries: Vec<InventoryEntry>,
    /// The serial numbers of certificates that were passed over, since their records are damaged: whether they
    /// fit is not known.
    pub damaged: Vec<Serial>,
}

impl Inventory {
    /// The first `limit` certificates that fit, beginning after the one with the serial number `after`. One whose
    /// record is damaged does not hide the others. They take from `room` as they are found.
    pub(crate) async fn search(
        &self,
        tenant: &TenantId,
        search: &Search,
        after: Option<&Serial>,
        limit: usize,
        room: &Room,
    ) -> Result<Searched, SearchError> {
        let index = search.index(tenant);
        let mut last = match after {
            None => index.from(search.expires_from)?,
            Some(serial) => {
                let entry = self.find(tenant, serial).await?.map(|(entry, _)| entry);
                let place = entry.map(|entry| index.place(&entry)).transpose()?.flatten();
                Some(place.ok_or(SearchError::NoSuchPlace(*serial))?)
            }
        };
        let mut found = Searched::default();
        while found.entries.len() < limit {
            let page = self.keys(index.prefix(), last.as_ref(), PAGE).await?;
            let Some(end) = page.last().cloned() else { break };
            for pointer in page {
                if search.expires_until.is_some_and(|moment| index.ends(&pointer, moment)) {
                    return Ok(found);
                }
                let entry = match self.pointed_to(tenant, &pointer).await {
                    Ok(Some(entry)) => entry,
                    Ok(None) => continue,
                    Err(error) => {
                        lenient::pass_over(error)?;
                        found.damaged.push(index::serial_in(&pointer)?);
                        continue;
                    }
                };
                let counts_here = index.place(&entry)?.as_ref() == Some(&pointer);
                if counts_here
                    && search.fits(&entry)
                    && self.replacement_fits(search, &entry).await?
                {
                    room.take(entry.size())?;
                    found.entries.push(entry);
                    if found.entries.len() == limit {
                        return Ok(found);
                    }
                }
            }
            last = Some(end);
        }
        Ok(found)
    }

    async fn replacement_fits(
        &self,
        search: &Search,
        entry: &InventoryEntry,
    ) -> Result<bool, ReadError> {
        match search.replaced {
            None => Ok(true),
            Some(replaced) => Ok(self.is_replaced(entry).await? == replaced),
        }
    }

    /// Whether each name of the certificate has another that ends later and is not revoked.
    pub(crate) async fn is_replaced(&self, entry: &InventoryEntry) -> Result<bool, ReadError> {
        for name in &entry.names {
            let index = Index::name(&entry.tenant, name);
            let mut last = index.place(entry)?;
            let mut replaced = false;
            while !replaced {
                // Mostly the very next is it.
                let page = self.keys(index.prefix(), last.as_ref(), 2).await?;
                let Some(end) = page.last().cloned() else { break };
                for pointer in page {
                    // What cannot be read replaces nothing.
                    let later = self.readable(&entry.tenant, &pointer).await?;
                    replaced |= later.is_some_and(|later| {
                        later.revoked.is_none() && later.not_after > entry.not_after
                    });
                }
                last = Some(end);
            }
            if !replaced {
                return Ok(false);
            }
        }
        Ok(!entry.names.is_empty())
    }

    /// The certificate behind a pointer; none if it was removed, or its record is damaged.
    pub(crate) async fn readable(
        &self,
        tenant: &TenantId,
        pointer: &Key,
    ) -> Result<Option<InventoryEntry>, ReadError> {
        match self.pointed_to(tenant, pointer).await {
            Err(error) => lenient::pass_over(error).map(|_| None),
            found => found,
        }
    }

    /// The certificate behind a pointer; none if it was removed since the pointer was read.
    pub(crate) async fn pointed_to(
        &self,
        tenant: &TenantId,
        pointer: &Key,
    ) -> Result<Option<InventoryEntry>, ReadError> {
        let serial = index::serial_in(pointer)?;
        Ok(self.find(tenant, &serial).await?.map(|(entry, _)| entry))
    }
}
