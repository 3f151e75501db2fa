//! Transit keys in the form that Vault's clients expect.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_secrets::transit::{KeyVersion, State, TransitKey, TransitKeyName, TransitKeyType};
use jiff::Timestamp;
use serde::Serialize;

/// A key as Vault's clients know it, and what it has beyond.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "as many as the API has")]
pub(super) struct KeyView {
    name: String,
    r#type: &'static str,
    keys: BTreeMap<String, VersionView>,
    latest_version: u64,
    min_available_version: u64,
    min_decryption_version: u64,
    min_encryption_version: u64,
    deletion_allowed: bool,
    exportable: bool,
    imported_key: bool,
    imported_key_allow_rotation: bool,
    derived: bool,
    allow_plaintext_backup: bool,
    supports_encryption: bool,
    supports_decryption: bool,
    supports_derivation: bool,
    supports_signing: bool,
    /// In seconds.
    auto_rotate_period: u64,
    next_rotation_time: Option<Timestamp>,
    state: &'static str,
    destruction_time: Option<Timestamp>,
    protection: &'static str,
    purge_protection: bool,
    /// In seconds.
    deletion_wait: u64,
}

/// Clients tell keys that sign by what stands here.
#[derive(Serialize)]
#[serde(untagged)]
enum VersionView {
    Secret(i64),
    Pair { name: &'static str, public_key: String, creation_time: Timestamp },
}

/// What Vault calls a pair: by its curve, if it has one.
fn curve(kind: TransitKeyType) -> &'static str {
    match kind.as_str() {
        "ecdsa-p256" => "P-256",
        "ecdsa-p384" => "P-384",
        "ecdsa-p521" => "P-521",
        other => other,
    }
}

/// As Vault shows it: in PEM, but of Ed25519 the 32 bytes alone, in base64.
fn public_key(kind: TransitKeyType, version: &KeyVersion) -> Option<String> {
    if kind.as_str() == "ed25519" {
        version.public_key().map(|key| STANDARD.encode(key.key_bits()))
    } else {
        version.public_key_pem()
    }
}

impl KeyView {
    pub(super) fn of(name: &TransitKeyName, key: &TransitKey) -> Self {
        let kind = key.key_type;
        let versions = key.versions.iter().map(|(number, version)| {
            let view = match public_key(kind, version) {
                None => VersionView::Secret(version.created.as_second()),
                Some(public_key) => VersionView::Pair {
                    name: curve(kind),
                    public_key,
                    creation_time: version.created,
                },
            };
            (number.to_string(), view)
        });
        let settings = &key.settings;
        Self {
            name: name.to_string(),
            r#type: kind.as_str(),
            keys: versions.collect(),
            latest_version: key.latest,
            min_available_version: if key.oldest() > 1 { key.oldest() } else { 0 },
            min_decryption_version: settings.min_decryption_version,
            min_encryption_version: settings.min_encryption_version,
            deletion_allowed: settings.deletion_allowed,
            exportable: settings.exportable,
            imported_key: key.imported,
            imported_key_allow_rotation: key.imported && settings.allow_rotation,
            derived: false,
            allow_plaintext_backup: false,
            supports_encryption: kind.encrypts(),
            supports_decryption: kind.encrypts(),
            supports_derivation: false,
            supports_signing: kind.signs(),
            auto_rotate_period: settings.rotation_period.as_secs(),
            next_rotation_time: key.next_rotation(),
            state: key.state.as_str(),
            destruction_time: match key.state {
                State::Deleted { destroyed_at } => Some(destroyed_at),
                State::Enabled | State::Disabled => None,
            },
            protection: key.protection.as_str(),
            purge_protection: settings.purge_protection,
            deletion_wait: settings.deletion_wait.as_secs(),
        }
    }
}
