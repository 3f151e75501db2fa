//! Policies about access: who may do what to what.

use serde::de::DeserializeOwned;

pub use crate::bindings::access::exports::chancery::policy::access::{
    Approval, Decision, Grant, Request,
};
pub use crate::{Attribute, Denial, SettingsError};

/// A policy about access. The value is what was read from the binding's settings.
pub trait Policy: DeserializeOwned {
    /// Checks what serde cannot see in the settings. An error rejects the binding when it is loaded.
    fn check(&self) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Decides about one request.
    fn evaluate(&self, request: &Request) -> Result<Grant, Refusal>;
}

/// Why a request is not allowed.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// It may not be done.
    Denied(Denial),
    /// It may be done once others have approved.
    NeedsApproval(Approval),
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Approval> for Refusal {
    fn from(approval: Approval) -> Self {
        Self::NeedsApproval(approval)
    }
}

impl From<Result<Grant, Refusal>> for Decision {
    fn from(said: Result<Grant, Refusal>) -> Self {
        match said {
            Ok(grant) => Self::Allow(grant),
            Err(Refusal::Denied(denial)) => Self::Deny(denial),
            Err(Refusal::NeedsApproval(approval)) => Self::NeedsApproval(approval),
        }
    }
}

impl Grant {
    /// Permission without a ceiling on time-to-live.
    pub fn unlimited() -> Self {
        Self { max_ttl_seconds: None, reuse_seconds: None, obligations: Vec::new() }
    }

    /// Permission for at most this many seconds.
    pub fn for_seconds(seconds: u64) -> Self {
        Self { max_ttl_seconds: Some(seconds), ..Self::unlimited() }
    }
}

impl Request {
    /// The first value of an attribute of the context. For attributes with one value, as `time` and
    /// `address`: of a certificate's names, the caller may choose which is the first.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes_named(name).next()
    }

    /// All values of an attribute of the context. If callers choose some of them, allow only what holds
    /// for all values, and deny what holds for any.
    pub fn attributes_named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.name == name)
            .map(|attribute| attribute.value.as_str())
    }
}

/// Makes the type the component's access policy. Name, version and summary are those of the package;
/// the second argument is the JSON Schema of the settings, as `include_str!("../settings.json")`.
///
/// With `compact` before the type, which then is a [`Compact`](crate::Compact), its memory is packed.
#[macro_export]
macro_rules! access_policy {
    (compact $policy:ty, $schema:expr) => {
        $crate::component!(access, $policy, $schema, fill_compactly);
    };
    ($policy:ty, $schema:expr) => {
        $crate::component!(access, $policy, $schema);
    };
}
