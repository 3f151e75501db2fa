//! Which names documents and settings may refer to. A binding for a tenant that does not exist is never asked:
//! if it denies, it looks like a guard and is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use chancery_identity::TenantId;

use crate::question::{Operations, fits};

/// What requesters of certificates begin with: an ACME account, the gateway itself, an identity.
const REQUESTERS: [&str; 5] = ["acme:", "internal:", "spiffe://", "dns:", "name:"];

/// How many references in a schema may lead to each other.
const REFERENCES: usize = 8;

/// What documents of policies, and the settings in them, may refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What access policies are asked about.
    pub operations: Operations,
    /// For whom policies are asked.
    pub tenants: Names,
    /// By whom certificates are issued.
    pub issuers: Names,
}

impl Known {
    /// The operations of the gateway, and any tenants and issuers.
    pub const OPERATIONS: Self =
        Self { operations: Operations::OfTheGateway, tenants: Names::Any, issuers: Names::Any };

    /// Any names at all: for tools that have no gateway, and for tests that make up their own.
    pub const ANYTHING: Self =
        Self { operations: Operations::Any, tenants: Names::Any, issuers: Names::Any };

    /// What is wrong with a pattern that matches no tenant.
    pub(crate) fn check_tenants(&self, pattern: &str) -> Result<(), String> {
        self.tenants.check(pattern, "tenant", |name| fits(pattern, name))
    }

    /// What is wrong with a pattern that no requester of certificates fits.
    pub(crate) fn check_requesters(&self, pattern: &str) -> Result<(), String> {
        let (beginning, star) = match pattern.split_once('*') {
            Some((beginning, _)) => (beginning, true),
            None => (pattern, false),
        };
        let is_of =
            |kind: &&str| beginning.starts_with(*kind) || (star && kind.starts_with(beginning));
        if self.operations == Operations::Any || REQUESTERS.iter().any(is_of) {
            return Ok(());
        }
        Err(format!(
            "`{pattern}` matches no requester: each begins with one of {}",
            REQUESTERS.join(", ")
        ))
    }

    /// Looks at those settings of a binding which its plugin's schema says refer to something.
    pub(crate) fn check_settings(&self, schema: &str, settings: &str) -> Result<(), WrongSetting> {
        let (Ok(schema), Ok(settings)) =
            (serde_json::from_str(schema), serde_json::from_str(settings))
        else {
            // Without a schema nothing is said about the settings.
            return Ok(());
        };
        let walk = Walk { known: self, root: &schema };
        walk.value(&schema, &settings, &mut vec![])
    }

    /// Checks a setting by the `format` that the schema gives it.
    fn check(&self, format: Option<&str>, text: &str) -> Result<(), String> {
        match format {
            Some("chancery-operation") => self.operations.check(text),
            Some("chancery-tenant") => self.check_tenants(text),
            Some("chancery-issuer") => self.issuers.check(text, "issuer", |name| text == name),
            _ => Ok(()),
        }
    }
}

/// The names of one kind of things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// Any at all.
    Any,
    /// These.
    Only(Arc<BTreeSet<String>>),
}

impl Names {
    /// The names of these tenants.
    pub fn of_tenants<'a>(tenants: impl IntoIterator<Item = &'a TenantId>) -> Self {
        tenants.into_iter().map(ToString::to_string).collect()
    }

    /// What is wrong with a text that means none of them; `kind` is what they are names of.
    fn check(&self, text: &str, kind: &str, means: impl Fn(&str) -> bool) -> Result<(), String> {
        let Self::Only(names) = self else { return Ok(()) };
        if names.iter().any(|name| means(name)) {
            return Ok(());
        }
        let nearest = nearest(names, text)
            .map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
        Err(format!("`{text}` matches no {kind} of this gateway{nearest}"))
    }
}

impl FromIterator<String> for Names {
    fn from_iter<T: IntoIterator<Item = String>>(names: T) -> Self {
        Self::Only(Arc::new(names.into_iter().collect()))
    }
}

/// The name that the pattern most resembles.
fn nearest<'a>(names: &'a BTreeSet<String>, pattern: &str) -> Option<&'a String> {
    names
        .iter()
        .map(|known| (strsim::damerau_levenshtein(pattern, known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2))
        .min()
        .map(|(_, known)| known)
}

/// Settings and their schema, side by side.
struct Walk<'a> {
    known: &'a Known,
    root: &'a serde_json::Value,
}

/// A setting that refers to nothing.
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
            Value::String(text) => {
                let format = schema.get("format").and_then(Value::as_str);
                let wrong = |message| WrongSetting { path: path.join("."), message };
                self.known.check(format, text).map_err(wrong)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Known {
            tenants: names(&["default", "payments", "web"]),
            issuers: names(&["private", "short"]),
            ..Known::OPERATIONS
        }
    }

    #[test]
    fn a_pattern_has_to_match_a_tenant() {
        for pattern in ["*", "pay*", "web", "*a*"] {
            assert_eq!(known().check_tenants(pattern), Ok(()), "{pattern}");
        }
        for (pattern, nearest) in [
            ("paymets", "; did you mean `payments`?"),
            ("Web", "; did you mean `web`?"),
            ("somebody-else", ""),
            ("x*", ""),
        ] {
            let expected = format!("`{pattern}` matches no tenant of this gateway{nearest}");
            assert_eq!(known().check_tenants(pattern), Err(expected), "{pattern}");
            assert_eq!(Known::ANYTHING.check_tenants(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_has_to_match_a_kind_of_requester() {
        for pattern in ["*", "acme:*", "acme:1", "a*", "*:1", "spiffe://x/*", "internal:gateway"] {
            assert_eq!(known().check_requesters(pattern), Ok(()), "{pattern}");
        }
        for pattern in ["", "acm:*", "acme", "Acme:*", "gateway", "spiffe:/x", "key:*"] {
            assert!(known().check_requesters(pattern).is_err(), "{pattern}");
            assert_eq!(Known::ANYTHING.check_requesters(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn the_schema_says_which_settings_name_tenants_and_issuers() {
        let schema = r#"{ "properties": {
            "tenant": { "format": "chancery-tenant" },
            "issuer": { "format": "chancery-issuer" },
            "other": { "format": "uri" }
        } }"#;
        assert_eq!(wrong(schema, r#"{ "tenant": "web", "issuer": "short", "other": "x" }"#), None);
        assert_eq!(wrong(schema, r#"{ "tenant": "wep" }"#).as_deref(), Some("tenant"));
        for issuer in ["shrt", "*"] {
            let settings = format!(r#"{{ "issuer": "{issuer}" }}"#);
            assert_eq!(wrong(schema, &settings).as_deref(), Some("issuer"));
        }
    }

    /// Where in the settings something is wrong.
    fn wrong(schema: &str, settings: &str) -> Option<String> {
        known().check_settings(schema, settings).err().map(|wrong| wrong.path)
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
}
