//! A document that is not what it should be.

use std::path::Path;

use super::Place;

/// A document is not TOML, lacks a key, has one too many or a value that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {message}")]
pub struct InvalidDocument {
    /// Where.
    pub place: Place,
    /// What is wrong there and what is expected instead.
    pub message: String,
}

impl InvalidDocument {
    /// What TOML's reader says of the text.
    pub(crate) fn of_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let place = Place::at(file, text, error.span().map_or(0, |span| span.start));
        Self { place, message: error.message().to_owned() }
    }

    /// The same, with the nearest expected key if one is unknown.
    pub(crate) fn with_nearest(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let Self { place, message } = Self::of_toml(file, text, error);
        Self { place, message: with_nearest(&message) }
    }
}

/// Adds the nearest expected key to serde's message about an unknown one, which names all of them in
/// backticks: "unknown field `x`, expected one of `a`, `b`".
fn with_nearest(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return message.to_owned();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else { return message.to_owned() };
    let nearest = quoted
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2));
    match nearest {
        Some((_, known)) => format!("{message}; did you mean `{known}`?"),
        None => message.to_owned(),
    }
}
