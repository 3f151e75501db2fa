//! The operations of the key-value engine, by their names in policies.

/// What can be done with key-value secrets, as policies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvOperation {
    /// Read a value.
    Read,
    /// See the names in a folder.
    List,
    /// Write the first version.
    Create,
    /// Write a further version.
    Update,
    /// Change parts of the value.
    Patch,
    /// Delete versions, so that they can be brought back.
    Delete,
    /// Bring versions back.
    Undelete,
    /// Remove values for good.
    Destroy,
    /// Read the names of a value's members.
    SubkeysRead,
    /// Read everything but values.
    MetadataRead,
    /// Change settings and notes.
    MetadataUpdate,
    /// Remove the secret with all its versions.
    MetadataDelete,
    /// Read the mount's settings.
    ConfigRead,
    /// Change the mount's settings.
    ConfigUpdate,
}

impl KvOperation {
    /// All of them, the commonest first.
    pub const ALL: [Self; 14] = [
        Self::Read,
        Self::List,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::SubkeysRead,
        Self::MetadataRead,
        Self::MetadataUpdate,
        Self::MetadataDelete,
        Self::Undelete,
        Self::Destroy,
        Self::ConfigRead,
        Self::ConfigUpdate,
    ];

    /// The name in policies, audit log and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "secrets.read",
            Self::List => "secrets.list",
            Self::Create => "secrets.create",
            Self::Update => "secrets.update",
            Self::Patch => "secrets.patch",
            Self::Delete => "secrets.delete",
            Self::Undelete => "secrets.undelete",
            Self::Destroy => "secrets.destroy",
            Self::SubkeysRead => "secrets.subkeys.read",
            Self::MetadataRead => "secrets.metadata.read",
            Self::MetadataUpdate => "secrets.metadata.update",
            Self::MetadataDelete => "secrets.metadata.delete",
            Self::ConfigRead => "secrets.config.read",
            Self::ConfigUpdate => "secrets.config.update",
        }
    }
}
