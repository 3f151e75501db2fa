//! Reads, writes, patches and deletes the metadata of KV secrets, and lists secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chancery_secrets::kv::{
    CustomMetadata, Folder, Kv, KvError, MetadataUpdate, NotesUpdate, SecretMetadata,
};
use jiff::Timestamp;
use serde::Serialize;

use super::view::{NotesView, VersionEntry};
use super::{MOUNT_TYPE, secret_path};
use crate::vault::call::{Call, Verb};
use crate::vault::error::VaultError;
use crate::vault::fields::Fields;
use crate::vault::state::VaultState;
use crate::vault::{duration, envelope, page, path};

/// `/v1/MOUNT/metadata/PATH`: everything about a secret but its values; and listings.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    let kv = state.secrets.kv(call.mount()?);
    match call.verb {
        Verb::List => list(kv, &call).await,
        Verb::Get => {
            let path = secret_path(&call)?;
            let secret = kv.read_metadata(&call.context, &call.caller, &path).await?;
            Ok(envelope::data(call.head(), MOUNT_TYPE, View::of(&secret)))
        }
        Verb::Write => write(kv, &call).await,
        Verb::Patch => patch(kv, &call).await,
        Verb::Delete => {
            let path = secret_path(&call)?;
            kv.delete_metadata(&call.context, &call.caller, &path).await?;
            Ok(envelope::no_content())
        }
    }
}

async fn list(kv: Kv<'_>, call: &Call) -> Result<Response, VaultError> {
    #[derive(Serialize)]
    struct Names {
        keys: Vec<String>,
    }
    let (_, raw) = call.raw_target();
    let folder = Folder::parse(&path::decode(raw)?)?;
    let keys = kv.list(&call.context, &call.caller, &folder, &page::of(call)?).await?;
    Ok(envelope::data(call.head(), MOUNT_TYPE, Names { keys }))
}

async fn write(kv: Kv<'_>, call: &Call) -> Result<Response, VaultError> {
    let path = secret_path(call)?;
    let fields = call.fields()?;
    let notes = fields.full_map("custom_metadata", NOTES)?;
    let notes = notes.or(fields.is_null("custom_metadata").then(BTreeMap::new));
    let custom_metadata = notes
        .map(|notes| CustomMetadata::new(notes).map(NotesUpdate::Replace))
        .transpose()
        .map_err(KvError::from)?;
    let update = MetadataUpdate { custom_metadata, ..settings(&fields)? };
    kv.write_metadata(&call.context, &call.caller, &path, &update).await?;
    Ok(envelope::no_content())
}

async fn patch(kv: Kv<'_>, call: &Call) -> Result<Response, VaultError> {
    if !call.is_merge_patch() {
        return Err(VaultError::PatchFormat);
    }
    let path = secret_path(call)?;
    let fields = call.fields()?;
    let changes = fields.map("custom_metadata", NOTES)?;
    let settings = settings(&fields)?;
    // What a patch sets to null goes back to what it is without being set (RFC 7396 §2).
    let update = MetadataUpdate {
        delete_version_after: settings
            .delete_version_after
            .or(fields.is_null("delete_version_after").then_some(Duration::ZERO)),
        custom_metadata: match changes {
            Some(changes) => Some(NotesUpdate::Change(changes)),
            None if fields.is_null("custom_metadata") => {
                Some(NotesUpdate::Replace(CustomMetadata::default()))
            }
            None => None,
        },
        ..settings
    };
    kv.patch_metadata(&call.context, &call.caller, &path, &update).await?;
    Ok(envelope::no_content())
}

const NOTES: &str = "an object with texts as values";

/// The settings in a body; the notes are read otherwise.
fn settings(fields: &Fields<'_>) -> Result<MetadataUpdate, VaultError> {
    Ok(MetadataUpdate {
        max_versions: max_versions(fields)?,
        cas_required: cas_required(fields)?,
        delete_version_after: fields.span("delete_version_after")?,
        custom_metadata: None,
    })
}

/// Whether a body wants every write to say what it replaces; null does not, as in Vault.
pub(super) fn cas_required(fields: &Fields<'_>) -> Result<Option<bool>, VaultError> {
    Ok(fields.flag("cas_required")?.or(fields.is_null("cas_required").then_some(false)))
}

/// The limit in a body; one that is too large for the type is too large for the engine as well, and null
/// is none, as in Vault.
pub(super) fn max_versions(fields: &Fields<'_>) -> Result<Option<u32>, VaultError> {
    let limit = fields.count("max_versions")?.or(fields.is_null("max_versions").then_some(0));
    Ok(limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)))
}

/// A secret's metadata as clients know it.
#[derive(Serialize)]
struct View<'a> {
    cas_required: bool,
    created_time: Timestamp,
    current_version: u64,
    custom_metadata: NotesView<'a>,
    delete_version_after: String,
    max_versions: u32,
    oldest_version: u64,
    updated_time: Timestamp,
    versions: BTreeMap<String, VersionEntry>,
}

impl<'a> View<'a> {
    fn of(secret: &'a SecretMetadata) -> Self {
        let entry = |(number, version): (&u64, _)| (number.to_string(), VersionEntry::of(version));
        Self {
            cas_required: secret.cas_required,
            created_time: secret.created,
            current_version: secret.current_version,
            custom_metadata: NotesView(&secret.custom_metadata),
            delete_version_after: duration::show(secret.delete_version_after.unwrap_or_default()),
            max_versions: secret.max_versions.unwrap_or(0),
            oldest_version: secret.oldest_version,
            updated_time: secret.updated,
            versions: secret.versions.iter().map(entry).collect(),
        }
    }
}
