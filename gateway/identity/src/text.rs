//! Characters that do not show what they are: of texts that others chose, for those who read them.

use std::borrow::Cow;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

/// Whether a character is seen as what it is. It is not if Unicode has it in the category Other (controls, formats
/// such as the marks that change the direction of text, private use, what is not assigned), if it separates lines or
/// paragraphs, or if it is ignored where nobody knows it (variation selectors, fillers, tags).
pub fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    !matches!(
        category,
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    ) && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// The text with what is not [plain](is_plain) in it escaped, as `\n` or `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_plain)
}

/// The same, with its line breaks and tabs as they are.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t') || is_plain(character))
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&keep) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if keep(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_default());
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_or_hides_text_is_not_plain() {
        let hidden = [
            '\0',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{180e}',
            '\u{200b}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{ffff}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{10ffff}',
        ];
        for character in hidden {
            assert!(!is_plain(character), "{}", character.escape_unicode());
        }
        for character in " aä~ключ漢字é\u{301}🔑\u{a0}".chars() {
            assert!(is_plain(character), "{}", character.escape_unicode());
        }
    }

    #[test]
    fn only_what_is_not_plain_is_escaped() {
        assert!(matches!(visible("a \"ä\" \\"), Cow::Borrowed("a \"ä\" \\")));
        assert_eq!(visible("a\n\t\u{9b}31m\u{202e}b"), "a\\n\\t\\u{9b}31m\\u{202e}b");
        assert_eq!(visible_lines("a\n\tb\r"), "a\n\tb\\r");
    }
}
