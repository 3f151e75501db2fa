//! Where in a document something stands.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A line of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The document's file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl Place {
    /// Where a setting stands in a TOML document whose settings are below these keys, or what comes nearest to
    /// it; none if there is nothing of it. The path is that of [`LoadError::Settings`](crate::LoadError::Settings).
    pub fn of_setting(file: &Path, text: &str, below: &[&str], path: &str) -> Option<Self> {
        let document = DeTable::parse(text).ok()?;
        let offset = deepest(document.get_ref(), below.iter().copied(), path)?;
        Some(Self::at(file, text, offset))
    }

    /// The place of a setting in the binding of this name, or of what comes nearest to it.
    pub(crate) fn of_binding(file: &Path, text: &str, binding: &str, path: &str) -> Option<Self> {
        let document = DeTable::parse(text).ok()?;
        let bindings = document.get_ref().get("binding")?.get_ref().as_array()?;
        let named = |table: &Spanned<DeValue<'_>>| {
            let name = table.get_ref().get("name").and_then(|name| name.get_ref().as_str());
            name == Some(binding)
        };
        let binding = bindings.iter().find(|table| named(table))?;
        let offset = deepest(binding.get_ref().as_table()?, ["settings"].into_iter(), path)?;
        Some(Self::at(file, text, offset))
    }

    /// The line of the text that has this byte.
    pub(crate) fn at(file: &Path, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        Self { file: file.to_owned(), line: before.matches('\n').count() + 1 }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Follows the path, as long as there is something there.
fn deepest<'a>(
    table: &DeTable<'_>,
    below: impl Iterator<Item = &'a str>,
    path: &'a str,
) -> Option<usize> {
    let mut parts = below.chain(path.split('.').filter(|part| !part.is_empty()));
    let (key, mut value) = table.get_key_value(parts.next()?)?;
    let mut found = key.span().start;
    for part in parts {
        let next = match value.get_ref() {
            DeValue::Table(table) => {
                table.get_key_value(part).map(|(key, value)| (key.span(), value))
            }
            DeValue::Array(array) => {
                let position = part.parse::<usize>().ok();
                position.and_then(|at| array.get(at)).map(|value| (value.span(), value))
            }
            _ => None,
        };
        let Some((span, inner)) = next else { break };
        (found, value) = (span.start, inner);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_by_its_path_or_what_comes_nearest() {
        let text = "[[binding]]\nname = \"a\"\n[binding.settings]\nx = 1\n\n\
                    [[binding]]\nname = \"b\"\n[binding.settings]\none = 1\n\
                    [[binding.settings.rules]]\nname = \"r\"\n[[binding.settings.rules]]\n\
                    effect = \"no\"\n";
        let line =
            |binding, path| Place::of_binding(Path::new("f"), text, binding, path).map(|p| p.line);
        assert_eq!(line("b", "one"), Some(9));
        assert_eq!(line("b", "rules.1.effect"), Some(13));
        assert_eq!(line("b", "rules.0.missing"), Some(10));
        assert_eq!(line("b", ""), Some(8));
        assert_eq!(line("a", "y.z"), Some(3));
        assert_eq!(line("c", "x"), None);
        let of = |path| {
            Place::of_setting(Path::new("f"), "[settings]\na = { b = 1 }\n", &["settings"], path)
        };
        assert_eq!(of("a.b").map(|place| place.line), Some(2));
        assert_eq!(Place::of_setting(Path::new("f"), "\nc = 3", &[], "c").map(|p| p.line), Some(2));
        assert_eq!(Place::of_setting(Path::new("f"), "", &[], ""), None);
    }
}
