//! Reads the settings of a binding from a policy document, for `--settings-of`.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// The settings of a binding in a document, given as `FILE` or `FILE#NAME`, as a JSON object.
pub(super) fn of_binding(place: &str) -> Result<String> {
    let (file, name) =
        place.split_once('#').map_or((place, None), |(file, name)| (file, Some(name)));
    let text = std::fs::read_to_string(Path::new(file))
        .with_context(|| format!("--settings-of: cannot read {file}"))?;
    let document: toml::Table =
        toml::from_str(&text).with_context(|| format!("--settings-of: {file}"))?;
    let bindings = document.get("binding").and_then(toml::Value::as_array);
    let bindings = bindings.map_or(&[][..], Vec::as_slice);
    let named = |binding: &&toml::Value| {
        name.is_none_or(|name| binding.get("name").and_then(toml::Value::as_str) == Some(name))
    };
    match bindings.iter().filter(named).collect::<Vec<_>>().as_slice() {
        [binding] => Ok(binding
            .get("settings")
            .map_or_else(|| Ok("{}".to_owned()), serde_json::to_string)?),
        [] => bail!("--settings-of: {file} has no such binding"),
        _ => bail!("--settings-of: {file} has several bindings: say which, as {file}#NAME"),
    }
}
