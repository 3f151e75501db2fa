//! By what certificates are found: keys in the store that point to a certificate, written in the commit
//! that stores it. Behind each index they are in the order of expiry.

use aws_lc_rs::digest::{SHA256, digest};
use chancery_identity::TenantId;
use chancery_store::{Key, ReadError};
use chancery_x509::{GeneralName, Serial};
use jiff::Timestamp;

use crate::record::InventoryEntry;
use crate::store_key;

/// All pointers of one index, as the beginning of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    prefix: String,
    /// Whether the pointers are in the order of expiry from the first to the last: not below a domain,
    /// whose names come one after the other.
    by_expiry: bool,
}

impl Index {
    /// All certificates of a tenant.
    pub(crate) fn all(tenant: &TenantId) -> Self {
        Self::ordered(format!("{tenant}/issuance/index/expiry/"))
    }

    /// Those of an issuer.
    pub(crate) fn issuer(tenant: &TenantId, issuer: &str) -> Self {
        Self::ordered(format!("{tenant}/issuance/index/issuer/{issuer}/"))
    }

    /// Those of a requester, hashed because its text may be long.
    pub(crate) fn requester(tenant: &TenantId, requester: &str) -> Self {
        let requester = short_hash(requester.as_bytes());
        Self::ordered(format!("{tenant}/issuance/index/requester/{requester}/"))
    }

    /// Those with a name. DNS names stand with their labels in reverse, so that what is below a domain
    /// stands together.
    pub(crate) fn name(tenant: &TenantId, name: &GeneralName) -> Self {
        Self::ordered(match name {
            GeneralName::Dns(name) if is_plain(name) => format!("{}/", below(tenant, name)),
            other => {
                let hash = short_hash(other.value().to_ascii_lowercase().as_bytes());
                format!("{tenant}/issuance/index/name/{}/{hash}/", other.kind())
            }
        })
    }

    /// Those with a DNS name that is this one or ends with it, wildcards included.
    pub(crate) fn domain(tenant: &TenantId, domain: &str) -> Self {
        Self { prefix: below(tenant, domain), by_expiry: false }
    }

    /// Those for the key whose `SubjectPublicKeyInfo` has this SHA-256 (hex).
    pub(crate) fn key(tenant: &TenantId, spki_sha256: &str) -> Self {
        Self::ordered(format!("{}{tenant}/", key_of_all(spki_sha256)))
    }

    fn ordered(prefix: String) -> Self {
        Self { prefix, by_expiry: true }
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        self.prefix.as_bytes()
    }

    /// The key before the first pointer to a certificate that is valid at this moment or later.
    pub(crate) fn from(&self, moment: Option<Timestamp>) -> Result<Option<Key>, ReadError> {
        let moment = moment.filter(|_| self.by_expiry);
        moment.map(|moment| store_key(format!("{}{}", self.prefix, seconds(moment)))).transpose()
    }

    /// Whether neither this pointer nor any after it points to what is valid until `moment` at most.
    pub(crate) fn ends(&self, pointer: &Key, moment: Timestamp) -> bool {
        self.by_expiry
            && pointer.as_bytes().strip_prefix(self.prefix()).is_some_and(|tail| {
                tail.get(..10).is_some_and(|at| at > seconds(moment).as_bytes())
            })
    }

    /// Where the certificate stands in this index: with several names below a domain it has several
    /// pointers, of which the first counts.
    pub(crate) fn place(&self, entry: &InventoryEntry) -> Result<Option<Key>, ReadError> {
        let mut here: Vec<String> =
            pointers(entry).into_iter().filter(|key| key.starts_with(&self.prefix)).collect();
        here.sort_unstable();
        here.into_iter().next().map(store_key).transpose()
    }
}

/// The keys of everything that points to this certificate.
pub(crate) fn pointers(entry: &InventoryEntry) -> Vec<String> {
    let InventoryEntry { tenant, .. } = entry;
    let indexes = [
        Index::all(tenant),
        Index::issuer(tenant, &entry.issuer),
        Index::requester(tenant, &entry.requester),
        Index::key(tenant, &entry.spki_sha256),
    ];
    let names = entry.names.iter().map(|name| Index::name(tenant, name));
    let tail = tail(entry.not_after, &entry.serial);
    indexes.into_iter().chain(names).map(|index| index.prefix + &tail).collect()
}

/// The key of the pointer to a certificate in the index by key.
pub(crate) fn of_key(
    tenant: &TenantId,
    spki_sha256: &str,
    not_after: Timestamp,
    serial: &Serial,
) -> String {
    Index::key(tenant, spki_sha256).prefix + &tail(not_after, serial)
}

/// How a pointer ends.
fn tail(not_after: Timestamp, serial: &Serial) -> String {
    format!("{}/{serial}", seconds(not_after))
}

/// Whether this is the key of a pointer, which says everything: its value is empty.
pub(crate) fn is_index(key: &Key) -> bool {
    let mut parts = key.as_bytes().split(|byte| *byte == b'/').skip(1);
    parts.next() == Some(b"issuance") && parts.next() == Some(b"index")
}

/// Whether this is the key of the record that says which form the pointers of a tenant have.
pub(crate) fn is_form(key: &Key) -> bool {
    key.as_bytes().ends_with(b"/issuance/index-form")
}

/// The serial number that a pointer ends with.
pub(crate) fn serial_in(pointer: &Key) -> Result<Serial, ReadError> {
    let text = String::from_utf8_lossy(pointer.as_bytes());
    let serial = text.rsplit_once('/').and_then(|(_, serial)| serial.parse().ok());
    serial.ok_or_else(|| ReadError::Damaged {
        key: pointer.clone(),
        reason: "it does not end with a serial number".to_owned(),
    })
}

/// The tenant in a pointer of an index by key.
pub(crate) fn tenant_in(pointer: &Key) -> Result<TenantId, ReadError> {
    let text = String::from_utf8_lossy(pointer.as_bytes());
    let tenant = text.rsplit('/').nth(2).and_then(|tenant| tenant.parse().ok());
    tenant.ok_or_else(|| ReadError::Damaged {
        key: pointer.clone(),
        reason: "it names no tenant".to_owned(),
    })
}

/// The tenant of the certificate that a pointer of any index points to.
pub(crate) fn owner_in(pointer: &Key) -> Result<TenantId, ReadError> {
    let text = String::from_utf8_lossy(pointer.as_bytes());
    match text.split('/').next().and_then(|first| first.parse().ok()) {
        Some(tenant) => Ok(tenant),
        None => tenant_in(pointer),
    }
}

/// When the certificate expires that a pointer of an index by expiry points to, in seconds.
pub(crate) fn expiry_in(pointer: &Key) -> Option<i64> {
    let text = std::str::from_utf8(pointer.as_bytes()).ok()?;
    let (before, _) = text.rsplit_once('/')?;
    let (_, at) = before.rsplit_once('/')?;
    i64::from_str_radix(at, 16).ok()
}

/// The beginning of the pointers to certificates for a key, of whatever tenant: a tenant follows.
pub(crate) fn key_of_all(spki_sha256: &str) -> String {
    format!("_/issuance/index/key/{spki_sha256}/")
}

/// `com.example.www.` for `www.example.com`: what is below it begins so too.
fn below(tenant: &TenantId, domain: &str) -> String {
    let mut text = format!("{tenant}/issuance/index/name/dns/");
    for label in domain.to_ascii_lowercase().rsplit('.') {
        text.push_str(label);
        text.push('.');
    }
    text
}

/// Whether it can stand in a key: another CA's certificates may hold what is no host name.
fn is_plain(name: &str) -> bool {
    name.len() <= 253 && !name.contains('/')
}

/// Hex digits that sort as the seconds do; times before 1970 are not those of certificates here.
fn seconds(moment: Timestamp) -> String {
    format!("{:010x}", u64::try_from(moment.as_second()).unwrap_or(0))
}

fn short_hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes).as_ref().get(..16).unwrap_or_default())
}
