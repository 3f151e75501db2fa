use std::sync::OnceLock;

use serde::de::DeserializeOwned;

pub use crate::bindings::host::chancery::policy::types::SettingsError;

impl SettingsError {
    /// Says what is wrong at `path` (keys and positions joined by dots).
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// Holds a configured policy from `configure` to `evaluate`.
#[doc(hidden)]
pub struct Slot<P>(OnceLock<P>);

impl<P: DeserializeOwned> Slot<P> {
    #[must_use]
    pub const fn empty() -> Self {
        Self(OnceLock::new())
    }

    /// Reads the policy out of JSON and keeps it if `check` is content.
    pub fn fill(
        &self,
        settings: String,
        check: impl FnOnce(&P) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError> {
        let policy = keep(settings, read)?;
        check(&policy)?;
        self.0.set(policy).map_err(|_| SettingsError::at("", "the policy is configured already"))
    }

    /// The same for a policy that is kept in as little memory as it needs.
    pub fn fill_compactly(
        &self,
        settings: String,
        check: impl FnOnce(&P) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError>
    where
        P: Compact,
    {
        let policy = keep_compactly(settings, read)?;
        check(&policy)?;
        self.0.set(policy).map_err(|_| SettingsError::at("", "the policy is configured already"))
    }

    pub fn get(&self) -> Option<&P> {
        self.0.get()
    }
}

/// A policy of which a copy is as good as the original, so that the SDK puts the copy in the place of all
/// that reading the settings has left in memory. Worth it for settings of more than a few kilobytes: what
/// lies in the first pages costs evaluations least.
///
/// # Safety
/// A clone shares nothing with what it was cloned from (no `Rc`, no `Arc`, no reference into it), and reading
/// the settings leaves nothing in memory that is used later but the value itself: no cache, no static that
/// is filled at the first use.
#[expect(unsafe_code, reason = "the original's memory is used again")]
pub unsafe trait Compact: Clone {}

#[cfg(target_arch = "wasm32")]
use crate::allocator::{keep, keep_compactly};

#[cfg(not(target_arch = "wasm32"))]
fn keep_compactly<P: Compact>(
    text: String,
    make: impl FnOnce(&str) -> Result<P, SettingsError>,
) -> Result<P, SettingsError> {
    let original = make(&text)?;
    drop(text);
    // As there, it is a copy that is kept.
    Ok(original.clone())
}

/// Where there is an allocator for everything, there is nothing to arrange.
#[cfg(not(target_arch = "wasm32"))]
fn keep<T>(text: String, make: impl FnOnce(&str) -> T) -> T {
    let kept = make(&text);
    drop(text);
    kept
}

fn read<P: DeserializeOwned>(settings: &str) -> Result<P, SettingsError> {
    let mut json = serde_json::Deserializer::from_str(settings);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = match error.path().to_string() {
            whole if whole == "." => String::new(),
            path => path.replace('[', ".").replace(']', ""),
        };
        let message = error.into_inner().to_string();
        // The host writes the JSON, so its lines and columns tell the author nothing.
        let end = message.rfind(" at line ").unwrap_or(message.len());
        SettingsError::at(path, message.get(..end).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its errors")]
    struct Example {
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its errors")]
    struct Rule {
        effect: String,
    }

    #[test]
    fn names_the_place_without_the_position_in_the_json() {
        let slot = Slot::<Example>::empty();
        let fill = |text: &str| slot.fill(text.to_owned(), |_| Ok(())).unwrap_err();
        let error = fill(r#"{"rules":[{"effect":"allow"},{"efect":"x"}]}"#);
        assert_eq!(error.path, "rules.1.efect");
        assert_eq!(error.message, "unknown field `efect`, expected `effect`");
        assert_eq!(fill(r#"{"rules":[{"effect":1}]}"#).path, "rules.0.effect");
        assert_eq!(fill("{}").path, "");
    }

    #[test]
    fn is_filled_once_and_only_with_what_passes_the_check() {
        let slot = Slot::<Example>::empty();
        let refused =
            slot.fill(r#"{"rules":[]}"#.to_owned(), |_| Err(SettingsError::at("rules", "none")));
        assert_eq!(refused.unwrap_err().message, "none");
        assert!(slot.get().is_none());
        slot.fill(r#"{"rules":[]}"#.to_owned(), |_| Ok(())).unwrap();
        assert!(slot.fill(r#"{"rules":[]}"#.to_owned(), |_| Ok(())).is_err());
    }

    #[test]
    fn what_is_kept_compactly_is_what_was_read() {
        #[derive(Debug, Clone, Deserialize)]
        struct Names {
            names: Vec<String>,
        }
        // SAFETY: its clones share nothing, and reading it leaves nothing behind.
        #[expect(unsafe_code, reason = "as a policy does it")]
        unsafe impl Compact for Names {}

        let slot = Slot::<Names>::empty();
        let fill = |text: &str| slot.fill_compactly(text.to_owned(), |_| Ok(()));
        assert_eq!(fill(r#"{"names":[1]}"#).unwrap_err().path, "names.0");
        fill(r#"{"names":["a","b"]}"#).unwrap();
        assert_eq!(slot.get().unwrap().names, ["a", "b"]);
    }
}
