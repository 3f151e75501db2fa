//! Bindings: which component decides about which requests, with what settings, within what limits.

mod digest;
mod document;
mod error;
mod file;
mod group;
mod known;
mod limits;
mod members;
mod place;
mod scope;
mod settings;
mod sources;

use std::path::PathBuf;
use std::sync::Arc;

pub use digest::{Digest, InvalidDigest};
pub(crate) use document::read_document;
pub use error::InvalidDocument;
pub use file::FileError;
pub(crate) use file::replace;
pub(crate) use group::{Group, Rule};
pub(crate) use known::WrongSetting;
pub use known::{Known, Names};
pub(crate) use limits::Limits;
pub(crate) use members::{Member, Node, Resolved, resolve};
pub use place::Place;
pub(crate) use scope::Scope;
pub(crate) use settings::settings_as_json;
pub(crate) use sources::{Files, Sources};

use crate::contract::Capabilities;

/// One binding, as its document says it.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) scope: Scope,
    /// Whether the document says so, or it matches everything because it says nothing.
    pub(crate) has_match: bool,
    pub(crate) mode: Mode,
    /// As the document names it, relative to the document's directory.
    pub(crate) plugin: PathBuf,
    pub(crate) digest: Digest,
    /// The signature over the plugin, relative to the document's directory.
    pub(crate) signature: Option<PathBuf>,
    /// Whether an older version may take the place of a newer one.
    pub(crate) allow_downgrade: bool,
    /// Golden cases that have to hold, relative to the document's directory.
    pub(crate) self_test: Option<PathBuf>,
    pub(crate) limits: Limits,
    /// What the policy may look up.
    pub(crate) capabilities: Arc<Capabilities>,
    /// A JSON object.
    pub(crate) settings: String,
}

/// Whether the answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Enforce,
    Monitor,
    /// It counts in a group only.
    Member,
}

impl Mode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Monitor => "monitor",
            Self::Member => "member",
        }
    }
}
