//! A policy that panics says why before it ends.

/// Has panics written to the gateway's log, with the feature `say-panics`. The panic itself is a trap, and so
/// a denial.
#[doc(hidden)]
pub fn say_panics() {
    #[cfg(feature = "say-panics")]
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        let message = info.payload_as_str().unwrap_or("something that is no text");
        crate::host::log(
            crate::host::Level::Error,
            &format!("the policy panics: {message}"),
            &[("at", &place)],
        );
    }));
}
