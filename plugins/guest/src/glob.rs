//! Patterns with stars, for names and paths.

use serde::Deserialize;

/// A pattern in which `*` stands for any characters, none included; everything else stands for
/// itself. It has to match the whole text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Glob(Box<str>);

impl Glob {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole text fits.
    pub fn matches(&self, text: &str) -> bool {
        fits(&self.0, text)
    }
}

impl From<String> for Glob {
    fn from(pattern: String) -> Self {
        Self(pattern.into())
    }
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Self {
        Self(pattern.into())
    }
}

/// Whether the whole text fits a pattern, as [`Glob`] has them, that is kept as a text.
pub fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        // Most patterns with a star have one, at an end.
        Some((first, "")) => text.starts_with(first),
        Some((first, rest)) => text.strip_prefix(first).is_some_and(|text| ends_in(rest, text)),
    }
}

/// What every text that fits the pattern begins with: the pattern up to its first star.
pub fn literal_prefix(pattern: &str) -> &str {
    pattern.split('*').next().unwrap_or_default()
}

/// Whether the text fits the pattern with a star before it.
fn ends_in(mut pattern: &str, mut text: &str) -> bool {
    while let Some((part, others)) = pattern.split_once('*') {
        // The first place is good enough: what follows may begin anywhere behind it.
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
        pattern = others;
    }
    text.ends_with(pattern)
}

impl<'a> FromIterator<&'a str> for Globs {
    fn from_iter<I: IntoIterator<Item = &'a str>>(patterns: I) -> Self {
        Self(patterns.into_iter().map(Glob::from).collect())
    }
}

/// Several patterns, of which one has to match.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Globs(Box<[Glob]>);

impl Globs {
    /// The pattern that every text fits.
    pub fn all() -> Self {
        Self([Glob::from("*")].into())
    }

    /// Whether one of the patterns matches. No patterns match nothing.
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(text))
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns in order.
    pub fn as_slice(&self) -> &[Glob] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_the_whole_text_has_to_fit() {
        let fits = [
            ("", ""),
            ("*", ""),
            ("*", "a/b"),
            ("a", "a"),
            ("a*", "a"),
            ("secret/app/*", "secret/app/db/x"),
            ("*.example.com", "a.b.example.com"),
            ("a*b*c", "aXbYbZc"),
            ("**", "x"),
            ("a*a", "aa"),
        ];
        for (pattern, text) in fits {
            assert!(Glob::from(pattern).matches(text), "{pattern} {text}");
        }
        let misfits = [
            ("", "a"),
            ("a", "ab"),
            ("a", "A"),
            ("secret/app/*", "secret/app"),
            ("*.example.com", "example.com"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*b", "bc"),
        ];
        for (pattern, text) in misfits {
            assert!(!Glob::from(pattern).matches(text), "{pattern} {text}");
        }
    }
}
