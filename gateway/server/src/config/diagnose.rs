//! Configuration errors, with the line of each and the nearest known key for a misspelt one.

use std::ops::Range;
use std::path::{Path, PathBuf};

use chancery_files::Untrusted;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// What is wrong with a configuration file, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: Untrusted,
    },
    /// The gateway has a user of its own, and this process is root's.
    #[error("{}: server.directory: {cause}", file.display())]
    WrongUser {
        /// The configuration.
        file: PathBuf,
        /// As whom to run the command.
        cause: Untrusted,
    },
    /// Not TOML, a key that does not exist, or a value of the wrong type.
    #[error("{}:{line}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong, with the nearest known key where one is near.
        message: String,
    },
    /// Several of these.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<ConfigError>),
    /// Values that are of the right type and yet cannot be used; all of them, not only the first.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<InvalidValue>),
}

impl ConfigError {
    /// The user that the gateway has for itself, if this is that root is not that user.
    pub(crate) fn gateways_user(&self) -> Option<u32> {
        match self {
            Self::WrongUser { cause: Untrusted::Foreign { owner, .. }, .. } => Some(*owner),
            _ => None,
        }
    }
}

/// One value that cannot be used.
#[derive(Debug)]
pub(crate) struct InvalidValue {
    file: PathBuf,
    line: Option<usize>,
    key: String,
    problem: String,
}

impl std::fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.key, self.problem)
    }
}

impl InvalidValue {
    /// `key` as `table.key`; its line is looked up in `text`.
    pub(crate) fn new(file: &Path, text: &str, key: &str, problem: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: line_of_key(text, key),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

/// How many keys that do not exist are named at once.
const MOST_NAMED: usize = 50;

/// All keys that do not exist, where `first` is about one, and what else is wrong with a document without them.
pub(crate) fn syntax_errors<T: DeserializeOwned>(
    file: &Path,
    text: &str,
    first: toml::de::Error,
) -> ConfigError {
    let mut found = vec![syntax_error(file, text, &first)];
    if let Ok(mut table) = DeTable::parse(text) {
        let mut last = first;
        while unknown_field(last.message()).is_some()
            && found.len() < MOST_NAMED
            && last.span().is_some_and(|span| remove_key(table.get_mut(), &span))
        {
            match T::deserialize(toml::Deserializer::from(table.clone())) {
                Ok(_) => break,
                Err(next) => last = next,
            }
            found.push(syntax_error(file, text, &last));
        }
    }
    match found.len() {
        1 => found.swap_remove(0),
        _ => ConfigError::Several(found),
    }
}

/// Takes the key that stands there out of a table or of one in it; whether there is one.
fn remove_key(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    if let Some(key) = table.keys().find(|key| key.span() == *span).cloned() {
        return table.remove(&key).is_some();
    }
    table.iter_mut().any(|(_, value)| remove_key_in(value.get_mut(), span))
}

fn remove_key_in(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => remove_key(table, span),
        DeValue::Array(values) => {
            values.iter_mut().any(|value| remove_key_in(value.get_mut(), span))
        }
        _ => false,
    }
}

/// A TOML error with its line, and for an unknown key the known one that it most resembles.
pub(crate) fn syntax_error(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| line_at(text, span.start));
    let message = match unknown_field(error.message()) {
        Some(("pin", known)) if known.contains(&"pin_file") => {
            "unknown key `pin`: no PIN stands in the configuration; name a file that holds it by `pin_file`"
                .to_owned()
        }
        Some((key, known)) => match nearest(key, &known) {
            Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
            None => format!("unknown key `{key}`; known here: {}", known.join(", ")),
        },
        None => error.message().replace('\n', "; "),
    };
    ConfigError::Syntax { file: file.to_owned(), line, message }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// Takes serde's sentence apart: ``unknown field `x`, expected one of `a`, `b` ``.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The line on which `table.key` stands; good enough for a message, so a key that is written in an
/// unusual way merely has no line.
fn line_of_key(text: &str, dotted: &str) -> Option<usize> {
    let (table, key) = dotted.rsplit_once('.').unwrap_or(("", dotted));
    let bare = |name: &str| name.split('[').next().unwrap_or(name).to_owned();
    let (table, key) = (bare(table), bare(key));
    let mut current = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            line.trim_matches(|c| c == '[' || c == ']').trim().clone_into(&mut current);
        } else if current == table && line.split('=').next().is_some_and(|name| name.trim() == key)
        {
            return Some(index + 1);
        }
    }
    let wanted = if table.is_empty() { &key } else { &table };
    let header = |line: &str| {
        line.starts_with('[') && line.trim().trim_matches(|c| c == '[' || c == ']') == wanted
    };
    if let Some(index) = text.lines().position(header) {
        return Some(index + 1);
    }
    // A key of an inline table: the line of the key that holds it.
    dotted.rsplit_once('.').and_then(|(parent, _)| line_of_key(text, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its keys matter")]
    struct Example {
        listen: Option<String>,
        directory: Option<String>,
    }

    #[test]
    fn a_pin_is_not_said_to_be_the_name_of_a_variable() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its keys matter")]
        struct Token {
            pin_file: Option<String>,
            pin_env: Option<String>,
        }
        let text = "pin = '12345678'";
        let error = toml::from_str::<Token>(text).unwrap_err();
        let said = syntax_error(Path::new("f.toml"), text, &error).to_string();
        assert!(said.contains("`pin_file`") && !said.contains("pin_env"), "{said}");
        assert!(!said.contains("12345678"), "{said}");
    }

    fn message(text: &str) -> String {
        let error = toml::from_str::<Example>(text).unwrap_err();
        syntax_error(Path::new("f.toml"), text, &error).to_string()
    }

    #[test]
    fn names_file_line_and_nearest_key() {
        assert_eq!(
            message("\ndirectory = 'x'\nlistne = 'y'\n"),
            "f.toml:3: unknown key `listne`; did you mean `listen`?"
        );
        assert_eq!(
            message("colour = 1"),
            "f.toml:1: unknown key `colour`; known here: listen, directory"
        );
    }

    #[test]
    fn names_all_keys_that_do_not_exist() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its keys matter")]
        struct Outer {
            example: Example,
            list: Vec<Example>,
        }
        let said = |text: &str| {
            let error = toml::from_str::<Outer>(text).unwrap_err();
            syntax_errors::<Outer>(Path::new("f.toml"), text, error).to_string()
        };
        let text = "colour = 1\n[adit]\nsink = 'a'\n[example]\nlistne = 'x'\nlisten = 'y'\n[[list]]\n\
                    directoy = '''\n[x]\n'''\n";
        let found = [
            "f.toml:1: unknown key `colour`; known here: example, list",
            "f.toml:2: unknown key `adit`; known here: example, list",
            "f.toml:5: unknown key `listne`; did you mean `listen`?",
            "f.toml:8: unknown key `directoy`; did you mean `directory`?",
        ];
        let mut told: Vec<String> = said(text).lines().map(str::to_owned).collect();
        told.sort();
        assert_eq!(told, found);
        // And what else is wrong.
        let other = said("colour = 1\n[example]\nlisten = 3\n");
        assert!(other.contains("`colour`") && other.contains("f.toml:3: invalid type"), "{other}");
        assert_eq!(said("example = 1").lines().count(), 1);
    }

    #[test]
    fn says_what_type_is_wanted() {
        assert!(message("listen = 3").starts_with("f.toml:1: invalid type: integer"));
        assert!(message("listen = 'x").starts_with("f.toml:1: "));
    }

    #[test]
    fn finds_the_line_of_a_value() {
        let text = "[a]\nx = 1\n[b]\nx = 2\ny=3\n[[c]]\nz = 1\n";
        assert_eq!(line_of_key(text, "b.x"), Some(4));
        assert_eq!(line_of_key(text, "b.y"), Some(5));
        assert_eq!(line_of_key(text, "c[0].z"), Some(7));
        assert_eq!(line_of_key(text, "b.y.inner"), Some(5));
        assert_eq!(line_of_key(text, "b.absent"), Some(3));
        assert_eq!(line_of_key(text, "b"), Some(3));
        assert_eq!(line_of_key(text, "absent.x"), None);
        assert_eq!(line_of_key(text, "absent"), None);
    }
}
