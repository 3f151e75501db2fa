//! Which names may be certified at all. It shapes nothing: bind it beside a policy that does.

mod domain;
mod lookalike;

use chancery_guest::Globs;
use chancery_guest::certificate::{Denial, Name, Policy, Proposal, Request, SettingsError};
use serde::Deserialize;

pub use crate::domain::Domain;

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NameGuard {
    /// Domains whose names may be certified; none: all that are not forbidden.
    pub allowed: Vec<Domain>,
    /// Domains whose names may not, whatever is allowed.
    pub forbidden: Vec<Domain>,
    /// Kinds of names.
    pub kinds: Kinds,
    /// What is done about names that are public suffixes.
    pub public_suffixes: Verdict,
    /// What is done about labels in scripts that nobody mixes.
    pub mixed_scripts: Verdict,
    /// Domains that no other may look like.
    pub protected: Vec<Domain>,
    /// How many labels a name may have.
    pub longest_label_chain: Option<usize>,
    /// Requesters to whom nothing of this applies.
    pub except_requesters: Globs,
}

/// Kinds of names that may be certified.
#[derive(Debug, Deserialize)]
pub struct Kinds(Vec<Kind>);

impl Default for Kinds {
    fn default() -> Self {
        Self(vec![Kind::Dns])
    }
}

/// A kind of name, as the contract calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A DNS name.
    Dns,
    /// An address.
    Ip,
    /// A URI, such as a SPIFFE ID.
    Uri,
    /// A mailbox.
    Email,
}

/// What is done about something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is refused.
    #[default]
    Deny,
    /// It is let pass.
    Allow,
}

chancery_guest::certificate_policy!(NameGuard, include_str!("../settings.schema.json"));

impl Policy for NameGuard {
    fn check(&self) -> Result<(), SettingsError> {
        if self.kinds.0.is_empty() {
            return Err(SettingsError::at("kinds", "name at least one kind"));
        }
        let domains = [
            ("allowed", &self.allowed),
            ("forbidden", &self.forbidden),
            ("protected", &self.protected),
        ];
        for (key, list) in domains {
            for (at, domain) in list.iter().enumerate() {
                domain.check().map_err(|why| SettingsError::at(format!("{key}.{at}"), why))?;
            }
        }
        match self.longest_label_chain {
            Some(count) if !(1..=127).contains(&count) => {
                Err(SettingsError::at("longest_label_chain", "a name has 1 to 127 labels"))
            }
            _ => Ok(()),
        }
    }

    fn evaluate(&self, request: &Request) -> Result<Proposal, Denial> {
        if !self.except_requesters.matches(&request.requester) {
            request.names.iter().try_for_each(|name| self.look_at(name))?;
        }
        Ok(Proposal::NoObjection)
    }
}

impl NameGuard {
    fn look_at(&self, name: &Name) -> Result<(), Denial> {
        let kind = match name.kind.as_str() {
            "dns" => Some(Kind::Dns),
            "ip" => Some(Kind::Ip),
            "uri" => Some(Kind::Uri),
            "email" => Some(Kind::Email),
            _ => None,
        };
        let Some(kind) = kind.filter(|kind| self.kinds.0.contains(kind)) else {
            let message = format!("names of kind {} are not certified here", name.kind);
            return Err(Denial::new("kind-not-allowed", &message, name.value.as_str()));
        };
        match (kind, name.value.rsplit_once('@')) {
            (Kind::Dns, _) => self.look_at_domain(&name.value),
            (Kind::Email, Some((_, domain))) => self.look_at_domain(&domain.to_ascii_lowercase()),
            _ => Ok(()),
        }
    }

    fn look_at_domain(&self, name: &str) -> Result<(), Denial> {
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let refuse = |code: &str, why: &str, audit: String| {
            Err(Denial::new(code, &format!("{name} is not certified: {why}"), audit))
        };
        if let Some(forbidden) = self.forbidden.iter().find(|domain| domain.has(plain)) {
            return refuse("name-forbidden", "its domain is forbidden", forbidden.to_string());
        }
        let wildcard = plain.len() < name.len();
        let covered = self.forbidden.iter().find(|domain| domain.is_right_below(plain));
        if let Some(forbidden) = covered.filter(|_| wildcard) {
            let why = "it stands for a name that is forbidden";
            return refuse("name-forbidden", why, forbidden.to_string());
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|domain| domain.has(plain)) {
            return refuse("name-not-allowed", "its domain is not allowed", String::new());
        }
        let labels = name.split('.').count();
        if self.longest_label_chain.is_some_and(|most| labels > most) {
            return refuse("too-many-labels", "it has too many labels", labels.to_string());
        }
        if self.public_suffixes == Verdict::Deny && domain::is_public_suffix(plain) {
            let why = "everybody can register names below it (a public suffix)";
            return refuse("public-suffix", why, plain.to_owned());
        }
        let shown = lookalike::shown(plain);
        if self.mixed_scripts == Verdict::Deny {
            match lookalike::mixed_label(plain) {
                Ok(None) => {}
                Ok(Some(label)) => {
                    return refuse("mixed-scripts", "a label mixes scripts", label);
                }
                Err(label) => {
                    return refuse("malformed-label", "an A-label cannot be decoded", label);
                }
            }
        }
        let like = self.protected.iter().find(|domain| {
            let protected = lookalike::shown(domain.as_str());
            let is_alike = !domain.has(plain) && lookalike::ends_like(&shown, &protected);
            // A wildcard beside it stands for all that look like it.
            is_alike || (wildcard && lookalike::is_above(&shown, &protected))
        });
        match like {
            None => Ok(()),
            Some(domain) => refuse(
                "look-alike",
                "it looks like another domain",
                format!("{shown} looks like {domain}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(json: &str) -> NameGuard {
        let guard: NameGuard = serde_json::from_str(json).unwrap();
        assert!(guard.check().is_ok(), "{:?}", guard.check());
        guard
    }

    fn code(guard: &NameGuard, kind: &str, value: &str) -> Option<String> {
        let name = Name { kind: kind.to_owned(), value: value.to_owned() };
        guard.look_at(&name).err().map(|denial| denial.code)
    }

    #[test]
    fn without_settings_suffixes_other_kinds_and_mixed_scripts_are_refused() {
        let guard = guard("{}");
        for good in ["a.example.com", "*.example.com", "xn--bcher-kva.example", "internal", "a.b"] {
            assert_eq!(code(&guard, "dns", good), None, "{good}");
        }
        for suffix in ["com", "co.uk", "*.co.uk", "github.io", "*.com"] {
            assert_eq!(code(&guard, "dns", suffix).as_deref(), Some("public-suffix"), "{suffix}");
        }
        // "pаypal" with a Cyrillic а.
        assert_eq!(code(&guard, "dns", "xn--pypal-4ve.com").as_deref(), Some("mixed-scripts"));
        assert_eq!(code(&guard, "dns", "xn--a-\u{7f}.com").as_deref(), Some("malformed-label"));
        assert_eq!(code(&guard, "ip", "192.0.2.1").as_deref(), Some("kind-not-allowed"));
        assert_eq!(code(&guard, "other", "x").as_deref(), Some("kind-not-allowed"));
    }

    #[test]
    fn domains_are_whole_labels_and_what_is_forbidden_wins() {
        let guard = guard(r#"{"allowed": ["example.com"], "forbidden": ["secret.example.com"]}"#);
        for (name, expected) in [
            ("example.com", None),
            ("*.example.com", Some("name-forbidden")),
            ("a.b.example.com", None),
            ("badexample.com", Some("name-not-allowed")),
            ("example.com.evil.net", Some("name-not-allowed")),
            ("secret.example.com", Some("name-forbidden")),
            ("*.secret.example.com", Some("name-forbidden")),
            ("x.secret.example.com", Some("name-forbidden")),
            ("notsecret.example.com", None),
            ("*.a.example.com", None),
        ] {
            assert_eq!(code(&guard, "dns", name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_domain_of_a_mailbox_is_looked_at_too() {
        let guard = guard(r#"{"kinds": ["email"], "allowed": ["example.com"]}"#);
        assert_eq!(code(&guard, "email", "a@Example.com"), None);
        assert_eq!(code(&guard, "email", "a@example.net").as_deref(), Some("name-not-allowed"));
        assert_eq!(
            code(&guard, "email", "a@example.com@evil.net").as_deref(),
            Some("name-not-allowed")
        );
    }

    #[test]
    fn nothing_looks_like_a_protected_domain_but_itself() {
        let guard = guard(r#"{"protected": ["paypal.com"], "mixed_scripts": "allow"}"#);
        for own in ["paypal.com", "www.paypal.com"] {
            assert_eq!(code(&guard, "dns", own), None, "{own}");
        }
        for alike in ["xn--pypal-4ve.com", "www.xn--pypal-4ve.com", "paypa1.com", "*.paypa1.com"] {
            assert_eq!(code(&guard, "dns", alike).as_deref(), Some("look-alike"), "{alike}");
        }
        assert_eq!(code(&guard, "dns", "paypals.com"), None);
        let guard = self::guard(r#"{"protected": ["pay.local.example"]}"#);
        for (wildcard, expected) in [
            ("*.local.example", Some("look-alike")),
            ("*.1ocal.example", Some("look-alike")),
            ("*.pay.local.example", None),
            ("*.example", None),
            ("*.other.example", None),
        ] {
            assert_eq!(code(&guard, "dns", wildcard).as_deref(), expected, "{wildcard}");
        }
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for (json, path) in [
            (r#"{"kinds": []}"#, "kinds"),
            (r#"{"allowed": ["ok.example", "*.x.example"]}"#, "allowed.1"),
            (r#"{"forbidden": ["Upper.example"]}"#, "forbidden.0"),
            (r#"{"protected": [""]}"#, "protected.0"),
            (r#"{"longest_label_chain": 0}"#, "longest_label_chain"),
        ] {
            let guard: NameGuard = serde_json::from_str(json).unwrap();
            assert_eq!(guard.check().unwrap_err().path, path, "{json}");
        }
    }

    #[test]
    fn the_longest_chain_counts_every_label() {
        let guard = guard(r#"{"longest_label_chain": 3}"#);
        assert_eq!(code(&guard, "dns", "a.example.com"), None);
        assert_eq!(code(&guard, "dns", "a.b.example.com").as_deref(), Some("too-many-labels"));
    }
}
