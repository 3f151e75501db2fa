//! Bounds for what a line contains. Much of an event comes from callers, and they must not decide how
//! long the log's lines are.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::encode::{length, length_of};

/// How long an event may be.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The most bytes of one text.
    text: usize,
    /// The most bytes, in JSON form, of all texts from policies together, and of all other texts
    /// together.
    half: usize,
    /// The most decisions.
    pub(crate) decisions: usize,
}

/// For operations that were done, or were allowed and failed.
pub(crate) const WHOLE: Limits = Limits { text: 4096, half: 16 << 10, decisions: 64 };
/// For operations that were refused: callers without rights must not be able to write long lines.
pub(crate) const REFUSED: Limits = Limits { text: 512, half: 3 << 10, decisions: 8 };

/// The most members of an array or an object.
const MEMBERS: usize = 256;
/// How deep arrays and objects may be nested.
const DEPTH: usize = 8;

/// Replaces a value for which there is no room at all.
const CUT: &str = "…[cut]";
/// Room for the mark of a text that is cut.
const LEAST: usize = 128;
/// A bracket and a comma, or a number.
const SMALL: usize = 24;
/// Two quotes and a comma.
const QUOTES: usize = 3;

/// How much one half of an event may still take.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    text: usize,
}

impl Budget {
    /// For one half of an event.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { left: limits.half, text: limits.text }
    }

    /// Cuts a text that is too long, and marks it with its length and its SHA-256, so that a person
    /// who has the whole text can show that it is this one.
    pub(crate) fn text(&mut self, text: &mut String) {
        let size = length(text);
        if text.len() <= self.text && size <= self.left {
            self.take(size + QUOTES);
            return;
        }
        if self.left < LEAST {
            if size > CUT.len() {
                CUT.clone_into(text);
            }
            self.take(CUT.len() + QUOTES);
            return;
        }
        let mark = format!(
            "…[cut, {} bytes, sha256:{}]",
            text.len(),
            hex::encode(digest(&SHA256, text.as_bytes()))
        );
        let (most, room) = (self.text, (self.left - LEAST).min(self.text));
        let mut taken = 0;
        let end = text
            .char_indices()
            .find(|(at, character)| {
                taken += length_of(*character);
                taken > room || at + character.len_utf8() > most
            })
            .map_or(text.len(), |(at, _)| at);
        text.truncate(end);
        text.push_str(&mark);
        self.take(length(text) + QUOTES);
    }

    fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Whether there is room for a small value.
    fn has_room(&self) -> bool {
        self.left >= SMALL
    }

    /// Keeps at most `most` entries; returns how many were left out.
    pub(crate) fn list<T>(list: &mut Vec<T>, most: usize) -> usize {
        let left_out = list.len().saturating_sub(most);
        list.truncate(most);
        left_out
    }

    /// Does the same for everything in a value.
    pub(crate) fn value(&mut self, value: &mut Value) {
        self.nested(value, DEPTH);
    }

    fn nested(&mut self, value: &mut Value, depth: usize) {
        if !self.has_room() || (depth == 0 && (value.is_array() || value.is_object())) {
            *value = Value::from(CUT);
            return;
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => self.take(SMALL),
            Value::String(text) => self.text(text),
            Value::Array(values) => {
                self.take(SMALL);
                let mut kept = 0;
                for value in values.iter_mut().take(MEMBERS) {
                    if !self.has_room() {
                        break;
                    }
                    self.nested(value, depth - 1);
                    kept += 1;
                }
                let left_out = Self::list(values, kept);
                if left_out > 0 {
                    values.push(Value::from(format!("…[{left_out} more]")));
                }
            }
            Value::Object(members) => {
                let all = std::mem::take(members);
                let count = all.len();
                self.take(SMALL);
                for (mut name, mut value) in all.into_iter().take(MEMBERS) {
                    if !self.has_room() {
                        break;
                    }
                    self.text(&mut name);
                    self.nested(&mut value, depth - 1);
                    members.insert(name, value);
                }
                // Several cut names may be equal.
                let left_out = count - members.len();
                if left_out > 0 {
                    members.insert("…".to_owned(), Value::from(format!("{left_out} more")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_short_stays_as_it_is() {
        let mut value = json!({"a": ["b", 1, null, {"c": true}], "d": "x".repeat(4096)});
        let before = value.clone();
        Budget::new(&WHOLE).value(&mut value);
        assert_eq!(value, before);
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let mut text = "ä".repeat(5_000);
        let hash = hex::encode(digest(&SHA256, text.as_bytes()));
        Budget::new(&WHOLE).text(&mut text);
        let mark = format!("…[cut, 10000 bytes, sha256:{hash}]");
        assert_eq!(text, "ä".repeat(2048) + &mark);
        let mut budget = Budget { left: LEAST + 10, text: 4096 };
        let mut texts = vec!["x".repeat(200), "y".repeat(100), "z".to_owned()];
        for text in &mut texts {
            budget.text(text);
        }
        assert!(texts[0].starts_with("xxxxxxxxxx…[cut, 200 bytes"), "{texts:?}");
        assert_eq!(texts[1..], [CUT, "z"]);

        let mut value = json!([vec![0; 1000], {"a": [[[[[[[1]]]]]]]}]);
        Budget::new(&WHOLE).value(&mut value);
        assert_eq!(value[0][256], "…[744 more]");
        assert_eq!(value[1]["a"][0][0][0][0][0][0], "…[cut]");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u64>().prop_map(Value::from),
            "(?s).{0,20}".prop_map(Value::from),
            ("[\"\\\\\u{1}xä\u{202e}\u{e0041}]", 0..6000_usize)
                .prop_map(|(text, times)| text.repeat(times).into()),
        ];
        leaf.prop_recursive(10, 40, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                (inner.clone(), 0..400_usize)
                    .prop_map(|(value, times)| Value::from(vec![value; times])),
                proptest::collection::btree_map("(?s).{0,40}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A value without room is not even named: a thousand times `…[cut]` is long too.
    #[test]
    fn what_comes_after_the_room_is_used_up_takes_none() {
        let short = || Value::from("\u{e000}".repeat(40));
        let many = |of: &Value| Value::from(vec![of.clone(); MEMBERS]);
        let mut value = many(&many(&many(&short())));
        Budget::new(&REFUSED).value(&mut value);
        let length = crate::encode::encode(&value).unwrap().len();
        assert!(length <= REFUSED.half + 2 * LEAST, "{length}");
        assert!(value.to_string().contains(" more]"), "{value}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

        #[test]
        fn nothing_is_longer_than_an_event_may_be(values in proptest::collection::vec(value(), 0..8)) {
            for limits in [WHOLE, REFUSED] {
                let mut all = Value::Array(values.clone());
                Budget::new(&limits).value(&mut all);
                // The marks of cut texts and the closing brackets are extra.
                let length = crate::encode::encode(&all).unwrap().len();
                prop_assert!(length <= 4 * limits.half, "{length}");
            }
        }
    }
}
