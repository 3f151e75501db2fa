//! What the handlers of Vault's API share: engines, access, HSM tokens, backups and the gateway's condition.

use std::sync::Arc;

use bytes::Bytes;
use chancery_access::{Access, InstallationGrant};
use chancery_identity::Clock;
use chancery_secrets::Secrets;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Serves, TokenHealth};

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct VaultState {
    /// The engines behind the mounts.
    pub secrets: Arc<Secrets>,
    /// Authentication and tokens.
    pub access: Arc<Access>,
    /// The HSM's tokens.
    pub tokens: Tokens,
    /// Begins a backup of the store.
    pub backup: Arc<BeginBackup>,
    /// The time of day.
    pub clock: Clock,
    /// Whether the gateway serves, as it stands at any moment.
    pub condition: watch::Receiver<Condition>,
    /// What is done with requests while it serves.
    pub serving: Serves,
    /// What the gateway says about itself.
    pub installation: Arc<Installation>,
}

/// Begins a backup of the store; none while another one is being made. The error is for the log.
pub type BeginBackup =
    dyn Fn(InstallationGrant) -> Result<Option<BackupStream>, String> + Send + Sync;

/// A backup that is being made.
pub struct BackupStream {
    /// The number of the newest commit that is in it.
    pub newest: u64,
    /// The pieces, in order.
    pub pieces: mpsc::Receiver<Bytes>,
    /// How it ended, once there are no more pieces: without an error it is whole.
    pub outcome: oneshot::Receiver<Result<(), String>>,
}

type ListTokens = dyn Fn(InstallationGrant) -> Vec<TokenHealth> + Send + Sync;
type ListKeys =
    dyn Fn(InstallationGrant) -> BoxFuture<'static, Result<Vec<KeyInToken>, String>> + Send + Sync;
type DrainToken = dyn Fn(InstallationGrant, &str, bool) -> bool + Send + Sync;

/// What can be done with the HSM's tokens, which hold keys of all tenants. Closures, because keys are not this
/// room's to import.
#[derive(Clone)]
pub struct Tokens {
    /// How they are; none without an HSM.
    pub list: Arc<ListTokens>,
    /// Takes the token with this name out of use (`true`) or back into use, and tells whether there is
    /// one.
    pub drain: Arc<DrainToken>,
    /// What keys are in them; the error is for the log.
    pub keys: Arc<ListKeys>,
}

/// A private or secret key in a token, as the token describes it (PKCS#11 §4.9).
#[derive(Debug, Clone, Serialize)]
pub struct KeyInToken {
    /// The token's label or serial number, as configured.
    pub token: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID` in hex.
    pub id: String,
    /// `private` or `secret`.
    pub class: &'static str,
    /// Whether it can neither be read nor be taken out.
    pub protected: bool,
    /// Whether that was always so, in this token, where it was made.
    pub always_protected: bool,
    /// Whether the gateway can use it by its label.
    pub usable: bool,
}

/// Whether the gateway serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It serves.
    Active,
    /// Another gateway serves, this one would step in.
    Standby,
    /// Its store is locked until somebody unseals it.
    Sealed,
    /// It has no store yet.
    Uninitialised,
}

/// What the gateway says about itself to anybody who asks for its health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The program's version, `MAJOR.MINOR.PATCH`.
    pub version: String,
    /// The name of the installation.
    pub cluster_name: String,
    /// A stable id of the installation.
    pub cluster_id: String,
    /// How the store's root key is kept: `file`, `passphrase` or `pkcs11`.
    pub seal_type: String,
    /// The backend of the store.
    pub storage_type: String,
}
