//! Versioned key-value secrets.
//!
//! A secret is one metadata record ([`SecretMetadata`], the state machine of its versions) and one
//! record per version that holds its value. Whatever changes a secret is one optimistic commit that
//! checks its metadata record, so concurrent writers cannot lose each other's versions, and a reader
//! needs two reads: the metadata and the value.

mod config;
mod custom;
mod data;
mod engine;
mod error;
mod list;
mod metadata;
mod mount_config;
mod operation;
mod path;
mod read;
mod secret_metadata;
mod storage;
mod version;
mod versions;
mod write;

pub use config::{
    DEFAULT_MAX_VERSIONS, InvalidSetting, KvConfig, KvConfigUpdate, MAX_MAX_VERSIONS,
    MAX_RETENTION, Retention,
};
pub use custom::{CustomMetadata, InvalidCustomMetadata};
pub use data::{InvalidData, MAX_DATA_BYTES, SecretData};
pub use engine::Kv;
pub use error::KvError;
pub use metadata::{MetadataUpdate, NotesUpdate, SecretMetadata};
pub use operation::KvOperation;
pub use path::{Folder, InvalidPath, MAX_PATH_BYTES, SecretPath};
pub use read::ReadVersion;
pub use version::{Version, VersionMetadata, VersionState};
