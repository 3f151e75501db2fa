//! The encryption barrier: a store in front of another store, which then holds only encrypted values.
//!
//! A [`Barrier`] is itself a [`Store`](chancery_store::Store). Every value that passes it is sealed with
//! AES-256-GCM under a key of its tenant (the first segment of the record's key), with the record's key as
//! associated data. So an attacker who can read the inner store learns keys, sizes and times. One who can write
//! it can destroy records or put back an older state, but cannot pass one record off as another: a changed, cut
//! or moved record is refused with its name.
//!
//! A sealed record says which key of its tenant seals it, so a tenant's key can be rotated without rewriting
//! anything. The gateway rotates it by itself before it has been used too often, and after a time. The tenants'
//! keys are records too, below `_/seal/`, sealed with the [`RootKey`]; the root key is not in the store, except
//! wrapped by a key in an HSM. [`rekey`] changes the root key and seals the tenants' keys anew.

pub mod backup;
mod barrier;
mod census;
mod envelope;
mod keyring;
mod mend;
mod rekey;
mod root;
mod usage;

pub use barrier::{Barrier, OpenError};
pub use census::{Census, LostKeys};
pub use mend::mend_check;
pub use rekey::{RekeyError, expect_sealed_with, rekey};
pub use root::{NewRoot, RootKey, RootKeyError};

/// Whether a record of the inner store says how to derive the root key from a passphrase, or holds it wrapped by
/// a token. Neither record is sealed.
pub fn makes_root_key(key: &chancery_store::Key) -> bool {
    [names::PASSPHRASE, names::WRAPPED_ROOT].iter().any(|name| name.as_bytes() == key.as_bytes())
}

/// Whether a record of the inner store belongs to the seal itself.
pub fn is_of_seal(key: &chancery_store::Key) -> bool {
    key.as_bytes().starts_with(names::RESERVED)
}

/// Whether a record of the inner store is the key of a tenant.
pub fn is_tenant_key(key: &chancery_store::Key) -> bool {
    key.as_bytes().starts_with(names::TENANT_KEYS)
}

/// Whether a record of the inner store shows that the root key is the right one.
pub fn is_check(key: &chancery_store::Key) -> bool {
    key.as_bytes() == names::CHECK.as_bytes()
}

/// The keys of the records that open the root key of a store and show that it is the right one. A store with only
/// these records is opened by the same root key.
///
/// # Errors
/// None: they are keys.
pub fn records_of_root() -> Result<Vec<chancery_store::Key>, chancery_store::InvalidKey> {
    let names = [names::CHECK, names::PASSPHRASE, names::ROOT_ID, names::WRAPPED_ROOT];
    names.into_iter().map(chancery_store::Key::new).collect()
}

/// The keys of the records that belong to the seal itself. They are neither read nor written through
/// a barrier.
pub(crate) mod names {
    use chancery_store::{InvalidKey, Key};

    /// The prefix of all of them.
    pub(crate) const RESERVED: &[u8] = b"_/seal/";

    /// A constant, sealed with the root key: it tells a wrong root key from a damaged store.
    pub(crate) const CHECK: &str = "_/seal/check";

    /// How a passphrase becomes the root key.
    pub(crate) const PASSPHRASE: &str = "_/seal/passphrase";

    /// The root key, wrapped by a key in an HSM.
    pub(crate) const WRAPPED_ROOT: &str = "_/seal/wrapped-root";

    /// Which root key seals the store, in the clear: not the key, but an id that tells it from others.
    pub(crate) const ROOT_ID: &str = "_/seal/root-id";

    const USES: &[u8] = b"_/seal/use/";

    /// The record that counts how often key number `id` of `tenant` has sealed.
    pub(crate) fn tenant_use(tenant: &[u8], id: u32) -> Result<Key, InvalidKey> {
        Key::new([USES, tenant, format!("/{id:08x}").as_bytes()].concat())
    }

    /// The prefix of these records of `tenant`.
    pub(crate) fn tenant_uses(tenant: &[u8]) -> Vec<u8> {
        [USES, tenant, b"/"].concat()
    }

    /// Of which key of which tenant a record counts the uses.
    pub(crate) fn counted_by(key: &Key) -> Option<(&[u8], u32)> {
        let mut parts = key.as_bytes().strip_prefix(USES)?.splitn(2, |byte| *byte == b'/');
        let (tenant, digits) = (parts.next()?, parts.next()?);
        Some((tenant, u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?))
    }

    /// Whether this is the key of such a record.
    pub(crate) fn is_tenant_use(key: &Key) -> bool {
        key.as_bytes().starts_with(USES)
    }

    /// The prefix of all tenants' keys.
    pub(crate) const TENANT_KEYS: &[u8] = b"_/seal/key/";

    /// The prefix of all keys of `tenant`. A tenant's name has no `/`.
    pub(crate) fn tenant_keys(tenant: &[u8]) -> Vec<u8> {
        [TENANT_KEYS, tenant, b"/"].concat()
    }

    /// The record of key number `id` of `tenant`. The keys of a tenant sort by number.
    pub(crate) fn tenant_key(tenant: &[u8], id: u32) -> Result<Key, InvalidKey> {
        Key::new([&tenant_keys(tenant)[..], format!("{id:08x}").as_bytes()].concat())
    }

    /// The tenant whose key is stored at this key.
    pub(crate) fn tenant_of(key: &Key) -> Option<Vec<u8>> {
        let rest = key.as_bytes().strip_prefix(TENANT_KEYS)?;
        rest.split(|byte| *byte == b'/').next().map(<[u8]>::to_vec)
    }

    /// The number at the end of the store key of a tenant's key.
    pub(crate) fn tenant_key_id(key: &Key) -> Option<u32> {
        let key = key.as_bytes().strip_prefix(TENANT_KEYS)?;
        let digits = key.rsplit(|byte| *byte == b'/').next()?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}
