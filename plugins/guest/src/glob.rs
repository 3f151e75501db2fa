use serde::Deserialize;

/// A pattern in which `*` stands for any characters, none included; everything else stands for
/// itself. It has to match the whole text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub struct Glob {
    pattern: Box<str>,
    shape: Shape,
}

/// Most patterns have one star at an end, or none: those are compared without a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Everything,
    Exact,
    Prefix,
    Suffix,
    General,
}

impl Glob {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// What every text that fits begins with: the pattern up to its first star.
    pub fn literal_prefix(&self) -> &str {
        self.pattern.split('*').next().unwrap_or_default()
    }

    /// Whether the whole text fits.
    pub fn matches(&self, text: &str) -> bool {
        let end = self.pattern.len().saturating_sub(1);
        match self.shape {
            Shape::Everything => true,
            Shape::Exact => *self.pattern == *text,
            Shape::Prefix => text.starts_with(self.pattern.get(..end).unwrap_or_default()),
            Shape::Suffix => text.ends_with(self.pattern.get(1..).unwrap_or_default()),
            Shape::General => self.searches(text),
        }
    }

    fn searches(&self, text: &str) -> bool {
        let mut parts = self.pattern.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(mut part) = parts.next() else { return rest.is_empty() };
        for next in parts {
            // The first place is good enough: what follows may begin anywhere behind it.
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
            part = next;
        }
        rest.ends_with(part)
    }
}

impl From<String> for Glob {
    fn from(pattern: String) -> Self {
        let stars = pattern.bytes().filter(|b| *b == b'*').count();
        let shape = match stars {
            0 => Shape::Exact,
            1 if pattern.len() == 1 => Shape::Everything,
            1 if pattern.ends_with('*') => Shape::Prefix,
            1 if pattern.starts_with('*') => Shape::Suffix,
            _ => Shape::General,
        };
        Self { pattern: pattern.into(), shape }
    }
}

impl From<&str> for Glob {
    fn from(pattern: &str) -> Self {
        pattern.to_owned().into()
    }
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
