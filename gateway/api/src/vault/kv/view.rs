//! Versions and custom metadata of a KV secret in the form that Vault's clients expect.

use chancery_secrets::kv::{CustomMetadata, Version, VersionMetadata};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A version as clients know it.
#[derive(Serialize)]
pub(super) struct VersionView<'a> {
    created_time: Timestamp,
    custom_metadata: NotesView<'a>,
    deletion_time: TimeView,
    destroyed: bool,
    version: u64,
}

impl<'a> VersionView<'a> {
    pub(super) fn of(metadata: &'a VersionMetadata) -> Self {
        Self {
            created_time: metadata.version.created,
            custom_metadata: NotesView(&metadata.custom_metadata),
            deletion_time: TimeView(metadata.version.deletion),
            destroyed: metadata.version.destroyed,
            version: metadata.number,
        }
    }
}

/// A version within its secret's metadata.
#[derive(Serialize)]
pub(super) struct VersionEntry {
    created_time: Timestamp,
    deletion_time: TimeView,
    destroyed: bool,
}

impl VersionEntry {
    pub(super) fn of(version: &Version) -> Self {
        Self {
            created_time: version.created,
            deletion_time: TimeView(version.deletion),
            destroyed: version.destroyed,
        }
    }
}

/// Notes, or null if there are none.
pub(super) struct NotesView<'a>(pub(super) &'a CustomMetadata);

impl Serialize for NotesView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { serializer.serialize_none() } else { self.0.serialize(serializer) }
    }
}

/// A time, or an empty text for none.
struct TimeView(Option<Timestamp>);

impl Serialize for TimeView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(time) => serializer.collect_str(&time),
            None => serializer.serialize_str(""),
        }
    }
}
