//! Which settings differ between two configurations, defaults included.

use serde_json::Value;

use super::document::Document;

/// The settings of a configuration as they are written, with the defaults of those that are left out.
#[derive(Debug)]
pub(crate) struct Settings(Value);

impl Settings {
    pub(super) fn of(document: &Document) -> Self {
        // Nothing in it can fail: keys are text and numbers are finite.
        Self(serde_json::to_value(document).unwrap_or_default())
    }

    /// Whether a key of a table has a value, and not an empty one.
    pub(crate) fn is_set(&self, table: &str, key: &str) -> bool {
        match self.0.get(table).and_then(|table| table.get(key)) {
            None | Some(Value::Null) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        }
    }

    /// The keys that have another value in `other`, as `table.key`, sorted. One of several tables with names is
    /// `tables[NAME]`.
    pub(crate) fn differing(&self, other: &Self) -> Vec<String> {
        let mut found = vec![];
        compare(&self.0, &other.0, String::new(), &mut found);
        found.sort();
        found
    }
}

fn compare(one: &Value, other: &Value, path: String, found: &mut Vec<String>) {
    if one == other {
        return;
    }
    match (members(one), members(other)) {
        (Some(ones), Some(others)) => {
            let mut keys: Vec<_> = ones.iter().chain(&others).map(|(key, _)| key).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let of = |members: &[(String, Value)]| {
                    let found = members.iter().find(|(name, _)| name == key);
                    found.map_or(Value::Null, |(_, value)| value.clone())
                };
                let path = match key.strip_prefix('[') {
                    _ if path.is_empty() => key.clone(),
                    Some(_) => format!("{path}{key}"),
                    None => format!("{path}.{key}"),
                };
                compare(&of(&ones), &of(&others), path, found);
            }
        }
        _ => found.push(path),
    }
}

/// The values below a table, or below tables that have names. A value by itself has none.
fn members(value: &Value) -> Option<Vec<(String, Value)>> {
    match value {
        Value::Object(table) => {
            Some(table.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        Value::Array(tables) => tables
            .iter()
            .map(|table| {
                let name = table.get("name")?.as_str()?;
                Some((format!("[{name}]"), table.clone()))
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differing(one: Value, other: Value) -> Vec<String> {
        let found = Settings(one).differing(&Settings(other));
        assert!(found.is_sorted());
        found
    }

    #[test]
    fn each_key_that_differs_is_named() {
        let one = json!({
            "a": { "x": 1, "y": [1, 2], "inner": { "z": null } },
            "many": [{ "name": "p", "x": 1 }, { "name": "q", "x": 1 }],
            "optional": null
        });
        assert_eq!(differing(one.clone(), one.clone()), [""; 0]);
        let other = json!({
            "a": { "x": 2, "y": [2, 1], "inner": { "z": false } },
            "many": [{ "name": "q", "x": 2 }, { "name": "p", "x": 1 }, { "name": "new" }],
            "optional": { "b": 1 }
        });
        let keys = ["a.inner.z", "a.x", "a.y", "many[new]", "many[q].x", "optional"];
        assert_eq!(differing(one.clone(), other.clone()), keys);
        assert_eq!(differing(other, one), keys);
    }
}
