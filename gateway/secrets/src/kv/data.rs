//! The value of a secret version: a JSON object, with merge patch (RFC 7396) and subkeys.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The longest value of one version, in bytes of JSON.
pub const MAX_DATA_BYTES: usize = 1024 * 1024;

/// The value of one version of a secret: a JSON object, kept as the text that the caller wrote, so
/// that numbers keep their spelling. Wiped from memory when dropped; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretData(Zeroizing<String>);

/// Why a text is not the value of a secret. What was in it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidData {
    /// Not JSON, or not an object.
    #[error("the value of a secret must be a JSON object")]
    NotAnObject,
    /// Over [`MAX_DATA_BYTES`].
    #[error("the value of a secret may have at most {MAX_DATA_BYTES} bytes of JSON")]
    TooLarge,
}

/// An object whose members stay text.
type Members<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

impl SecretData {
    /// The value with this JSON text.
    ///
    /// # Errors
    /// See [`InvalidData`].
    pub fn from_json(text: &str) -> Result<Self, InvalidData> {
        if text.len() > MAX_DATA_BYTES {
            return Err(InvalidData::TooLarge);
        }
        members(text).ok_or(InvalidData::NotAnObject)?;
        Ok(Self(Zeroizing::new(text.trim().to_owned())))
    }

    /// The value with the text of another, as it comes out of the store.
    pub(crate) fn from_stored(text: &RawValue) -> Option<Self> {
        text.get().starts_with('{').then(|| Self(Zeroizing::new(text.get().to_owned())))
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The names in this value without the values: null stands for everything that is no object, or an empty
    /// one, or `depth` levels down.
    #[must_use]
    pub fn subkeys(&self, depth: Option<u32>) -> Self {
        // `null` is at most four times as long as what it stands for.
        let mut names = Zeroizing::new(String::with_capacity(self.0.len().saturating_mul(4)));
        push_names(&self.0, depth, &mut names);
        if names.as_str() == "null" {
            "{}".clone_into(&mut names);
        }
        Self(names)
    }

    /// This value changed by `patch` as RFC 7396 says: members that are null remove, objects merge,
    /// everything else replaces.
    ///
    /// # Errors
    /// If the result is too large.
    pub fn merged(&self, patch: &Self) -> Result<Self, InvalidData> {
        // The result is never longer than both texts and a comma: no reallocation leaves a copy.
        let room = self.0.len().saturating_add(patch.0.len()).saturating_add(1);
        let mut merged = Zeroizing::new(String::with_capacity(room));
        merge(Some(&self.0), &patch.0, &mut merged);
        if merged.len() > MAX_DATA_BYTES {
            return Err(InvalidData::TooLarge);
        }
        Ok(Self(merged))
    }
}

/// Writes `target` changed by `patch`, both JSON texts (RFC 7396 §2).
fn merge(target: Option<&str>, patch: &str, into: &mut String) {
    let Some(changes) = members(patch) else {
        into.push_str(patch);
        return;
    };
    let kept = target.and_then(members).unwrap_or_default();
    let mut separator = '{';
    let mut member = |name: &str, into: &mut String| {
        into.push(separator);
        separator = ',';
        push_string(name, into);
        into.push(':');
    };
    for (name, value) in &kept {
        if !changes.contains_key(name) {
            member(name, into);
            into.push_str(value.get());
        }
    }
    for (name, change) in &changes {
        if change.get() != "null" {
            member(name, into);
            merge(kept.get(name).map(|value| value.get()), change.get(), into);
        }
    }
    into.push_str(if separator == '{' { "{}" } else { "}" });
}

/// Writes the names in a JSON text, so many levels down.
fn push_names(text: &str, depth: Option<u32>, into: &mut String) {
    let within = if depth == Some(0) { None } else { members(text) };
    let Some(members) = within.filter(|members| !members.is_empty()) else {
        into.push_str("null");
        return;
    };
    let mut separator = '{';
    for (name, value) in &members {
        into.push(separator);
        separator = ',';
        push_string(name, into);
        into.push(':');
        push_names(value.get(), depth.map(|depth| depth.saturating_sub(1)), into);
    }
    into.push('}');
}

/// The members of an object; none if the text is something else.
fn members(text: &str) -> Option<Members<'_>> {
    serde_json::from_str(text).ok()
}

/// Escapes exactly what JSON requires, in the shortest way (RFC 8259 §7).
fn push_string(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\u{8}' => into.push_str("\\b"),
            '\t' => into.push_str("\\t"),
            '\n' => into.push_str("\\n"),
            '\u{c}' => into.push_str("\\f"),
            '\r' => into.push_str("\\r"),
            c if u32::from(c) < 0x20 => {
                let digit = |n: u32| char::from_digit(n, 16).unwrap_or('0');
                into.push_str("\\u00");
                into.push(digit(u32::from(c) >> 4));
                into.push(digit(u32::from(c) & 15));
            }
            c => into.push(c),
        }
    }
    into.push('"');
}

impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretData({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn data(text: &str) -> SecretData {
        SecretData::from_json(text).unwrap()
    }

    #[test]
    fn is_an_object_kept_letter_by_letter() {
        let text = r#"{"n":1.10,"big":123456789012345678901234567890,"e":1e400,"s":"\u00e9"}"#;
        assert_eq!(data(text).as_json(), text);
        for bad in ["", "null", "[]", "1", "\"x\"", "{", "{}x", r#"{"a":}"#] {
            assert_eq!(SecretData::from_json(bad), Err(InvalidData::NotAnObject), "{bad}");
        }
    }

    #[test]
    fn is_bounded() {
        let text = |len: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(len - 8));
        assert!(SecretData::from_json(&text(MAX_DATA_BYTES)).is_ok());
        assert_eq!(SecretData::from_json(&text(MAX_DATA_BYTES + 1)), Err(InvalidData::TooLarge));
        let half =
            |key: char| data(&format!(r#"{{"{key}":"{}"}}"#, "x".repeat(MAX_DATA_BYTES / 2)));
        assert_eq!(half('a').merged(&half('b')), Err(InvalidData::TooLarge));
    }

    #[test]
    fn does_not_show_itself() {
        assert_eq!(format!("{:?}", data(r#"{"password":"hunter2"}"#)), "SecretData(22 bytes)");
    }

    #[test]
    fn merges_as_the_examples_of_rfc_7396_appendix_a() {
        let cases = [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, json!({"a":"c"})),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, json!({"a":"b","b":"c"})),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, json!({})),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, json!({"b":"c"})),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, json!({"a":"c"})),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, json!({"a":["b"]})),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, json!({"a":{"b":"d"}})),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, json!({"a":[1]})),
            (r#"{"e":null}"#, r#"{"a":1}"#, json!({"e":null,"a":1})),
            (r"{}", r#"{"a":{"bb":{"ccc":null}}}"#, json!({"a":{"bb":{}}})),
        ];
        for (target, patch, expected) in cases {
            let merged = data(target).merged(&data(patch)).unwrap();
            let value: Value = serde_json::from_str(merged.as_json()).unwrap();
            assert_eq!(value, expected, "{target} + {patch}");
        }
    }

    #[test]
    fn subkeys_are_the_names_without_the_values() {
        let value = data(r#"{"a":{"b":{"c":1,"e":{}},"l":[1,{"x":1}]},"z":"hunter2","n":null}"#);
        for (depth, expected) in [
            (None, r#"{"a":{"b":{"c":null,"e":null},"l":null},"n":null,"z":null}"#),
            (Some(1), r#"{"a":null,"n":null,"z":null}"#),
            (Some(2), r#"{"a":{"b":null,"l":null},"n":null,"z":null}"#),
            (Some(99), r#"{"a":{"b":{"c":null,"e":null},"l":null},"n":null,"z":null}"#),
        ] {
            assert_eq!(value.subkeys(depth).as_json(), expected, "{depth:?}");
        }
        assert_eq!(data("{}").subkeys(None).as_json(), "{}");
    }

    #[test]
    fn a_merge_leaves_other_members_letter_by_letter() {
        let merged = data(r#"{"n":1.10,"x":0}"#).merged(&data(r#"{"x":2.50}"#)).unwrap();
        assert_eq!(merged.as_json(), r#"{"n":1.10,"x":2.50}"#);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c\"\\\\\\n\\u{1}é]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\\\n]{0,1}", inner, 0..4)
                    .prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-c\"\\\\\\n]{0,1}", json_value(), 0..4)
            .prop_map(|m| m.into_iter().collect())
    }

    /// The pseudo-code of RFC 7396 §2, on values.
    fn reference(target: Value, patch: &Value) -> Value {
        let Value::Object(changes) = patch else { return patch.clone() };
        let mut result = match target {
            Value::Object(members) => members,
            _ => serde_json::Map::new(),
        };
        for (name, change) in changes {
            let old = result.remove(name).unwrap_or(Value::Null);
            if !change.is_null() {
                result.insert(name.clone(), reference(old, change));
            }
        }
        Value::Object(result)
    }

    /// Whether the names are those of the value, with null for what is no object.
    fn are_names_of(names: &Value, value: &Value) -> bool {
        match (names, value) {
            (Value::Object(names), Value::Object(value)) => {
                names.len() == value.len()
                    && names.iter().all(|(name, inner)| are_names_of(inner, &value[name]))
            }
            (Value::Null, Value::Object(value)) => value.is_empty(),
            (names, _) => names.is_null(),
        }
    }

    proptest! {
        #[test]
        fn subkeys_are_an_object_of_nulls(value in object()) {
            let names = data(&value.to_string()).subkeys(None);
            prop_assert!(names.as_json().len() <= value.to_string().len() * 4);
            let names: Value = serde_json::from_str(names.as_json()).unwrap();
            let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty);
            prop_assert!(is_empty || are_names_of(&names, &value));
        }

        #[test]
        fn merges_as_the_pseudo_code_does(target in object(), patch in object()) {
            let merged = data(&target.to_string()).merged(&data(&patch.to_string())).unwrap();
            let value: Value = serde_json::from_str(merged.as_json()).unwrap();
            prop_assert_eq!(value, reference(target, &patch));
        }
    }
}
