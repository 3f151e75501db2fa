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

/// Whether a pattern fits one of the texts with some label, at least one character and no dot, between these two:
/// the names that a wildcard stands for. What forbids one of them has to forbid the wildcard.
pub fn fits_label(pattern: &str, before: &str, behind: &str) -> bool {
    let pattern = pattern.as_bytes();
    let mut places = Places::at_the_start(pattern);
    for byte in before.bytes() {
        places = places.after(pattern, |one| one == byte);
    }
    let mut label = places.after(pattern, |one| one != b'.');
    // Each further character of a label leads to the same places or to more, which have an end.
    loop {
        let longer = label.and(label.after(pattern, |one| one != b'.'));
        if longer == label {
            break;
        }
        label = longer;
    }
    for byte in behind.bytes() {
        label = label.after(pattern, |one| one == byte);
    }
    label.0.last().is_some_and(|end| *end)
}

/// How much of a pattern can be used up by what was read: for each length, whether it can.
#[derive(PartialEq)]
struct Places(Vec<bool>);

impl Places {
    fn at_the_start(pattern: &[u8]) -> Self {
        let mut places = vec![false; pattern.len() + 1];
        if let Some(first) = places.first_mut() {
            *first = true;
        }
        Self(places).past_stars(pattern)
    }

    /// After one more character, which is one of those that are meant.
    fn after(&self, pattern: &[u8], is_meant: impl Fn(u8) -> bool) -> Self {
        let mut places = vec![false; self.0.len()];
        for (at, byte) in pattern.iter().enumerate().filter(|(at, _)| self.has(*at)) {
            let next = match byte {
                b'*' => at,
                byte if is_meant(*byte) => at + 1,
                _ => continue,
            };
            if let Some(place) = places.get_mut(next) {
                *place = true;
            }
        }
        Self(places).past_stars(pattern)
    }

    /// A star stands for nothing, too.
    fn past_stars(mut self, pattern: &[u8]) -> Self {
        for (at, _) in pattern.iter().enumerate().filter(|(_, byte)| **byte == b'*') {
            if self.has(at)
                && let Some(place) = self.0.get_mut(at + 1)
            {
                *place = true;
            }
        }
        self
    }

    fn and(&self, other: Self) -> Self {
        Self(self.0.iter().zip(other.0).map(|(one, other)| *one || other).collect())
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|place| *place)
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

    /// Whether one of the patterns fits one of the texts with some label between these: see [`fits_label`].
    pub fn match_label(&self, before: &str, behind: &str) -> bool {
        self.0.iter().any(|glob| fits_label(glob.as_str(), before, behind))
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

    #[test]
    fn a_pattern_is_compared_with_all_that_a_wildcard_stands_for() {
        for (pattern, fits) in [
            ("dns:secret.corp.example", true),
            ("dns:*", true),
            ("*", true),
            ("*secret*", true),
            ("dns:s*t.corp.example", true),
            ("dns:*.secret.corp.example", false),
            ("dns:*.a.corp.example", false),
            ("dns:a*b.*.example", true),
            ("*.corp.example", true),
            ("dns:corp.example", false),
            ("dns:.corp.example", false),
            ("dns:a.b.corp.example", false),
            ("dns:secret.other.example", false),
            ("ip:*", false),
            ("dns:a.*", true),
            ("", false),
        ] {
            assert_eq!(fits_label(pattern, "dns:", ".corp.example"), fits, "{pattern}");
        }
    }
}
