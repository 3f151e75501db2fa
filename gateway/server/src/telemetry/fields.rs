//! What an event or a span says of itself, bounded while it is collected: a value that is longer than
//! a line of the log is never held whole.

use std::error::Error;
use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

/// The most bytes that are kept of a value of an event.
const VALUE: usize = 2048;
/// The most bytes that are kept of a value of a span, which may live as long as a connection.
const SPAN_VALUE: usize = 192;
/// The most fields that are kept of an event or a span.
const FIELDS: usize = 32;
/// How many causes of an error are told.
const CAUSES: usize = 8;

/// The fields of an event or a span.
#[derive(Debug)]
pub(super) struct Fields {
    /// What the event says. Spans have none.
    pub(super) message: Text,
    /// Names and values, in the order in which they were recorded.
    pub(super) others: Vec<(&'static str, Value)>,
    /// The most bytes that are kept of each value.
    most: usize,
}

/// A value as it was recorded.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// A string, which text puts between quotes.
    Quoted(Text),
    /// What a value shows of itself.
    Shown(Text),
}

/// The beginning of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) kept: String,
    /// How many bytes followed.
    pub(super) left_out: usize,
    /// The most bytes that are kept.
    most: usize,
}

impl Text {
    fn new(most: usize) -> Self {
        Self { kept: String::new(), left_out: 0, most }
    }
}

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = if self.left_out > 0 { 0 } else { self.most.saturating_sub(self.kept.len()) };
        let (fits, rest) = more.split_at(more.floor_char_boundary(room));
        self.kept.push_str(fits);
        self.left_out = self.left_out.saturating_add(rest.len());
        Ok(())
    }
}

impl Fields {
    /// For an event.
    pub(super) fn of_event() -> Self {
        Self { message: Text::new(VALUE), others: vec![], most: VALUE }
    }

    /// For a span.
    pub(super) fn of_span() -> Self {
        Self { message: Text::new(SPAN_VALUE), others: vec![], most: SPAN_VALUE }
    }

    /// Sets the message.
    pub(super) fn say(&mut self, message: fmt::Arguments<'_>) {
        self.message = self.text(message);
    }

    fn text(&self, shown: fmt::Arguments<'_>) -> Text {
        let mut text = Text::new(self.most);
        // What a value cannot show of itself is left out.
        let _ = text.write_fmt(shown);
        text
    }

    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match value {
            Value::Quoted(text) | Value::Shown(text) if name == "message" => self.message = text,
            // Spans record some fields when they are known.
            value => match self.others.iter().position(|(known, _)| *known == name) {
                Some(at) => drop(self.others.splice(at..=at, [(name, value)])),
                None if self.others.len() < FIELDS => self.others.push((name, value)),
                None => {}
            },
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Quoted(self.text(format_args!("{value}"))));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = self.text(format_args!("{value}"));
        let mut cause = value.source();
        for _ in 0..CAUSES {
            let Some(error) = cause else { break };
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, Value::Shown(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Shown(self.text(format_args!("{value:?}"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_beginning_and_counts_the_rest() {
        let mut text = Text::new(VALUE);
        for _ in 0..1000 {
            text.write_str("äbc").unwrap();
        }
        assert!(text.kept.len() <= VALUE && text.kept.len() > VALUE - 4, "{}", text.kept.len());
        assert_eq!(text.kept.len() + text.left_out, 4000);
        assert!("äbc".repeat(1000).starts_with(&text.kept));
    }
}
