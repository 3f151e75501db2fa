//! Policies about certificates: what is certified, and how the certificate looks.

use serde::de::DeserializeOwned;

pub use crate::SettingsError;
pub use crate::bindings::access::chancery::policy::types::{Attribute, Denial};
pub use crate::bindings::certificate::exports::chancery::policy::certificate::{
    KeyFacts, Name, Request, Template, ValidatedName,
};

/// A policy about certificates. The value is what was read from the binding's settings.
pub trait Policy: DeserializeOwned {
    /// Checks what serde cannot see in the settings. An error rejects the binding when it is loaded.
    fn check(&self) -> Result<(), SettingsError> {
        Ok(())
    }

    /// Decides about one certificate.
    fn evaluate(&self, request: &Request) -> Result<Template, Denial>;
}

/// Makes the type the component's certificate policy.
#[macro_export]
macro_rules! certificate_policy {
    ($policy:ty) => {
        const _: () = {
            use $crate::bindings::certificate::exports::chancery::policy::certificate::Guest;
            use $crate::certificate::{Denial, Policy, Request, SettingsError, Template};

            static CONFIGURED: $crate::Slot<$policy> = $crate::Slot::empty();

            #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code))]
            struct Exported;

            impl Guest for Exported {
                fn configure(settings: String) -> Result<(), SettingsError> {
                    CONFIGURED.fill(&settings, <$policy as Policy>::check)
                }

                fn evaluate(request: Request) -> Result<Template, Denial> {
                    match CONFIGURED.get() {
                        Some(policy) => policy.evaluate(&request),
                        None => Err(Denial::new("not-configured", "the policy is not set up", "")),
                    }
                }
            }

            // A native linker does not take the names of the exports.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::certificate::export!(
                Exported with_types_in $crate::bindings::certificate
            );
        };
    };
}
