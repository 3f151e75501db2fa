//! Policies about certificates: what is certified, and how the certificate looks.

use serde::de::DeserializeOwned;

pub use crate::bindings::certificate::exports::chancery::policy::certificate::{
    Decision, Extension, KeyFacts, Name, Request, Template, ValidatedName,
};
pub use crate::{Attribute, Denial, SettingsError};

/// A policy about certificates. The value is what was read from the binding's settings.
pub trait Policy: DeserializeOwned {
    /// Checks what serde cannot see in the settings. An error rejects the binding when it is loaded.
    fn check(&self) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Decides about one certificate.
    fn evaluate(&self, request: &Request) -> Result<Proposal, Denial>;
}

/// What a policy has to say for a certificate.
#[derive(Debug, Clone)]
pub enum Proposal {
    /// This may be certified.
    Issue(Template),
    /// Nothing speaks against it; others say what it looks like.
    NoObjection,
}

impl From<Template> for Proposal {
    fn from(template: Template) -> Self {
        Self::Issue(template)
    }
}

impl From<Result<Proposal, Denial>> for Decision {
    fn from(said: Result<Proposal, Denial>) -> Self {
        match said {
            Ok(Proposal::Issue(template)) => Self::Issue(template),
            Ok(Proposal::NoObjection) => Self::NoObjection,
            Err(denial) => Self::Deny(denial),
        }
    }
}

impl Request {
    /// The first value of an attribute of the context, as `time` or `address`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes.find(|attribute| attribute.name == name).map(|found| found.value.as_str())
    }

    /// The common name in the signing request.
    pub fn common_name(&self) -> Option<&str> {
        let mut subject = self.subject.iter();
        subject.find(|attribute| attribute.name == "CN").map(|found| found.value.as_str())
    }
}

/// Makes the type the component's certificate policy. Name, version and summary are those of the
/// package; the second argument is the JSON Schema of the settings, as
/// `include_str!("../settings.json")`.
///
/// With `compact` before the type, which is [`Compact`](crate::Compact) then, its memory is packed.
#[macro_export]
macro_rules! certificate_policy {
    (compact $policy:ty, $schema:expr) => {
        $crate::component!(certificate, $policy, $schema, fill_compactly);
    };
    ($policy:ty, $schema:expr) => {
        $crate::component!(certificate, $policy, $schema);
    };
}
