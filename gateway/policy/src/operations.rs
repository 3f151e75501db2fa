//! Which operations there are. A rule about one that does not exist would never apply: if it denies, it looks
//! like a guard and is none.

use std::collections::BTreeSet;

use crate::pattern::fits;

/// What access policies are asked about, in the order of bytes. Whoever adds an operation to the gateway adds
/// it here: of what is not here the policies are not asked, and it is denied.
const OPERATIONS: [&str; 67] = [
    "acme.account.create",
    "acme.order.create",
    "auth.login",
    "certificates.list",
    "certificates.read",
    "certificates.renew",
    "certificates.revoke",
    "certificates.sign",
    "crypto.decrypt",
    "crypto.encrypt",
    "crypto.mac",
    "crypto.make-data-key",
    "crypto.rewrap",
    "crypto.sign",
    "crypto.verify",
    "crypto.verify-mac",
    "data-set.delete",
    "data-set.list",
    "data-set.read",
    "data-set.update",
    "group.delete",
    "group.list",
    "group.read",
    "group.update",
    "key.list",
    "keys.back-up",
    "keys.create",
    "keys.delete",
    "keys.disable",
    "keys.enable",
    "keys.export",
    "keys.import",
    "keys.list",
    "keys.purge",
    "keys.read",
    "keys.restore",
    "keys.rotate",
    "keys.trim",
    "keys.undelete",
    "keys.update",
    "mounts.read",
    "policy-set.read",
    "policy-set.reload",
    "policy-set.rollback",
    "secrets.config.read",
    "secrets.config.update",
    "secrets.create",
    "secrets.delete",
    "secrets.destroy",
    "secrets.list",
    "secrets.metadata.delete",
    "secrets.metadata.read",
    "secrets.metadata.update",
    "secrets.patch",
    "secrets.read",
    "secrets.subkeys.read",
    "secrets.undelete",
    "secrets.update",
    "session.list",
    "session.read",
    "session.revoke",
    "ssh.sign-host",
    "ssh.sign-user",
    "store.backup",
    "token.drain",
    "token.list",
    "token.resume",
];

/// In JSON Schemas of settings, the `format` of strings that are patterns of operations.
const FORMAT: &str = "chancery-operation";

/// How many references in a schema may lead to each other.
const REFERENCES: usize = 8;

/// Which operations policies can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Those that the gateway has.
    OfTheGateway,
    /// Any at all: for tests and measurements that make up their own.
    Any,
}

impl Operations {
    /// The operations that the gateway has, in the order of bytes.
    pub const ALL: &'static [&'static str] = &OPERATIONS;

    pub(crate) fn has(self, operation: &str) -> bool {
        self == Self::Any || OPERATIONS.binary_search(&operation).is_ok()
    }

    /// What is wrong with a pattern that matches no operation.
    pub(crate) fn check(self, pattern: &str) -> Result<(), String> {
        if self == Self::Any || OPERATIONS.iter().any(|operation| fits(pattern, operation)) {
            return Ok(());
        }
        let nearest = nearest(pattern)
            .map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
        Err(format!("`{pattern}` matches no operation of this gateway{nearest}"))
    }

    /// Looks at those settings of a binding which its plugin's schema says are patterns of operations.
    pub(crate) fn check_settings(self, schema: &str, settings: &str) -> Result<(), WrongSetting> {
        let (Ok(schema), Ok(settings)) =
            (serde_json::from_str(schema), serde_json::from_str(settings))
        else {
            // Without a schema nothing is said about the settings.
            return Ok(());
        };
        let walk = Walk { operations: self, root: &schema };
        walk.value(&schema, &settings, &mut vec![])
    }
}

/// Settings and their schema, side by side.
struct Walk<'a> {
    operations: Operations,
    root: &'a serde_json::Value,
}

/// A setting that is no pattern of operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrongSetting {
    /// Keys and positions, joined by dots.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl<'a> Walk<'a> {
    /// As deep as the settings are, and JSON is not read deeper than 128.
    fn value(
        &self,
        schema: &'a serde_json::Value,
        value: &serde_json::Value,
        path: &mut Vec<String>,
    ) -> Result<(), WrongSetting> {
        use serde_json::Value;
        let schema = self.resolved(schema);
        match value {
            Value::String(pattern)
                if schema.get("format").is_some_and(|format| format == FORMAT) =>
            {
                let wrong = |message| WrongSetting { path: path.join("."), message };
                self.operations.check(pattern).map_err(wrong)
            }
            Value::Array(items) => items.iter().enumerate().try_for_each(|(at, item)| {
                self.below(schema.get("items"), item, at.to_string(), path)
            }),
            Value::Object(members) => members.iter().try_for_each(|(key, member)| {
                let named = schema.get("properties").and_then(|named| named.get(key));
                let schema = named.or_else(|| schema.get("additionalProperties"));
                self.below(schema, member, key.clone(), path)
            }),
            _ => Ok(()),
        }
    }

    fn below(
        &self,
        schema: Option<&'a serde_json::Value>,
        value: &serde_json::Value,
        step: String,
        path: &mut Vec<String>,
    ) -> Result<(), WrongSetting> {
        let Some(schema) = schema else { return Ok(()) };
        path.push(step);
        self.value(schema, value, path)?;
        path.pop();
        Ok(())
    }

    /// What the schema refers to, if it does: `"$ref": "#/$defs/rule"`.
    fn resolved(&self, schema: &'a serde_json::Value) -> &'a serde_json::Value {
        let mut schema = schema;
        for _ in 0..REFERENCES {
            let target = schema.get("$ref").and_then(|target| target.as_str()?.strip_prefix('#'));
            let Some(found) = target.and_then(|pointer| self.root.pointer(pointer)) else { break };
            schema = found;
        }
        schema
    }
}

/// The operation, or family of operations (`secrets.*`), that the pattern most resembles.
fn nearest(pattern: &str) -> Option<String> {
    let family = |operation: &str| operation.split_once('.').map(|(of, _)| format!("{of}.*"));
    let families: BTreeSet<_> = OPERATIONS.into_iter().filter_map(family).collect();
    let single = OPERATIONS.into_iter().map(str::to_owned);
    let candidates: Vec<_> =
        if pattern.contains('*') { families.into_iter().collect() } else { single.collect() };
    candidates
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(pattern, &known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Operations = Operations::OfTheGateway;

    #[test]
    fn operations_are_sorted_and_known() {
        assert!(OPERATIONS.is_sorted_by(|one, two| one < two));
        assert!(GATEWAY.has("secrets.destroy") && GATEWAY.has("acme.order.create"));
        assert!(!GATEWAY.has("secrets.destory") && !GATEWAY.has("") && Operations::Any.has("x"));
    }

    #[test]
    fn a_pattern_has_to_match_an_operation() {
        for pattern in ["*", "secrets.*", "*.read", "secrets.destroy", "s*.d*y"] {
            assert_eq!(GATEWAY.check(pattern), Ok(()), "{pattern}");
        }
        for (pattern, nearest) in [
            ("secrets.destory", "; did you mean `secrets.destroy`?"),
            ("secret.destroy", "; did you mean `secrets.destroy`?"),
            ("sekrets.*", "; did you mean `secrets.*`?"),
            ("Secrets.read", "; did you mean `secrets.read`?"),
            ("something-else-entirely.of-somebody", ""),
            ("", ""),
        ] {
            let expected = format!("`{pattern}` matches no operation of this gateway{nearest}");
            assert_eq!(GATEWAY.check(pattern), Err(expected), "{pattern}");
            assert_eq!(Operations::Any.check(pattern), Ok(()), "{pattern}");
        }
    }

    /// Where in the settings something is wrong.
    fn wrong(schema: &str, settings: &str) -> Option<String> {
        GATEWAY.check_settings(schema, settings).err().map(|wrong| wrong.path)
    }

    #[test]
    fn settings_are_compared_where_the_schema_says_so() {
        let schema = r##"{
            "properties": { "rules": { "type": "array", "items": { "$ref": "#/$defs/rule" } } },
            "additionalProperties": { "format": "chancery-operation" },
            "$defs": {
                "rule": { "properties": {
                    "operations": { "items": { "$ref": "#/$defs/one" } },
                    "operation": { "type": "string" }
                } },
                "one": { "format": "chancery-operation" },
                "self": { "$ref": "#/$defs/self" }
            }
        }"##;
        let rules = |operations: &str| {
            let good = r#"{ "operations": ["secrets.*"], "operation": "x" }"#;
            format!(r#"{{ "rules": [{good}, {{ "operations": {operations} }}] }}"#)
        };
        assert_eq!(wrong(schema, &rules(r#"["secrets.read", "*"]"#)), None);
        let found = wrong(schema, &rules(r#"["secrets.read", "secrets.destory"]"#));
        assert_eq!(found.as_deref(), Some("rules.1.operations.1"));
        assert_eq!(wrong(schema, r#"{ "other": "reed" }"#).as_deref(), Some("other"));
        for odd in [r#"{ "rules": 1 }"#, r#"{ "rules": [7, null, ["x"]] }"#, "[]", "no JSON"] {
            assert_eq!(wrong(schema, odd), None, "{odd}");
        }
        for odd in ["", "true", "[]", r##"{ "$ref": "#" }"##, r##"{ "$ref": "#/absent" }"##] {
            assert_eq!(wrong(odd, &rules(r#"["x"]"#)), None, "{odd}");
        }
    }

    /// The table of the documentation has each operation, and no other.
    #[test]
    fn the_documentation_names_each_operation() {
        let document = include_str!("../../../policies/README.md");
        let table = document.split_once("| access operation |").unwrap().1;
        let table = table.split_once("\n\n").unwrap().0;
        let mut patterns = Vec::new();
        for line in table.lines().skip(2) {
            let first = line.split('|').nth(1).unwrap();
            let mut last = String::new();
            for word in first.split('`').skip(1).step_by(2) {
                let word = match word.strip_prefix('.') {
                    Some(end) => format!("{}.{end}", last.rsplit_once('.').unwrap().0),
                    None => word.to_owned(),
                };
                patterns.push(word.clone());
                last = word;
            }
        }
        for pattern in &patterns {
            assert_eq!(GATEWAY.check(pattern), Ok(()));
        }
        for operation in OPERATIONS {
            let named = patterns.iter().any(|pattern| fits(pattern, operation));
            assert!(named, "{operation} is not in policies/README.md");
        }
    }
}
