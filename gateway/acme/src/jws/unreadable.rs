//! What is wrong with JSON that a client sent, in the words of JSON: where it is and what has to be there. What the
//! decoder says names types of this program (`struct Asked`, `u64`) and repeats values, which may be secret.

use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;

use super::Object;

/// The longest name of a member that is repeated.
const LONGEST: usize = 80;

/// Why a text is not the object that it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a JSON object.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Unreadable> {
    let mut decoder = serde_json::Deserializer::from_slice(json);
    let Object(value) = serde_path_to_error::deserialize(&mut decoder).map_err(|error| {
        let place = error.path().to_string();
        Unreadable(plain(error.inner(), &place))
    })?;
    decoder.end().map_err(|error| Unreadable(plain(&error, ".")))?;
    Ok(value)
}

/// The error in plain English, about what is at `place`.
fn plain(error: &serde_json::Error, place: &str) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        Category::Data => wrong(&message(error), place),
        Category::Eof => "it is not JSON: it ends too early".to_owned(),
        Category::Syntax | Category::Io => {
            format!("it is not JSON, at line {line}, column {column}: {}", message(error))
        }
    }
}

/// What the decoder says, without the place in the text that it puts behind it.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// What is wrong with JSON that can be read.
fn wrong(message: &str, place: &str) -> String {
    let what = match place {
        "." => "it".to_owned(),
        place => format!("`{}`", place.chars().take(LONGEST).collect::<String>()),
    };
    let within = |name: &str| match place {
        "." => format!("`{name}`"),
        place => format!("`{}.{name}`", place.chars().take(LONGEST).collect::<String>()),
    };
    // Types and values of the text stand between these, and may be long or secret.
    for kind in ["invalid type: ", "invalid value: ", "invalid length "] {
        if message.starts_with(kind) {
            let expected = message.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
            return format!("{what} must be {}", in_json(expected));
        }
    }
    if let Some(name) = quoted(message, "missing field ") {
        return format!("{} is missing", within(name));
    }
    if let Some(name) = quoted(message, "duplicate field ") {
        return format!("{} is there more than once", within(name));
    }
    if let Some((_, expected)) = message.rsplit_once(", expected ")
        && message.starts_with("unknown ")
    {
        return format!("{what} must be {expected}");
    }
    format!("{what} cannot be read: {message}")
}

/// The name in backticks behind this.
fn quoted<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    message.strip_prefix(before)?.strip_prefix('`')?.strip_suffix('`')
}

/// What was expected, as JSON calls it.
fn in_json(expected: &str) -> &str {
    // `tuple struct` and `a tuple of size 2` are arrays.
    if expected.contains("tuple") {
        return "an array";
    }
    let first = expected.split_whitespace().next().unwrap_or_default();
    match (expected, first) {
        ("a JSON object" | "a map", _) | (_, "struct" | "map") => "an object",
        ("a sequence", _) => "an array",
        ("a string" | "a borrowed string" | "string", _) => "a string",
        ("a boolean", _) => "true or false",
        (_, "u8" | "u16" | "u32" | "u64" | "usize") => "a whole number that is not negative",
        (_, "i8" | "i16" | "i32" | "i64" | "isize") => "a whole number",
        (_, "f32" | "f64") => "a number",
        // Texts of our own.
        (own, "a" | "an") if !own.contains(" of type ") => own,
        _ => "of another kind",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[expect(dead_code, reason = "it is read only")]
    struct Inner {
        text: String,
        small: Option<u8>,
        large: Option<i64>,
        real: Option<f64>,
        truth: Option<bool>,
        list: Option<Vec<u16>>,
        map: Option<BTreeMap<String, u32>>,
        pair: Option<(u8, String)>,
        one: Option<Choice>,
        not_before: Option<Timestamp>,
        unit: Option<()>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Red,
        Green,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "it is read only")]
    struct Outer {
        inner: Option<Object<Inner>>,
        all: Option<Vec<Object<Inner>>>,
    }

    fn said(json: &str) -> String {
        object::<Outer>(json.as_bytes()).err().expect(json).to_string()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, expected) in [
            ("[]", "it must be an object"),
            ("null", "it must be an object"),
            (r#"{"inner":[]}"#, "`inner` must be an object"),
            (r#"{"inner":{}}"#, "`inner.text` is missing"),
            (r#"{"inner":{"text":1}}"#, "`inner.text` must be a string"),
            (r#"{"inner":{"text":"","text":""}}"#, "`inner.text` is there more than once"),
            (r#"{"all":{}}"#, "`all` must be an array"),
            (r#"{"all":[{"text":""},{"text":null}]}"#, "`all[1].text` must be a string"),
            (
                r#"{"inner":{"small":256}}"#,
                "`inner.small` must be a whole number that is not negative",
            ),
            (r#"{"inner":{"large":1.5}}"#, "`inner.large` must be a whole number"),
            (r#"{"inner":{"real":"1"}}"#, "`inner.real` must be a number"),
            (r#"{"inner":{"truth":1}}"#, "`inner.truth` must be true or false"),
            (
                r#"{"inner":{"list":[1,-1]}}"#,
                "`inner.list[1]` must be a whole number that is not negative",
            ),
            (r#"{"inner":{"map":[]}}"#, "`inner.map` must be an object"),
            (r#"{"inner":{"pair":[1]}}"#, "`inner.pair` must be an array"),
            (r#"{"inner":{"one":"blue"}}"#, "`inner.one` must be `red` or `green`"),
            ("", "it is not JSON: it ends too early"),
            (r#"{"inner":"#, "it is not JSON: it ends too early"),
            ("{,}", "it is not JSON, at line 1, column 2: key must be a string"),
            ("{} {}", "it is not JSON, at line 1, column 4: trailing characters"),
        ] {
            let said = said(json);
            assert!(said.contains(expected), "{json}: {said}");
        }
    }

    #[test]
    fn no_value_and_no_type_of_this_program_is_shown() {
        let values = [
            "null",
            "true",
            "7",
            "-7",
            "7.5",
            "\"hunter2, expected a u64\"",
            "[\"hunter2\"]",
            "{\"hunter2\":1}",
        ];
        let members = [
            "text",
            "small",
            "large",
            "real",
            "truth",
            "list",
            "map",
            "pair",
            "one",
            "notBefore",
            "unit",
        ];
        for (member, value) in members.iter().flat_map(|m| values.map(|v| (m, v))) {
            let json = format!("{{\"inner\":{{\"{member}\":{value}}}}}");
            let Err(said) = object::<Outer>(json.as_bytes()) else { continue };
            let said = said.to_string();
            for word in [
                "hunter2",
                "struct",
                "u8",
                "u64",
                "i64",
                "f64",
                "sequence",
                "map,",
                "variant",
                "tuple",
                "enum",
                "unit,",
                "Timestamp",
            ] {
                assert!(!said.replace("`inner.unit`", "").contains(word), "{json}: {said}");
            }
        }
    }
}
