//! The keys in a token: how they are found, read, and made.

pub(crate) mod attributes;
pub(crate) mod directory;
pub(crate) mod generate;
pub(crate) mod inspection;
pub(crate) mod public_key;
pub(crate) mod usage;
