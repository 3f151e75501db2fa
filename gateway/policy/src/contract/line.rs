//! A line that a policy writes, for the gateway's log or for a trial.

use std::fmt;

use chancery_identity::visible;
use serde::{Deserialize, Serialize};

use super::world::{log, types};

/// Where policies' lines appear in the gateway's log.
const TARGET: &str = "chancery::policy";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    level: log::Level,
    message: String,
    fields: String,
}

impl Line {
    /// Keeps it to one line whatever the policy writes: a policy must not forge other lines of the
    /// gateway's log.
    pub(crate) fn new(level: log::Level, message: &str, fields: &[types::Attribute]) -> Self {
        let fields: Vec<String> =
            fields.iter().map(|field| format!("{}={:?}", field.name, field.value)).collect();
        Self { level, message: visible(message).into_owned(), fields: fields.join(" ") }
    }

    /// Its share of the budget, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.message.len() + self.fields.len() + 1
    }

    /// Whether it is a warning or an error.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(self.level, log::Level::Warn | log::Level::Error)
    }

    /// Writes it to the log of this process.
    pub(crate) fn log(&self, binding: &str) {
        let Self { level, message, fields } = self;
        match level {
            log::Level::Debug => tracing::debug!(target: TARGET, binding, fields, "{message}"),
            log::Level::Info => tracing::info!(target: TARGET, binding, fields, "{message}"),
            log::Level::Warn => tracing::warn!(target: TARGET, binding, fields, "{message}"),
            log::Level::Error => tracing::error!(target: TARGET, binding, fields, "{message}"),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        write!(f, "{level}: {}", self.message)?;
        if self.fields.is_empty() { Ok(()) } else { write!(f, " {}", self.fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_writes_one_line_at_a_time() {
        let fields = [types::Attribute { name: "a".into(), value: "b\n\"".into() }];
        let line = Line::new(log::Level::Warn, "é\n\u{1b}[31mERROR\u{202e}", &fields);
        assert_eq!(line.to_string(), r#"warn: é\n\u{1b}[31mERROR\u{202e} a="b\n\"""#);
        assert_eq!(Line::new(log::Level::Debug, "x", &[]).to_string(), "debug: x");
    }
}
