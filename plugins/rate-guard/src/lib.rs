//! Limits on how many certificates a name or a requester gets. It does not shape certificates: bind it
//! beside a policy that does, with `grants = { issuance_counts = true }`.

use chancery_guest::certificate::{Denial, Name, Policy, Proposal, Request, SettingsError};
use chancery_guest::host::{LookupError, issued_for_name, issued_to};
use chancery_guest::{Globs, Period};
use serde::Deserialize;

/// The longest time in seconds over which the gateway counts.
const LONGEST: u64 = 30 * 86_400;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateGuard {
    /// The limits; all of them apply.
    pub limits: Vec<Limit>,
    /// Names that are not counted, as patterns over `KIND:NAME`.
    #[serde(default)]
    pub except_names: Globs,
    /// Requesters without a limit.
    #[serde(default)]
    pub except_requesters: Globs,
}

/// A number of certificates within a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Whose certificates are counted.
    pub per: Per,
    /// The most certificates, including the requested one.
    pub most: u64,
    /// Within this time.
    pub within: Period,
}

/// Whose certificates are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// Each name's.
    Name,
    /// The requester's.
    Requester,
}

chancery_guest::certificate_policy!(RateGuard, include_str!("../settings.schema.json"));

impl Policy for RateGuard {
    fn check(&self) -> Result<(), SettingsError> {
        if self.limits.is_empty() {
            return Err(SettingsError::at("limits", "set at least one limit"));
        }
        for (at, limit) in self.limits.iter().enumerate() {
            if limit.most == 0 {
                let message = "a limit of 0 denies everything: unbind the profile instead";
                return Err(SettingsError::at(format!("limits.{at}.most"), message));
            }
            if limit.within.seconds() > LONGEST {
                let message = "certificates are counted over 30d at most";
                return Err(SettingsError::at(format!("limits.{at}.within"), message));
            }
        }
        Ok(())
    }

    fn evaluate(&self, request: &Request) -> Result<Proposal, Denial> {
        self.decide(request, &issued_to, &|name, seconds| {
            issued_for_name(&name.kind, &name.value, seconds)
        })
    }
}

type Count<'a, T> = &'a dyn Fn(&T, u64) -> Result<u64, LookupError>;

impl RateGuard {
    fn decide(
        &self,
        request: &Request,
        to_requester: Count<'_, str>,
        for_name: Count<'_, Name>,
    ) -> Result<Proposal, Denial> {
        if self.except_requesters.matches(&request.requester) {
            return Ok(Proposal::NoObjection);
        }
        for limit in &self.limits {
            let seconds = limit.within.seconds();
            match limit.per {
                Per::Requester => {
                    limit.check(to_requester(&request.requester, seconds)?, &request.requester)?;
                }
                Per::Name => {
                    for name in &request.names {
                        let text = format!("{}:{}", name.kind, name.value);
                        if !self.except_names.matches(&text) {
                            limit.check(for_name(name, seconds)?, &text)?;
                        }
                    }
                }
            }
        }
        Ok(Proposal::NoObjection)
    }
}

impl Limit {
    fn check(&self, issued: u64, whose: &str) -> Result<(), Denial> {
        if issued < self.most {
            return Ok(());
        }
        let (most, seconds) = (self.most, self.within.seconds());
        Err(Denial::new(
            "rate-limited",
            &format!("{whose} may have {most} certificates in {seconds} seconds: try again later"),
            format!("{whose} has had {issued}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use chancery_guest::certificate::KeyFacts;

    use super::*;

    fn guard(json: &str) -> RateGuard {
        serde_json::from_str(json).unwrap()
    }

    fn request(names: &[&str]) -> Request {
        Request {
            tenant: "default".to_owned(),
            requester: "acme:1".to_owned(),
            identity: None,
            profile: None,
            key: KeyFacts {
                algorithm: "ecdsa-p256".to_owned(),
                bits: 256,
                fingerprint: String::new(),
            },
            subject: Vec::new(),
            names: names
                .iter()
                .map(|name| Name { kind: "dns".to_owned(), value: (*name).to_owned() })
                .collect(),
            validated: Vec::new(),
            extensions: Vec::new(),
            validity_seconds: None,
            attributes: Vec::new(),
        }
    }

    /// The guard's answer if every name has had `names` certificates and the requester `requester`.
    fn ask(guard: &RateGuard, names: u64, requester: u64) -> Result<Proposal, String> {
        guard
            .decide(&request(&["a", "b"]), &|_, _| Ok(requester), &|_, _| Ok(names))
            .map_err(|denial| denial.code)
    }

    #[test]
    fn the_certificate_that_is_asked_for_counts() {
        let guard = guard(r#"{"limits":[{"per":"name","most":5,"within":"7d"}]}"#);
        assert!(ask(&guard, 4, 99).is_ok());
        assert_eq!(ask(&guard, 5, 0).unwrap_err(), "rate-limited");
    }

    #[test]
    fn every_limit_holds_and_exceptions_are_excepted() {
        let limits = r#""limits":[{"per":"name","most":5,"within":"7d"},{"per":"requester","most":9,"within":"1h"}]"#;
        let both = guard(&format!("{{{limits}}}"));
        assert_eq!(ask(&both, 0, 9).unwrap_err(), "rate-limited");
        let names = guard(&format!(r#"{{{limits},"except_names":["dns:*"]}}"#));
        assert!(ask(&names, 99, 8).is_ok());
        assert!(ask(&names, 99, 9).is_err());
        let requesters = guard(&format!(r#"{{{limits},"except_requesters":["acme:1"]}}"#));
        assert!(ask(&requesters, 99, 99).is_ok());
    }

    #[test]
    fn what_cannot_be_counted_is_denied() {
        let guard = guard(r#"{"limits":[{"per":"requester","most":5,"within":"7d"}]}"#);
        let failed = |_: &str, _| {
            Err(LookupError { code: "not-granted".to_owned(), message: String::new() })
        };
        let denial = guard.decide(&request(&["a"]), &failed, &|_, _| Ok(0)).unwrap_err();
        assert_eq!(denial.code, "lookup-failed");
    }

    #[test]
    fn limits_that_cannot_be_meant_are_refused_with_their_place() {
        let path =
            |limit: &str| guard(&format!(r#"{{"limits":[{limit}]}}"#)).check().unwrap_err().path;
        assert_eq!(path(""), "limits");
        assert_eq!(path(r#"{"per":"name","most":0,"within":"7d"}"#), "limits.0.most");
        assert_eq!(path(r#"{"per":"name","most":1,"within":"31d"}"#), "limits.0.within");
    }

    #[test]
    fn the_schema_names_every_setting() {
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../settings.schema.json")).unwrap();
        let limit = &schema["properties"]["limits"]["items"]["properties"];
        // In the order that serde_json uses, which depends on other crates of the build.
        let keys = |of: &serde_json::Value| {
            let keys: std::collections::BTreeSet<_> = of.as_object().unwrap().keys().collect();
            keys.into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(keys(&schema["properties"]), ["except_names", "except_requesters", "limits"]);
        assert_eq!(keys(limit), ["most", "per", "within"]);
    }
}
