//! A policy's settings, on their way from TOML to JSON.

/// Dates and times become strings, since JSON has none.
pub(crate) fn settings_as_json(settings: &toml::Table) -> String {
    fn value(from: &toml::Value) -> serde_json::Value {
        match from {
            toml::Value::String(text) => text.as_str().into(),
            toml::Value::Integer(number) => (*number).into(),
            toml::Value::Float(number) => (*number).into(),
            toml::Value::Boolean(flag) => (*flag).into(),
            toml::Value::Datetime(time) => time.to_string().into(),
            toml::Value::Array(items) => items.iter().map(value).collect(),
            toml::Value::Table(table) => object(table),
        }
    }
    fn object(from: &toml::Table) -> serde_json::Value {
        from.iter().map(|(key, item)| (key.clone(), value(item))).collect()
    }
    object(settings).to_string()
}
