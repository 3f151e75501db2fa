//! Policies about access: who may do what to what.

use serde::de::DeserializeOwned;

pub use crate::SettingsError;
pub use crate::bindings::access::chancery::policy::types::{Attribute, Denial};
pub use crate::bindings::access::exports::chancery::policy::access::{Grant, Request};

/// A policy about access. The value is what was read from the binding's settings.
pub trait Policy: DeserializeOwned {
    /// Checks what serde cannot see in the settings. An error rejects the binding when it is loaded.
    fn check(&self) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Decides about one request.
    fn evaluate(&self, request: &Request) -> Result<Grant, Denial>;
}

impl Grant {
    /// Permission without a ceiling on time-to-live.
    pub fn unlimited() -> Self {
        Self { max_ttl_seconds: None, properties: Vec::new() }
    }

    /// Permission for at most this many seconds.
    pub fn for_seconds(seconds: u64) -> Self {
        Self { max_ttl_seconds: Some(seconds), properties: Vec::new() }
    }
}

impl Denial {
    /// A refusal: a code for programs, a message for the caller, a text for the audit log only.
    pub fn new(code: &str, message: &str, audit: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), audit: audit.into() }
    }
}

/// Makes the type the component's access policy.
#[macro_export]
macro_rules! access_policy {
    ($policy:ty) => {
        const _: () = {
            use $crate::access::{Denial, Grant, Policy, Request, SettingsError};
            use $crate::bindings::access::exports::chancery::policy::access::Guest;

            static CONFIGURED: $crate::Slot<$policy> = $crate::Slot::empty();

            #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code))]
            struct Exported;

            impl Guest for Exported {
                fn configure(settings: String) -> Result<(), SettingsError> {
                    CONFIGURED.fill(&settings, <$policy as Policy>::check)
                }

                fn evaluate(request: Request) -> Result<Grant, Denial> {
                    match CONFIGURED.get() {
                        Some(policy) => policy.evaluate(&request),
                        None => Err(Denial::new("not-configured", "the policy is not set up", "")),
                    }
                }
            }

            // A native linker does not take the names of the exports.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::access::export!(
                Exported with_types_in $crate::bindings::access
            );
        };
    };
}
