//! What makes a component of a policy.

/// Exports the policy under the contract. `$world` is the name of the module with its bindings and of
/// the one with its trait.
#[doc(hidden)]
#[macro_export]
macro_rules! component {
    ($world:ident, $policy:ty, $schema:expr) => {
        $crate::component!($world, $policy, $schema, fill);
    };
    ($world:ident, $policy:ty, $schema:expr, $fill:ident) => {
        const _: () = {
            use $crate::bindings::$world::exports::chancery::policy::$world;
            use $crate::$world::{Decision, Denial, Policy, Request};

            static CONFIGURED: $crate::Slot<$policy> = $crate::Slot::empty();

            #[cfg_attr(not(target_arch = "wasm32"), expect(dead_code))]
            struct Exported;

            impl $world::Guest for Exported {
                fn describe() -> $crate::Description {
                    $crate::Description {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        summary: env!("CARGO_PKG_DESCRIPTION").to_owned(),
                        settings_schema: ($schema).to_owned(),
                    }
                }

                fn configure(settings: String) -> Result<(), $crate::SettingsError> {
                    $crate::say_panics();
                    CONFIGURED.$fill(settings, <$policy as Policy>::check)
                }

                fn evaluate(request: Request) -> Decision {
                    match CONFIGURED.get() {
                        Some(policy) => policy.evaluate(&request).into(),
                        None => Decision::Deny(Denial::new(
                            "not-configured",
                            "the policy is not set up",
                            "",
                        )),
                    }
                }
            }

            // A native linker does not take the names of the exports.
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::$world::export!(
                Exported with_types_in $crate::bindings::$world
            );
        };
    };
}
