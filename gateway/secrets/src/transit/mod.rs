//! Keys for their life, as Vault's transit engine has them: made, used, rotated, disabled, destroyed,
//! brought in and backed up by name, and never handed out in the clear.
//!
//! A key is one record ([`TransitKey`], the state machine of its life) and, if it is kept in software, one
//! sealed record for each version that holds the private half. Keys in the HSM are made there and stay
//! there; their records say under which label. Policies are asked about every use, and told what kind of
//! key it is and which algorithm is wanted.

mod cost;
mod custody;
mod encoding;
mod encryption;
mod engine;
mod error;
mod held;
mod import;
mod key_type;
mod lifecycle;
mod mac;
mod name;
mod parts;
mod record;
mod reindex;
mod rotation;
mod scheme;
mod settings;
mod signing;
mod storage;
mod sweep;
mod text;
mod transfer;
mod verification;

pub use chancery_keys::software::{OaepHash, Sha2};
pub use chancery_x509::PssSalt;

pub use custody::Custody;
pub use encoding::from_base64;
pub use encryption::{DataKey, Encryption};
pub use engine::Transit;
pub use error::{Each, TransitError};
pub use import::{Import, Imported, WrappingKey};
pub use key_type::{Protection, TransitKeyType, UnknownProtection, UnknownTransitKeyType};
pub use lifecycle::NewKey;
pub use name::{InvalidTransitKeyName, TransitKeyName};
pub use record::{KeyVersion, State, TransitKey};
pub use reindex::reindex;
pub use scheme::{Marshaling, Padding, Signing};
pub use settings::{KeySettings, SettingsUpdate};
pub use storage::is_index;
pub use text::{MalformedText, VersionedText};
