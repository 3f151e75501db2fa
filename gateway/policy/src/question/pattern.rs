//! Patterns with `*`, by which documents name what they are about.

use serde::Deserialize;

/// Patterns of which one has to match the whole text. `*` stands for any characters, none included.
/// No list at all matches everything; an empty list is refused when it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Patterns(Option<Vec<String>>);

impl Patterns {
    /// Everything.
    pub(crate) const ALL: Self = Self(None);

    /// What is wrong with the first of them in which something is.
    pub(crate) fn check(&self, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
        self.0.iter().flatten().try_for_each(|pattern| check(pattern))
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match &self.0 {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| fits(pattern, text)),
        }
    }
}

impl TryFrom<Vec<String>> for Patterns {
    type Error = &'static str;

    fn try_from(patterns: Vec<String>) -> Result<Self, Self::Error> {
        if patterns.is_empty() {
            return Err("an empty list matches nothing: leave the key out to match everything");
        }
        Ok(Self(Some(patterns)))
    }
}

pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(mut part) = parts.next() else { return rest.is_empty() };
    for next in parts {
        // The first place will do: what follows the star may begin anywhere behind it.
        let Some((_, behind)) = rest.split_once(part) else { return false };
        (rest, part) = (behind, next);
    }
    rest.ends_with(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_anything_and_the_whole_text_has_to_fit() {
        let cases = [
            ("", "", true),
            ("*", "", true),
            ("*", "a/b", true),
            ("secrets.*", "secrets.metadata.read", true),
            ("secrets.*", "secret.read", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a", "ab", false),
            ("a", "A", false),
            ("*b", "bc", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn no_list_matches_everything_and_an_empty_one_is_refused() {
        assert!(Patterns::default().matches("anything"));
        assert!(Patterns::try_from(Vec::new()).is_err());
    }

    /// The definition, slow and obviously right.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| by_definition(rest, &text[skip..])),
            Some((c, rest)) => text.first() == Some(c) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(fits(&pattern, &text), by_definition(&chars(&pattern), &chars(&text)));
        }
    }
}
