//! A CA of somebody else.

use crate::Settings;

/// A CA of somebody else, and how it is found out what it revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignCa {
    /// Where its certificates come from, for people.
    pub origin: String,
    /// Its certificates, in DER.
    pub certificates: Vec<Vec<u8>>,
    /// How it is found out.
    pub settings: Settings,
}
