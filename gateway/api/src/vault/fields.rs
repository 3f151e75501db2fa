//! The members of a request's JSON, read as Vault reads them: clients write numbers, booleans and
//! durations as texts too, and texts as numbers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chancery_identity::visible;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::duration::ApiDuration;
use super::error::VaultError;

/// The members of an object, each still as text.
pub(super) struct Fields<'a> {
    members: BTreeMap<Cow<'a, str>, &'a RawValue>,
    /// Of the members of a request's body, those that nobody has looked for.
    unread: Option<&'a Unread>,
}

/// The members of a request's body that nobody has looked for yet; none before it was looked into. It is asked when the
/// request is answered.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<Option<BTreeSet<String>>>);

/// A member in the spelling that it came in.
enum Scalar<'a> {
    Text(Zeroizing<String>),
    Number(&'a str),
    Truth(bool),
}

/// How many members are named that were not read.
const MOST_IGNORED: usize = 20;
/// How many are kept in mind.
const MOST_KEPT: usize = 1000;
/// What stands in the path of a resource, and what Vault takes in the body as well.
const IN_PATHS: [&str; 3] = ["name", "path", "role"];

const TRUTH: &str = "true or false";
const COUNT: &str = "a whole number that is not negative";
const DURATION: &str = "a duration such as \"1h30m\" or a number of seconds";

impl<'a> Fields<'a> {
    /// The members of the object with this text. None for no text, and for `null`, which clients send that
    /// have nothing to say.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, VaultError> {
        if matches!(text.trim_ascii(), b"" | b"null") {
            return Ok(Self::of(BTreeMap::new()));
        }
        serde_json::from_slice(text)
            .map(Self::of)
            .map_err(|_| VaultError::BadRequest("the request body must be a JSON object".into()))
    }

    fn of(members: BTreeMap<Cow<'a, str>, &'a RawValue>) -> Self {
        Self { members, unread: None }
    }

    fn member(&self, name: &str) -> Option<&'a str> {
        let found = self.members.get(name)?;
        self.known(&[name]);
        Some(found.get())
    }

    /// The same for the body of a request, which is told what of it was looked for.
    pub(super) fn of_body(text: &'a [u8], unread: &'a Unread) -> Result<Self, VaultError> {
        let fields = Self::parse(text)?;
        unread.begin(fields.members.keys());
        Ok(Self { unread: Some(unread), ..fields })
    }

    /// These members have no effect, and the sender gets no warning about them.
    pub(super) fn known(&self, names: &[&str]) {
        if let Some(unread) = self.unread {
            unread.take(names);
        }
    }

    /// The members of an object within this one.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let members = serde_json::from_str(raw).map_err(|_| must_be(name, "a JSON object"))?;
        Ok(Some(Self::of(members)))
    }

    /// The objects in an array within this one.
    pub(super) fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let objects: Vec<BTreeMap<Cow<'a, str>, &'a RawValue>> =
            serde_json::from_str(raw).map_err(|_| must_be(name, "an array of JSON objects"))?;
        Ok(Some(objects.into_iter().map(Self::of).collect()))
    }

    /// The JSON of a member; none if it is missing or null.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.member(name).filter(|text| *text != "null")
    }

    /// Whether a member is there and null: in a patch, to be taken away.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.member(name).is_some_and(|text| text == "null")
    }

    /// Whether a member is missing, or says no: null, `false`, 0, or an empty text or list.
    pub(super) fn is_off(&self, name: &str) -> bool {
        let Some(raw) = self.raw(name) else { return true };
        match Scalar::read(raw) {
            Some(Scalar::Text(text)) => matches!(truth(&text), Some(false)),
            Some(Scalar::Number(digits)) => digits == "0",
            Some(Scalar::Truth(truth)) => !truth,
            None => matches!(raw, "[]" | "{}"),
        }
    }

    /// A text; none if the member is missing or null. A number or a boolean is its text.
    pub(super) fn text(&self, name: &str, expected: &str) -> Result<Option<String>, VaultError> {
        Ok(self.secret_text(name, expected)?.map(|text| text.to_string()))
    }

    /// The same, where an empty text is none: clients send those for what they do not use.
    pub(super) fn named(&self, name: &str, expected: &str) -> Result<Option<String>, VaultError> {
        Ok(self.text(name, expected)?.filter(|text| !text.is_empty()))
    }

    /// The same as a text that is wiped.
    pub(super) fn secret_text(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<Zeroizing<String>>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        Scalar::read(raw)
            .map(|scalar| Some(scalar.into_text()))
            .ok_or_else(|| must_be(name, expected))
    }

    /// Several texts: a list of them, or one text with commas between. Blanks around them, as people write
    /// them, are not theirs; other white space is.
    pub(super) fn texts(&self, name: &str, expected: &str) -> Result<Vec<String>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(vec![]) };
        let texts = if raw.starts_with('[') {
            self.get::<Vec<String>>(name, expected)?.unwrap_or_default()
        } else {
            let text = self.text(name, expected)?.unwrap_or_default();
            text.split(',').map(str::to_owned).collect()
        };
        let texts = texts.iter().map(|text| text.trim_matches(' ')).filter(|text| !text.is_empty());
        Ok(texts.map(str::to_owned).collect())
    }

    /// An object of texts. A number or a boolean in it is its text, as in Vault, and what is null is none.
    pub(super) fn map(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<BTreeMap<String, Option<String>>>, VaultError> {
        let Some(members) = self.object(name).map_err(|_| must_be(name, expected))? else {
            return Ok(None);
        };
        let text = |(key, value): (&Cow<'a, str>, &&RawValue)| {
            let text = match value.get() {
                "null" => None,
                raw => Some(Scalar::read(raw)?.into_text().to_string()),
            };
            Some((key.to_string(), text))
        };
        let texts = members.members.iter().map(text);
        texts.collect::<Option<_>>().map(Some).ok_or_else(|| must_be(name, expected))
    }

    /// The same where nothing may be null.
    pub(super) fn full_map(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<BTreeMap<String, String>>, VaultError> {
        let Some(map) = self.map(name, expected)? else { return Ok(None) };
        let full = map.into_iter().map(|(key, text)| Some((key, text?)));
        full.collect::<Option<_>>().map(Some).ok_or_else(|| must_be(name, expected))
    }

    /// A boolean: `true`, `"true"`, `"T"`, `"1"`, 1, and so on; an empty text is false.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let flag = match Scalar::read(raw) {
            Some(Scalar::Truth(truth)) => Some(truth),
            Some(Scalar::Number(digits)) => truth(digits),
            Some(Scalar::Text(text)) => truth(&text),
            None => None,
        };
        flag.map(Some).ok_or_else(|| must_be(name, TRUTH))
    }

    /// A count, as a number or as its digits; an empty text is 0.
    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let count = match Scalar::read(raw) {
            Some(Scalar::Number(digits)) => count(digits),
            Some(Scalar::Text(text)) if text.is_empty() => Some(0),
            Some(Scalar::Text(text)) => count(&text),
            Some(Scalar::Truth(_)) | None => None,
        };
        count.map(Some).ok_or_else(|| must_be(name, COUNT))
    }

    /// Several counts: in a list or in a text with commas between, each as a number or as its digits.
    pub(super) fn counts(&self, name: &str, expected: &str) -> Result<Vec<u64>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(vec![]) };
        let counts = if raw.starts_with('[') {
            let items: Vec<&RawValue> =
                serde_json::from_str(raw).map_err(|_| must_be(name, expected))?;
            items.into_iter().map(|item| counts_in(item.get())).collect::<Option<Vec<_>>>()
        } else {
            counts_in(raw).map(|counts| vec![counts])
        };
        counts.map(|counts| counts.concat()).ok_or_else(|| must_be(name, expected))
    }

    /// A duration; an empty text is none at all.
    pub(super) fn duration(&self, name: &str) -> Result<Option<ApiDuration>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let duration = match Scalar::read(raw) {
            Some(Scalar::Number(digits)) => ApiDuration::parse(digits),
            Some(Scalar::Text(text)) if text.is_empty() => ApiDuration::parse("0"),
            Some(Scalar::Text(text)) => ApiDuration::parse(&text),
            Some(Scalar::Truth(_)) | None => None,
        };
        duration.map(Some).ok_or_else(|| must_be(name, DURATION))
    }

    /// A member of a type of our own, which Vault has not; none if it is missing or null. An error says what
    /// was `expected` and not what was there.
    pub(super) fn get<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, VaultError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw).map(Some).map_err(|_| must_be(name, expected))
    }

    /// A duration that is not negative.
    pub(super) fn span(&self, name: &str) -> Result<Option<Duration>, VaultError> {
        match self.duration(name)? {
            Some(span) if span.negative => {
                Err(VaultError::BadRequest(format!("{name} must not be negative").into()))
            }
            span => Ok(span.map(|span| span.length)),
        }
    }
}

impl Unread {
    /// The warning about members that nobody has looked for, in Vault's words; none if there are none.
    pub(super) fn warning(&self) -> Option<String> {
        let unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = unread.as_ref().filter(|names| !names.is_empty())?;
        let shown = names.iter().take(MOST_IGNORED).map(|name| visible(name)).collect::<Vec<_>>();
        let more = if names.len() > MOST_IGNORED { " ..." } else { "" };
        Some(format!("Endpoint ignored these unrecognized parameters: [{}{more}]", shown.join(" ")))
    }

    /// Whether the body was looked into.
    pub(super) fn has_begun(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// What is read for the second time is not unread again.
    fn begin<'n>(&self, names: impl Iterator<Item = &'n Cow<'n, str>>) {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unread.get_or_insert_with(|| {
            let names = names.filter(|name| !IN_PATHS.contains(&&***name));
            names.take(MOST_KEPT).map(Cow::to_string).collect()
        });
    }

    fn take(&self, names: &[&str]) {
        let mut unread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unread) = unread.as_mut() {
            for name in names {
                unread.remove(*name);
            }
        }
    }
}

impl<'a> Scalar<'a> {
    /// None if it is a list, an object or null.
    fn read(raw: &'a str) -> Option<Self> {
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok().map(Self::Text),
            b't' => Some(Self::Truth(true)),
            b'f' => Some(Self::Truth(false)),
            b'-' | b'0'..=b'9' => Some(Self::Number(raw)),
            _ => None,
        }
    }

    /// The text that Vault makes of it.
    fn into_text(self) -> Zeroizing<String> {
        match self {
            Self::Text(text) => text,
            Self::Number(digits) => Zeroizing::new(digits.to_owned()),
            Self::Truth(truth) => Zeroizing::new(u8::from(truth).to_string()),
        }
    }
}

/// What Go's `strconv.ParseBool` reads, and the empty text, which is false.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Digits. Not those that begin with 0, which Vault reads as octal.
fn count(text: &str) -> Option<u64> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// The counts in a number or in a text with commas between them.
fn counts_in(raw: &str) -> Option<Vec<u64>> {
    match Scalar::read(raw)? {
        Scalar::Number(digits) => Some(vec![count(digits)?]),
        Scalar::Text(text) if text.is_empty() => Some(vec![]),
        Scalar::Text(text) => text.split(',').map(|part| count(part.trim())).collect(),
        Scalar::Truth(_) => None,
    }
}

fn must_be(name: &str, expected: &str) -> VaultError {
    VaultError::BadRequest(format!("{name} must be {expected}").into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with<T>(value: &str, read: impl Fn(&Fields<'_>) -> Result<T, VaultError>) -> Option<T> {
        let body = format!("{{\"x\":{value}}}");
        read(&Fields::parse(body.as_bytes()).unwrap()).ok()
    }

    #[test]
    fn null_and_nothing_are_no_members() {
        for body in ["", " \n", "null", " null ", "{}"] {
            assert!(Fields::parse(body.as_bytes()).unwrap().members.is_empty(), "{body:?}");
        }
        for body in ["[]", "1", "\"\"", "true", "nul"] {
            assert!(Fields::parse(body.as_bytes()).is_err(), "{body:?}");
        }
    }

    #[test]
    fn booleans_are_read_in_every_spelling_that_vault_reads() {
        let flag = |value| with(value, |fields| fields.flag("x"));
        for yes in ["true", "1", "\"1\"", "\"t\"", "\"T\"", "\"true\"", "\"TRUE\"", "\"True\""] {
            assert_eq!(flag(yes), Some(Some(true)), "{yes}");
        }
        for no in ["false", "0", "\"0\"", "\"f\"", "\"F\"", "\"false\"", "\"FALSE\"", "\"\""] {
            assert_eq!(flag(no), Some(Some(false)), "{no}");
        }
        for bad in ["2", "-1", "1.0", "\"yes\"", "\"on\"", "\" true\"", "[]", "[true]", "{}"] {
            assert_eq!(flag(bad), None, "{bad}");
        }
        assert_eq!(flag("null"), Some(None));
    }

    #[test]
    fn counts_are_numbers_or_their_digits() {
        let count = |value| with(value, |fields| fields.count("x"));
        for (text, number) in [
            ("5", 5),
            ("\"5\"", 5),
            ("0", 0),
            ("\"0\"", 0),
            ("\"\"", 0),
            ("\"4294967296\"", 1 << 32),
        ] {
            assert_eq!(count(text), Some(Some(number)), "{text}");
        }
        for bad in [
            "-1",
            "1.0",
            "1e3",
            "\"x\"",
            "\" 5\"",
            "\"+5\"",
            "\"010\"",
            "\"0x10\"",
            "true",
            "[5]",
            "18446744073709551616",
        ] {
            assert_eq!(count(bad), None, "{bad}");
        }
        let counts = |value| with(value, |fields| fields.counts("x", "numbers"));
        for list in ["[1,2]", "[\"1\",\"2\"]", "\"1,2\"", "\"1, 2\"", "[1,\"2\"]", "[\"1, 2\"]"] {
            assert_eq!(counts(list), Some(vec![1, 2]), "{list}");
        }
        assert_eq!(counts("3"), Some(vec![3]));
        for none in ["null", "[]", "\"\""] {
            assert_eq!(counts(none), Some(vec![]), "{none}");
        }
        for bad in ["[1.5]", "[\"x\"]", "[[1]]", "{}", "[null]", "\"1;2\"", "true", "[true]"] {
            assert_eq!(counts(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_seconds_or_texts_with_units() {
        let span = |value| with(value, |fields| fields.span("x"));
        let day = Duration::from_hours(24);
        for text in ["86400", "\"86400\"", "\"24h\"", "\"1d\"", "\"23h60m\""] {
            assert_eq!(span(text), Some(Some(day)), "{text}");
        }
        assert_eq!(span("\"\""), Some(Some(Duration::ZERO)));
        assert_eq!(span("null"), Some(None));
        for bad in ["-1", "\"-1s\"", "1.5", "1e3", "true", "[5]", "\"soon\"", "\"1w\"", "\" 1h\""] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_are_numbers_and_booleans_too_in_their_spelling() {
        let text = |value| with(value, |fields| fields.text("x", "a text"));
        for (value, read) in [
            ("\"a\"", "a"),
            ("5", "5"),
            ("1.10", "1.10"),
            ("true", "1"),
            ("false", "0"),
            ("\"\"", ""),
        ] {
            assert_eq!(text(value), Some(Some(read.to_owned())), "{value}");
        }
        for bad in ["[]", "[\"a\"]", "{}"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        let map = |value| with(value, |fields| fields.full_map("x", "an object of texts"));
        let read = map(r#"{"a":1,"b":true,"c":"x","d":12345678901234567890}"#).unwrap().unwrap();
        let read: Vec<_> = read.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        assert_eq!(read, [("a", "1"), ("b", "1"), ("c", "x"), ("d", "12345678901234567890")]);
        for bad in ["{\"a\":[1]}", "{\"a\":{}}", "{\"a\":null}", "[]", "\"a=b\""] {
            assert_eq!(map(bad), None, "{bad}");
        }
        let patch = with("{\"a\":null,\"b\":2}", |fields| fields.map("x", "texts"));
        let expected = [("a".to_owned(), None), ("b".to_owned(), Some("2".to_owned()))];
        assert_eq!(patch, Some(Some(BTreeMap::from(expected))));
    }

    #[test]
    fn several_texts_are_a_list_or_have_commas_between() {
        let texts = |value| with(value, |fields| fields.texts("x", "texts"));
        for value in ["[\"a\",\"b\"]", "\"a,b\"", "\" a , b,\"", "[\"a\",\" b \",\"\"]"] {
            assert_eq!(texts(value), Some(vec!["a".to_owned(), "b".to_owned()]), "{value}");
        }
        for none in ["null", "\"\"", "[]"] {
            assert_eq!(texts(none), Some(vec![]), "{none}");
        }
        for bad in ["[1]", "{}", "[[\"a\"]]"] {
            assert_eq!(texts(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_empty_text_names_nothing() {
        assert_eq!(with("\"\"", |fields| fields.named("x", "a text")), Some(None));
        assert_eq!(with("\"a\"", |fields| fields.named("x", "a text")), Some(Some("a".to_owned())));
    }

    #[test]
    fn what_nobody_looked_for_is_named() {
        let text = br#"{"a": 1, "b": null, "c": "x", "d\u202e": 2, "e": 3, "name": 4}"#;
        let unread = Unread::default();
        assert_eq!((unread.warning(), unread.has_begun()), (None, false));
        let fields = Fields::of_body(text, &unread).unwrap();
        assert_eq!((fields.count("a").unwrap(), fields.is_null("b")), (Some(1), true));
        assert_eq!(fields.text("other", "a text").unwrap(), None);
        fields.known(&["e"]);
        let expected = r"Endpoint ignored these unrecognized parameters: [c d\u{202e}]";
        assert_eq!(unread.warning().as_deref(), Some(expected));
        // What was read once is not unread again.
        let again = Fields::of_body(text, &unread).unwrap();
        assert_eq!(unread.warning().as_deref(), Some(expected));
        again.known(&["c", "d\u{202e}"]);
        assert_eq!(unread.warning(), None);
    }

    #[test]
    fn what_says_no_is_off() {
        for off in ["null", "false", "0", "\"0\"", "\"false\"", "\"F\"", "\"\"", "[]"] {
            assert_eq!(with(off, |fields| Ok(fields.is_off("x"))), Some(true), "{off}");
        }
        for on in ["true", "1", "\"true\"", "\"AAAA\"", "[0]", "{\"a\":0}"] {
            assert_eq!(with(on, |fields| Ok(fields.is_off("x"))), Some(false), "{on}");
        }
    }

    proptest! {
        #[test]
        fn no_reader_panics(value in "(-?[0-9]{0,25}(\\.[0-9]{1,3})?|\"[ -!#-\\[\\]-~é]{0,12}\"|true|null|\\[1,\"a\"\\])") {
            if serde_json::from_str::<serde_json::Value>(&value).is_ok() {
                let _ = with(&value, |fields| fields.flag("x"));
                let _ = with(&value, |fields| fields.count("x"));
                let _ = with(&value, |fields| fields.counts("x", "numbers"));
                let _ = with(&value, |fields| fields.span("x"));
                let _ = with(&value, |fields| fields.map("x", "texts"));
                let text = with(&value, |fields| fields.text("x", "a text"));
                prop_assert!(text.is_some() || value.starts_with('['), "{}", value);
            }
        }

        #[test]
        fn a_count_is_read_again_in_each_spelling(number in any::<u64>()) {
            prop_assert_eq!(with(&number.to_string(), |f| f.count("x")), Some(Some(number)));
            prop_assert_eq!(with(&format!("\"{number}\""), |f| f.count("x")), Some(Some(number)));
        }
    }
}
