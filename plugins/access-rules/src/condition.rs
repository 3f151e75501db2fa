//! Under which circumstances a rule applies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chancery_guest::access::{Request, SettingsError};
use chancery_guest::{Globs, Network};
use serde::Deserialize;

use crate::time::{Hours, Moment};

/// Circumstances. All that is said has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Condition {
    /// Networks of which the caller's address is in one.
    addresses: Vec<Network>,
    /// Attributes of the context, with patterns of which every value has to fit one.
    attributes: BTreeMap<String, Globs>,
    /// Hours of the week.
    hours: Option<Hours>,
    /// From this moment on.
    from: Option<Moment>,
    /// Until before this moment.
    until: Option<Moment>,
}

/// Attributes whose values the gateway joins by commas, which none of the values has.
const JOINED: [&str; 2] = ["names", "principals"];

/// Whether a condition holds. The later of these counts more where several are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holds {
    Yes,
    /// The gateway does not say what it depends on.
    Unknown,
    /// Some values of an attribute fit, and others do not.
    Partly,
    No,
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Condition {
    /// What is wrong with it as a setting, if anything is. The path is below the condition.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let says_nothing = self.addresses.is_empty()
            && self.attributes.is_empty()
            && self.hours.is_none()
            && self.from.is_none()
            && self.until.is_none();
        if says_nothing {
            return Err(SettingsError::at("", "say at least one circumstance, or leave it out"));
        }
        if let Some((name, _)) = self.attributes.iter().find(|(_, globs)| globs.is_empty()) {
            let message = "name a value, or \"*\" for all";
            return Err(SettingsError::at(format!("attributes.{name}"), message));
        }
        let spans = |name: &str| {
            let globs = self.attributes.get(name).map_or(&[][..], Globs::as_slice);
            globs.iter().any(|glob| glob.as_str().contains(','))
        };
        if let Some(name) = JOINED.into_iter().find(|name| spans(name)) {
            let message = "each name is compared by itself, and none has a comma";
            return Err(SettingsError::at(format!("attributes.{name}"), message));
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from >= until
        {
            return Err(SettingsError::at("until", "this is not after `from`"));
        }
        Ok(())
    }

    /// Whether it holds for the request.
    pub(crate) fn holds(&self, request: &Request) -> Holds {
        self.address(request).max(self.attributes(request)).max(self.time(request))
    }

    fn address(&self, request: &Request) -> Holds {
        if self.addresses.is_empty() {
            return Holds::Yes;
        }
        match request.attribute("address").map(str::parse::<IpAddr>) {
            Some(Ok(address)) => {
                self.addresses.iter().any(|network| network.contains(address)).into()
            }
            _ => Holds::Unknown,
        }
    }

    fn attributes(&self, request: &Request) -> Holds {
        let each = self.attributes.iter().map(|(name, globs)| {
            let joined = JOINED.contains(&name.as_str());
            let (mut fits, mut does_not) = (false, false);
            for text in request.attributes_named(name) {
                for value in text.split(|c| joined && c == ',') {
                    if globs.matches(value) { fits = true } else { does_not = true }
                }
            }
            match (fits, does_not) {
                (true, false) => Holds::Yes,
                (true, true) => Holds::Partly,
                (false, true) => Holds::No,
                (false, false) => Holds::Unknown,
            }
        });
        each.max().unwrap_or(Holds::Yes)
    }

    fn time(&self, request: &Request) -> Holds {
        if self.hours.is_none() && self.from.is_none() && self.until.is_none() {
            return Holds::Yes;
        }
        let Some(now) = request.attribute("time").and_then(Moment::parse) else {
            return Holds::Unknown;
        };
        let holds = self.from.is_none_or(|from| now >= from)
            && self.until.is_none_or(|until| now < until)
            && self.hours.as_ref().is_none_or(|hours| hours.has(now));
        holds.into()
    }
}

#[cfg(test)]
mod tests {
    use chancery_guest::Attribute;

    use super::*;

    fn condition(json: &str) -> Condition {
        let condition: Condition = serde_json::from_str(json).unwrap();
        assert!(condition.check().is_ok(), "{json}");
        condition
    }

    fn holds(condition: &Condition, attributes: &[(&str, &str)]) -> Holds {
        condition.holds(&Request {
            tenant: String::new(),
            identity: String::new(),
            operation: String::new(),
            resource: String::new(),
            attributes: attributes
                .iter()
                .map(|(name, value)| Attribute {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect(),
        })
    }

    #[test]
    fn addresses_are_in_a_network_or_not_or_unknown() {
        let condition = condition(r#"{"addresses": ["10.0.0.0/8", "2001:db8::/32"]}"#);
        for (address, expected) in [
            ("10.1.2.3", Holds::Yes),
            ("::ffff:10.1.2.3", Holds::Yes),
            ("2001:db8::1", Holds::Yes),
            ("11.0.0.1", Holds::No),
            ("::1", Holds::No),
            ("nonsense", Holds::Unknown),
        ] {
            assert_eq!(holds(&condition, &[("address", address)]), expected, "{address}");
        }
        assert_eq!(holds(&condition, &[]), Holds::Unknown);
    }

    #[test]
    fn every_value_of_each_attribute_has_to_fit() {
        let condition = condition(r#"{"attributes": {"role": ["a-*"], "evidence": ["token"]}}"#);
        let (role, token) = (("role", "a-1"), ("evidence", "token"));
        assert_eq!(holds(&condition, &[role, token]), Holds::Yes);
        assert_eq!(holds(&condition, &[("role", "a-2"), role, token]), Holds::Yes);
        assert_eq!(holds(&condition, &[("role", "b"), role, token]), Holds::Partly);
        assert_eq!(holds(&condition, &[role, ("role", "b"), token]), Holds::Partly);
        assert_eq!(holds(&condition, &[("role", "b"), token]), Holds::No);
        assert_eq!(holds(&condition, &[role]), Holds::Unknown);
        assert_eq!(holds(&condition, &[("role", "b")]), Holds::No, "whatever the other is");
        assert_eq!(
            holds(&condition, &[("role", "b"), role]),
            Holds::Partly,
            "whatever the other is"
        );
    }

    #[test]
    fn names_that_the_gateway_joins_are_values_of_their_own() {
        for name in ["names", "principals"] {
            let condition =
                condition(&format!(r#"{{"attributes": {{"{name}": ["*.team", "x"]}}}}"#));
            for (value, expected) in [
                ("a.team", Holds::Yes),
                ("x,b.team,a.team", Holds::Yes),
                ("evil,a.team", Holds::Partly),
                ("a.team,evil", Holds::Partly),
                ("evil,worse", Holds::No),
            ] {
                assert_eq!(holds(&condition, &[(name, value)]), expected, "{name} {value}");
            }
        }
        let other = condition(r#"{"attributes": {"ou": ["a,b"]}}"#);
        assert_eq!(holds(&other, &[("ou", "a,b")]), Holds::Yes, "no list");
    }

    #[test]
    fn times_are_from_until_and_within_hours() {
        let json = r#"{"from": "2026-03-01T00:00:00Z", "until": "2026-04-01T00:00:00Z",
                       "hours": {"days": ["mon"], "from": "09:00", "to": "17:00"}}"#;
        let condition = condition(json);
        for (time, expected) in [
            ("2026-03-02T09:00:00Z", Holds::Yes),
            ("2026-03-02T16:59:59.999Z", Holds::Yes),
            ("2026-03-02T17:00:00Z", Holds::No),
            ("2026-03-03T12:00:00Z", Holds::No),
            ("2026-02-23T12:00:00Z", Holds::No),
            ("2026-04-06T12:00:00Z", Holds::No),
            ("yesterday", Holds::Unknown),
        ] {
            assert_eq!(holds(&condition, &[("time", time)]), expected, "{time}");
        }
        assert_eq!(holds(&condition, &[]), Holds::Unknown);
    }

    #[test]
    fn what_says_nothing_or_nonsense_is_refused() {
        for json in [
            "{}",
            r#"{"attributes": {"role": []}}"#,
            r#"{"attributes": {"names": ["x", "*,y"]}}"#,
            r#"{"attributes": {"principals": ["a,*"]}}"#,
            r#"{"from": "2026-03-01T00:00:00Z", "until": "2026-03-01T00:00:00Z"}"#,
        ] {
            let condition: Condition = serde_json::from_str(json).unwrap();
            assert!(condition.check().is_err(), "{json}");
        }
        for json in [r#"{"addresses": ["10.0.0.0/33"]}"#, r#"{"weather": "fine"}"#] {
            assert!(serde_json::from_str::<Condition>(json).is_err(), "{json}");
        }
    }
}
