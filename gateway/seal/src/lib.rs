//! The encryption barrier: a store in front of a store, behind which nothing is in the clear.
//!
//! A [`Barrier`] is itself a [`Store`](chancery_store::Store). Every value that passes it is sealed
//! with AES-256-GCM under a key of its tenant (the first segment of the record's key), with the
//! record's key as associated data. So whoever can read the inner store learns keys, sizes and
//! times, and whoever can write it can destroy records or put back an older state, but cannot make
//! one record pass for another: what was changed, cut short or moved is refused by the name of the
//! record.
//!
//! A sealed record says which key of its tenant it is under, so a tenant's key can be rotated
//! without rewriting anything. That happens by itself before the key has been used too often, and after a time.
//! The tenants' keys are records too, below `_/seal/`, sealed with the [`RootKey`]; the root key is not in the
//! store, except wrapped by a key in an HSM. It is changed by [`rekey`], which seals the tenants' keys anew.

pub mod backup;
mod barrier;
mod envelope;
mod keyring;
mod mend;
mod rekey;
mod root;
mod usage;

pub use barrier::{Barrier, OpenError};
pub use mend::mend_check;
pub use rekey::{RekeyError, expect_sealed_with, rekey};
pub use root::{NewRoot, RootKey, RootKeyError};

/// Whether a record of the inner store says how the root key is made of a passphrase, or holds it wrapped by a
/// token. Neither is sealed.
pub fn makes_root_key(key: &chancery_store::Key) -> bool {
    [names::PASSPHRASE, names::WRAPPED_ROOT].iter().any(|name| name.as_bytes() == key.as_bytes())
}

/// The keys of the records by which the root key of a store is opened and shown to be the right one: a store that
/// has these and no others is opened by the same root key.
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

    /// Where all of them are.
    pub(crate) const RESERVED: &[u8] = b"_/seal/";

    /// A constant, sealed with the root key: it tells a wrong root key from a damaged store.
    pub(crate) const CHECK: &str = "_/seal/check";

    /// How a passphrase becomes the root key.
    pub(crate) const PASSPHRASE: &str = "_/seal/passphrase";

    /// The root key, wrapped by a key in an HSM.
    pub(crate) const WRAPPED_ROOT: &str = "_/seal/wrapped-root";

    /// Which root key the store is sealed with, in the clear: not the key, but what tells it from others.
    pub(crate) const ROOT_ID: &str = "_/seal/root-id";

    const USES: &[u8] = b"_/seal/use/";

    /// Where it is counted how often the key number `id` of `tenant` has sealed.
    pub(crate) fn tenant_use(tenant: &[u8], id: u32) -> Result<Key, InvalidKey> {
        Key::new([USES, tenant, format!("/{id:08x}").as_bytes()].concat())
    }

    /// Whether this is such a place.
    pub(crate) fn is_tenant_use(key: &Key) -> bool {
        key.as_bytes().starts_with(USES)
    }

    /// Where the keys of all tenants are.
    pub(crate) const TENANT_KEYS: &[u8] = b"_/seal/key/";

    /// What the keys of all keys of `tenant` start with. A tenant's name has no `/`.
    pub(crate) fn tenant_keys(tenant: &[u8]) -> Vec<u8> {
        [TENANT_KEYS, tenant, b"/"].concat()
    }

    /// Where the key number `id` of `tenant` is. The keys of a tenant sort by number.
    pub(crate) fn tenant_key(tenant: &[u8], id: u32) -> Result<Key, InvalidKey> {
        Key::new([&tenant_keys(tenant)[..], format!("{id:08x}").as_bytes()].concat())
    }

    /// Whose key is at this key.
    pub(crate) fn tenant_of(key: &Key) -> Option<Vec<u8>> {
        let rest = key.as_bytes().strip_prefix(TENANT_KEYS)?;
        rest.split(|byte| *byte == b'/').next().map(<[u8]>::to_vec)
    }

    /// The number at the end of the key of a tenant's key.
    pub(crate) fn tenant_key_id(key: &Key) -> Option<u32> {
        let key = key.as_bytes().strip_prefix(TENANT_KEYS)?;
        let digits = key.rsplit(|byte| *byte == b'/').next()?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}
