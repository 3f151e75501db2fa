//! An event in JSON, in which every character that does not show what it is stands as `\\u…`: the value is the same,
//! and `less`, `grep` and terminals show what is there.

use std::io;

use chancery_identity::is_plain;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The bytes of a value.
pub(crate) fn encode(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Plain))?;
    Ok(bytes)
}

/// How many bytes a text takes, without its quotes.
pub(crate) fn length(text: &str) -> usize {
    text.chars().map(length_of).sum()
}

/// How many bytes a character takes.
pub(crate) fn length_of(character: char) -> usize {
    match character {
        '"' | '\\' => 2,
        character if is_plain(character) => character.len_utf8(),
        character => 6 * character.len_utf16(),
    }
}

struct Plain;

impl Formatter for Plain {
    /// The fragment has nothing in it that JSON itself wants escaped.
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) =
            rest.char_indices().find(|(_, character)| !is_plain(*character))
        {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = from.get(character.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_plain_is_escaped_and_the_rest_is_as_it_was() {
        let text = "ä\u{7f}\u{9b}31m\u{2028}\u{202e}\u{ad}🔑\u{e0041}\n\"\\";
        let bytes = encode(&text).unwrap();
        let expected = r#""ä\u007f\u009b31m\u2028\u202e\u00ad🔑\udb40\udc41\n\"\\""#;
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn the_value_is_the_same_and_the_line_is_plain(
            texts in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        ) {
            let text = String::from_utf8(encode(&texts).unwrap()).unwrap();
            prop_assert!(text.chars().all(is_plain), "{}", text);
            let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
            for text in texts.values() {
                prop_assert!(encode(text).unwrap().len() <= length(text) + 2);
            }
            prop_assert_eq!(read, texts);
        }
    }
}
