//! What the example says of defaults is what they are.

use serde_json::Value;

use super::EXAMPLE;
use crate::config::document::Document;

/// One of several has to be given, and none is the default.
const ONE_OF_SEVERAL: [&str; 4] =
    ["seal.root_key_file", "pkcs11.module", "pkcs11.token", "pkcs11.pin_file"];

/// A setting of the example.
struct Setting {
    /// Its table and key.
    path: Vec<String>,
    /// What stands behind it, in the lines below it, and above its table.
    said: String,
}

/// The settings in the text, in the order of its lines.
fn settings() -> Vec<Setting> {
    let (mut table, mut above, mut block) = (vec![], String::new(), String::new());
    let mut found: Vec<Setting> = vec![];
    for line in EXAMPLE.lines() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix('#') {
            match found.last_mut() {
                Some(last) if line.starts_with(' ') => last.said.push_str(comment),
                _ => block.push_str(comment),
            }
        } else if trimmed.starts_with('[') {
            table = trimmed.trim_matches(['[', ']']).split('.').map(str::to_owned).collect();
            above = std::mem::take(&mut block);
        } else if let Some((key, value)) = trimmed.split_once(" = ") {
            let path = table.iter().cloned().chain([key.to_owned()]).collect();
            let comment = value.split_once(" #").map_or("", |(_, comment)| comment);
            found.push(Setting { path, said: format!("{above} {comment}") });
            block.clear();
        } else {
            block.clear();
        }
    }
    found
}

/// Takes a setting out of a document. Of several tables, the last is meant.
fn remove(document: &mut toml::Table, path: &[String]) -> Option<toml::Value> {
    let (key, tables) = path.split_last()?;
    let mut table = document;
    for name in tables {
        table = match table.get_mut(name)? {
            toml::Value::Array(tables) => tables.last_mut()?.as_table_mut()?,
            inner => inner.as_table_mut()?,
        };
    }
    table.remove(key)
}

/// What a document has there, defaults included.
fn value<'a>(document: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(document, |at, name| match at {
        Value::Array(tables) => &tables.last().unwrap()[name],
        table => &table[name],
    })
}

fn read(table: &toml::Table) -> Option<Value> {
    let document: Document = table.clone().try_into().ok()?;
    Some(serde_json::to_value(document).unwrap())
}

#[test]
fn a_value_of_the_example_is_the_default_or_the_comment_says_what_is() {
    let example: toml::Table = EXAMPLE.parse().unwrap();
    let whole = read(&example).unwrap();
    let mut wrong = vec![];
    for Setting { path, said } in settings() {
        let name = path.join(".");
        let mut without = example.clone();
        assert!(remove(&mut without, &path).is_some(), "{name} is not in the example");
        // Without what has to be given, there is no document.
        let Some(without) = read(&without) else { continue };
        let (given, default) = (value(&whole, &path), value(&without, &path));
        let literal = said.split_once("default: ").map(|(_, literal)| {
            let end = literal.find([';', ',', '.', ')']).unwrap_or(literal.len());
            literal.get(..end).unwrap_or(literal).trim()
        });
        let told = match literal {
            // As it would be written.
            Some(literal) if toml::from_str::<toml::Table>(&format!("x = {literal}")).is_ok() => {
                let table: toml::Table = format!("x = {literal}").parse().unwrap();
                serde_json::to_value(&table["x"]).unwrap() == *default
            }
            // In words: none, or what is found out.
            Some(_) => default.is_null() || *default == Value::Array(vec![]),
            None if given == default => true,
            None => {
                let words = ["(the default", "left out", "Left out"];
                ONE_OF_SEVERAL.contains(&name.as_str())
                    || words.iter().any(|word| said.contains(word))
            }
        };
        if !told {
            wrong.push(format!("{name}: the default is {default}, and the comment says: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
