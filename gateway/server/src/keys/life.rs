//! `chancery keys create` and `configure`, and how a key is shown to people.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_x509::pem;
use clap::Args;
use serde_json::{Map, Value};

use super::Keys;

/// `chancery keys create`.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What kind: `aes256-gcm96` (the default), `hmac`, `ecdsa-p256`, `rsa-3072`, `ed25519`, `ml-dsa-65`, ….
    #[arg(long = "type", value_name = "TYPE")]
    key_type: Option<String>,
    /// Make it in the HSM, from which it cannot be taken.
    #[arg(long)]
    hsm: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The settings of a key; what is not given stays as it is.
#[derive(Debug, Args)]
pub(super) struct SettingsArgs {
    /// The key.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// Versions before this one do not decrypt or verify any more.
    #[arg(long, value_name = "N")]
    min_decryption_version: Option<u64>,
    /// Versions before this one do not encrypt or sign.
    #[arg(long, value_name = "N")]
    min_encryption_version: Option<u64>,
    /// Whether it may be deleted.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    deletion_allowed: Option<bool>,
    /// It may be handed to another gateway, wrapped. Cannot be taken back.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    exportable: Option<bool>,
    /// It may be rotated here although it was brought in.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_rotation: Option<bool>,
    /// Rotate it by itself so often, such as `720h`; `0` for never.
    #[arg(long, value_name = "TIME")]
    rotate_every: Option<String>,
    /// How long it waits between being deleted and being destroyed, such as `168h`.
    #[arg(long, value_name = "TIME")]
    deletion_wait: Option<String>,
    /// Nobody can shorten that wait, or purge it. Cannot be taken back.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    purge_protection: Option<bool>,
}

impl SettingsArgs {
    /// The members of a request that say what was given.
    pub(super) fn members(&self) -> Map<String, Value> {
        let members = [
            ("min_decryption_version", self.min_decryption_version.map(Value::from)),
            ("min_encryption_version", self.min_encryption_version.map(Value::from)),
            ("deletion_allowed", self.deletion_allowed.map(Value::from)),
            ("exportable", self.exportable.map(Value::from)),
            ("allow_rotation", self.allow_rotation.map(Value::from)),
            ("auto_rotate_period", self.rotate_every.clone().map(Value::from)),
            ("deletion_wait", self.deletion_wait.clone().map(Value::from)),
            ("purge_protection", self.purge_protection.map(Value::from)),
        ];
        let given = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Keys {
    pub(super) async fn create(&self, args: CreateArgs) -> Result<()> {
        let mut body = args.settings.members();
        body.extend(args.key_type.map(|key_type| ("type".to_owned(), key_type.into())));
        if args.hsm {
            body.insert("protection".to_owned(), "hsm".into());
        }
        let path = self.path(&format!("keys/{}", args.settings.name));
        let made = self.remote.write(&path, &Value::Object(body)).await?;
        self.show(&made)
    }

    pub(super) async fn configure(&self, args: SettingsArgs) -> Result<()> {
        let path = self.path(&format!("keys/{}/config", args.name));
        let changed = self.remote.write(&path, &Value::Object(args.members())).await?;
        self.show(&changed)
    }
}

/// A key for people.
pub(super) fn lines(key: &Value) -> String {
    let text = |name: &str| match key.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let is = |name: &str| key.get(name) == Some(&Value::Bool(true));
    let mut lines = vec![format!(
        "{}: {}, in {}, {}",
        text("name"),
        text("type"),
        if text("protection") == "hsm" { "the HSM" } else { "software" },
        text("state"),
    )];
    if let Some(Value::String(at)) = key.get("destruction_time") {
        lines.push(format!("destroyed at {at} unless it is brought back"));
    }
    let versions = key.get("keys").and_then(Value::as_object);
    let latest = text("latest_version");
    lines.push(format!(
        "versions: {} (latest {latest}; decrypt and verify from {})",
        versions.map_or(0, Map::len),
        text("min_decryption_version"),
    ));
    if let Some(Value::String(at)) = key.get("next_rotation_time") {
        lines.push(format!("rotated by itself at {at}"));
    }
    let marks = [
        ("imported_key", "brought in"),
        ("exportable", "exportable"),
        ("deletion_allowed", "may be deleted"),
        ("purge_protection", "protected from being purged"),
    ];
    let marks: Vec<_> = marks.iter().filter(|(name, _)| is(name)).map(|(_, said)| *said).collect();
    if !marks.is_empty() {
        lines.push(marks.join(", "));
    }
    let public = versions.and_then(|versions| versions.get(&latest)?.get("public_key")?.as_str());
    lines.extend(public.map(in_pem));
    lines.join("\n")
}

/// A public key in PEM, also one of Ed25519, of which the API shows the 32 bytes alone, as Vault does.
fn in_pem(shown: &str) -> String {
    // The `SubjectPublicKeyInfo` of RFC 8410 §4 up to the key.
    const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    match STANDARD.decode(shown) {
        Ok(key) if key.len() == 32 => {
            pem::encode(pem::PUBLIC_KEY, &[ED25519, &key].concat()).trim_end().to_owned()
        }
        _ => shown.trim_end().to_owned(),
    }
}
