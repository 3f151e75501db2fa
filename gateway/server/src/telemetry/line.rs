//! A line of the log, as text or as JSON: at most [`MAX_LINE`] bytes, and one line whatever is said in
//! it. Control characters, the marks that change the direction of text and the separators of lines are
//! escaped, so that nobody who is quoted can make up a line or rewrite one on a terminal.

use std::fmt::Write;

use chancery_identity::is_plain;
use jiff::Timestamp;
use tracing::Level;

use super::fields::{Fields, Text, Value};

/// The longest line, in bytes, with its newline.
pub(super) const MAX_LINE: usize = 4096;

/// The most bytes for the spans around an event; what is said about the event itself takes the rest.
const SPANS: usize = 1024;
/// The most bytes for one span.
const SPAN: usize = 384;
/// Room for the target, which is the name of a module.
const TARGET: usize = 256;
/// Room that is kept for the name of a field and for the note on what was left out.
const END: usize = 64;

/// What a line tells.
pub(super) struct Record<'a> {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'a str,
    /// The spans around it, the outermost first.
    pub(super) spans: &'a [String],
    pub(super) fields: &'a Fields,
}

/// A string that grows up to a limit, and no piece of which is half there.
struct Bounded {
    line: String,
    limit: usize,
    full: bool,
}

impl Bounded {
    fn new(limit: usize) -> Self {
        Self { line: String::new(), limit, full: false }
    }

    /// Appends the piece, or nothing from here on if it does not fit.
    fn push(&mut self, piece: &str) {
        self.full |= self.line.len() + piece.len() > self.limit;
        if !self.full {
            self.line.push_str(piece);
        }
    }
}

/// How a character stands in a line, where it does not stand for itself.
type Escape = fn(char) -> Option<String>;

fn in_text(character: char) -> Option<String> {
    (!is_plain(character)).then(|| character.escape_default().to_string())
}

fn in_quotes(character: char) -> Option<String> {
    match character {
        '"' | '\\' => Some(format!("\\{character}")),
        _ => in_text(character),
    }
}

fn in_json(character: char) -> Option<String> {
    match character {
        '"' | '\\' => Some(format!("\\{character}")),
        '\n' => Some("\\n".to_owned()),
        '\t' => Some("\\t".to_owned()),
        _ if is_plain(character) => None,
        _ => {
            let mut escaped = String::new();
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
            Some(escaped)
        }
    }
}

/// Appends a text and, if it has not room in `most` bytes, how much of it was left out.
fn put(out: &mut Bounded, text: &Text, most: usize, escape: Escape) {
    let until = out.limit.min(out.line.len() + most.saturating_sub(END));
    let mut left_out = text.left_out;
    let mut sign = [0; 4];
    for character in text.kept.chars() {
        let escaped = escape(character);
        let piece = escaped.as_deref().unwrap_or_else(|| character.encode_utf8(&mut sign));
        if left_out > text.left_out || out.line.len() + piece.len() > until {
            left_out += character.len_utf8();
        } else {
            out.push(piece);
        }
    }
    if left_out > 0 {
        out.push(&format!("…({left_out} bytes more)"));
    }
}

impl Record<'_> {
    /// `TIME LEVEL span{field=value}: target: message field=value`.
    pub(super) fn text(&self) -> String {
        let mut out = Bounded::new(MAX_LINE - 1);
        out.push(&format!("{:.6} {:>5} ", self.time, self.level.as_str()));
        let mut spans = Bounded::new(SPANS);
        self.spans.iter().for_each(|span| spans.push(span));
        if !spans.line.is_empty() {
            out.push(&spans.line);
            out.push(" ");
        }
        out.push(self.target);
        out.push(": ");
        let room = (out.limit - out.line.len()) / 2;
        put(&mut out, &self.fields.message, room, in_text);
        for (name, value) in &self.fields.others {
            let room = out.limit.saturating_sub(out.line.len());
            if room < END * 2 {
                out.push(" …");
                break;
            }
            out.push(&format!(" {name}="));
            value.text(&mut out, room / 2);
        }
        out.line.push('\n');
        out.line
    }

    /// One object: `timestamp`, `level`, `fields` with the `message`, `target`, and the `spans`.
    pub(super) fn json(&self) -> String {
        let mut out = Bounded::new(MAX_LINE - SPANS - TARGET);
        out.push(&format!(
            "{{\"timestamp\":\"{:.6}\",\"level\":\"{}\",\"fields\":{{\"message\":\"",
            self.time, self.level
        ));
        let room = (out.limit - out.line.len()) / 2;
        put(&mut out, &self.fields.message, room, in_json);
        out.push("\"");
        for (name, value) in &self.fields.others {
            let room = out.limit.saturating_sub(out.line.len());
            if room < END * 4 {
                out.push(",\"…\":true");
                break;
            }
            out.push(&format!(",\"{name}\":"));
            value.json(&mut out, room / 2);
        }
        out.limit = MAX_LINE;
        out.full = false;
        out.push(&format!("}},\"target\":\"{}\"", self.target));
        let mut spans = Bounded::new(SPANS);
        for span in self.spans {
            spans.push(if spans.line.is_empty() { "" } else { "," });
            spans.push(span);
        }
        if !spans.line.is_empty() {
            out.push(",\"spans\":[");
            out.push(spans.line.trim_end_matches(','));
            out.push("]");
        }
        out.push("}\n");
        out.line
    }
}

/// A span as it stands in a line of text: `name{field=value}:`.
pub(super) fn span_as_text(name: &str, fields: &Fields) -> String {
    let mut out = Bounded::new(SPAN);
    out.push(name);
    for (at, (field, value)) in fields.others.iter().enumerate() {
        let room = out.limit.saturating_sub(out.line.len());
        if room < END * 2 {
            break;
        }
        out.push(&format!("{}{field}=", if at > 0 { " " } else { "{" }));
        value.text(&mut out, room - END);
    }
    out.push(if fields.others.is_empty() { ":" } else { "}:" });
    out.line
}

/// A span as it stands in a line of JSON: an object with its `name` and its fields.
pub(super) fn span_as_json(name: &str, fields: &Fields) -> String {
    let mut out = Bounded::new(SPAN);
    out.push(&format!("{{\"name\":\"{name}\""));
    for (field, value) in &fields.others {
        let room = out.limit.saturating_sub(out.line.len());
        if room < END * 2 {
            break;
        }
        out.push(&format!(",\"{field}\":"));
        value.json(&mut out, room - END);
    }
    out.push("}");
    out.line
}

impl Value {
    fn text(&self, out: &mut Bounded, most: usize) {
        match self {
            Self::Bool(value) => out.push(&value.to_string()),
            Self::Signed(value) => out.push(&value.to_string()),
            Self::Unsigned(value) => out.push(&value.to_string()),
            Self::Float(value) => out.push(&format!("{value:?}")),
            Self::Shown(text) => put(out, text, most, in_text),
            Self::Quoted(text) => {
                out.push("\"");
                put(out, text, most, in_quotes);
                out.push("\"");
            }
        }
    }

    fn json(&self, out: &mut Bounded, most: usize) {
        match self {
            Self::Shown(text) | Self::Quoted(text) => {
                out.push("\"");
                put(out, text, most, in_json);
                out.push("\"");
            }
            Self::Float(value) if !value.is_finite() => out.push("null"),
            other => other.text(out, most),
        }
    }
}

impl Fields {
    /// What they say, without time and place: at most `limit` bytes.
    pub(super) fn summary(&self, limit: usize) -> String {
        let mut out = Bounded::new(limit);
        put(&mut out, &self.message, limit / 2, in_text);
        for (name, value) in &self.others {
            let room = out.limit.saturating_sub(out.line.len());
            if room < END * 2 {
                break;
            }
            let _ = write!(out.line, " {name}=");
            value.text(&mut out, room / 2);
        }
        out.line
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::{Layer, Registry};

    use super::*;

    /// Keeps the fields of the last event.
    #[derive(Clone, Default)]
    struct Last(Arc<Mutex<Option<Fields>>>);

    impl Layer<Registry> for Last {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, Registry>) {
            let mut fields = Fields::of_event();
            event.record(&mut fields);
            *self.0.lock().unwrap() = Some(fields);
        }
    }

    fn fields(say: impl FnOnce()) -> Fields {
        let last = Last::default();
        tracing::subscriber::with_default(Registry::default().with(last.clone()), say);
        last.0.lock().unwrap().take().unwrap()
    }

    /// As text and as JSON, inside four spans that have the same fields.
    fn lines(fields: &Fields) -> [String; 2] {
        let line = |json: bool| {
            let span = if json { span_as_json("one", fields) } else { span_as_text("one", fields) };
            let spans = vec![span; 4];
            let record = Record {
                time: Timestamp::UNIX_EPOCH,
                level: Level::WARN,
                target: "chancery_tls::acceptor",
                spans: &spans,
                fields,
            };
            if json { record.json() } else { record.text() }
        };
        [line(false), line(true)]
    }

    fn check(fields: &Fields) -> Result<(), TestCaseError> {
        for (at, line) in lines(fields).iter().enumerate() {
            prop_assert!(line.len() <= MAX_LINE, "{} bytes: {line}", line.len());
            let body = line.strip_suffix('\n').unwrap();
            prop_assert!(body.chars().all(is_plain), "{body:?}");
            if at == 1 {
                let value: serde_json::Value = serde_json::from_str(body)
                    .map_err(|error| TestCaseError::fail(format!("{error}: {body}")))?;
                prop_assert_eq!(&value["target"], "chancery_tls::acceptor");
                prop_assert!(value["spans"].is_array());
            }
        }
        Ok(())
    }

    #[test]
    fn a_line_says_what_the_event_says() {
        let error = "no \"root\"";
        let said = fields(|| tracing::warn!(%error, error_code = 7, name = "a b", "it failed"));
        let [text, json] = lines(&said);
        assert!(
            text.starts_with("1970-01-01T00:00:00.000000Z  WARN one{error=no \"root\" "),
            "{text}"
        );
        let told = r#": chancery_tls::acceptor: it failed error=no "root" error_code=7 name="a b""#;
        assert!(text.trim_end().ends_with(told), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let fields = serde_json::json!({
            "message": "it failed", "error": "no \"root\"", "error_code": 7, "name": "a b",
        });
        assert_eq!(json["fields"], fields);
        assert_eq!(json["spans"][3]["error_code"], 7);
        assert_eq!(json["level"], "WARN");
        assert_eq!(json["timestamp"], "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn nobody_who_is_quoted_makes_up_a_line() {
        let peer = "a\nERROR all is lost\r\u{1b}[2K\u{9b}1A\0\u{202e}\u{2028}";
        let said = fields(|| tracing::warn!(peer, error = %peer, debug = ?peer, "{peer}"));
        check(&said).unwrap();
        let [text, _] = lines(&said);
        assert!(text.contains(r"a\nERROR all is lost\r\u{1b}[2K\u{9b}1A"), "{text}");
    }

    #[test]
    fn a_long_line_says_how_much_is_left_out() {
        let long = "x".repeat(1 << 20);
        let said = fields(|| tracing::warn!(error = %long, name = long, "{long}"));
        check(&said).unwrap();
        for line in lines(&said) {
            assert!(line.len() > MAX_LINE / 2, "{}", line.len());
            assert!(line.contains("bytes more)"), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_line_is_too_long_or_two(
            message in "\\PC{0,3000}", error in any::<String>(),
            quotes in "[\"\\\\\n\u{202e}]{0,3000}", number: f64, signed: i64,
        ) {
            let said = fields(|| tracing::warn!(
                %error, quotes, number, signed, again = %message, more = %quotes, once = quotes,
                "{message}"
            ));
            check(&said)?;
        }
    }
}
