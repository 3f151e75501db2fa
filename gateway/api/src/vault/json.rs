//! Checks the JSON of a body for limits on depth and size, and for repeated member names, before it is parsed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deeply arrays and objects may be nested.
pub(super) const MAX_DEPTH: usize = 32;
/// How many values there may be in all.
pub(super) const MAX_VALUES: usize = 50_000;

/// Goes through a text once, before anything is built of it, and refuses what is not JSON, is nested
/// too deeply, has too many values, or names a member of an object twice (of which one reader would
/// take the first and the next the last).
///
/// # Errors
/// A text for the caller; nothing of the input is in it.
pub(super) fn check(text: &[u8]) -> Result<(), String> {
    let mut budget = Budget { depth: MAX_DEPTH, values: MAX_VALUES, broken: None };
    let mut input = serde_json::Deserializer::from_slice(text);
    let walked = Walk(&mut budget).deserialize(&mut input).and_then(|()| input.end());
    walked.map_err(|error| match budget.broken {
        Some(limit) => limit.to_owned(),
        None => format!("error parsing JSON at line {}, column {}", error.line(), error.column()),
    })
}

/// What a text may still use.
struct Budget {
    depth: usize,
    values: usize,
    broken: Option<&'static str>,
}

impl Budget {
    fn refuse<E: Error>(&mut self, why: &'static str) -> E {
        self.broken = Some(why);
        E::custom(why)
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        match self.depth.checked_sub(1) {
            Some(left) => self.depth = left,
            None => return Err(self.refuse("the JSON is nested too deeply")),
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_add(1);
    }
}

/// Visits one value and all in it.
struct Walk<'b>(&'b mut Budget);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        match self.0.values.checked_sub(1) {
            Some(left) => self.0.values = left,
            None => return Err(self.0.refuse("the JSON has too many values")),
        }
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.enter()?;
        while items.next_element_seed(Walk(self.0))?.is_some() {}
        self.0.leave();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.0.enter()?;
        let mut names: Vec<Cow<'de, str>> = Vec::new();
        while let Some(name) = members.next_key()? {
            names.push(name);
            members.next_value_seed(Walk(self.0))?;
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(self.0.refuse("the JSON has an object that names a member twice"));
        }
        self.0.leave();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_ordinary_json() {
        for good in
            [r#"{"data":{"a":[1,2.5,null,true,"x"]},"options":{"cas":0}}"#, "[]", "1", " {} "]
        {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn deep_json_is_refused_before_anything_is_built() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(nested(MAX_DEPTH).as_bytes()), Ok(()));
        let refused = check(nested(MAX_DEPTH + 1).as_bytes());
        assert_eq!(refused, Err("the JSON is nested too deeply".to_owned()));
        let objects = r#"{"a":"#.repeat(500_000);
        assert_eq!(check(objects.as_bytes()), Err("the JSON is nested too deeply".to_owned()));
        assert!(check("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn siblings_do_not_add_to_the_depth() {
        let siblings = format!("[{}]", vec!["[[]]"; 1000].join(","));
        assert_eq!(check(siblings.as_bytes()), Ok(()));
    }

    #[test]
    fn refuses_too_many_values() {
        let many = format!("[{}]", vec!["[]"; MAX_VALUES].join(","));
        assert_eq!(check(many.as_bytes()), Err("the JSON has too many values".to_owned()));
    }

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for bad in [r#"{"a":1,"b":2,"a":3}"#, r#"{"x":[{"a":1,"a":1}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(check(bad.as_bytes()).unwrap_err().contains("twice"), "{bad}");
        }
        assert_eq!(check(br#"{"a":{"a":1},"A":2}"#), Ok(()));
    }

    #[test]
    fn an_error_does_not_repeat_the_input() {
        for bad in
            [r#"{"password":"hunter2"#, r#"{"password":hunter2}"#, "hunter2", r#""hunter2"x"#]
        {
            let error = check(bad.as_bytes()).unwrap_err();
            assert!(error.starts_with("error parsing JSON at line 1"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_agrees_with_the_parser(text in r#"[\[\]{}:,"a1 \\u.e-]{0,40}"#) {
            let parses = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            if check(text.as_bytes()).is_ok() {
                prop_assert!(parses, "{}", text);
            }
        }
    }
}
