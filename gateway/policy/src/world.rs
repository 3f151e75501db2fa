//! The contract in `wit/`, and how this crate's types cross it.

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod generated {
    pub(crate) mod access {
        wasmtime::component::bindgen!({ path: "../../wit", world: "access-policy" });
    }
    pub(crate) mod certificate {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "certificate-policy",
            with: { "chancery:policy/types": super::access::chancery::policy::types },
        });
    }
}

use std::time::Duration;

pub(crate) use generated::access::chancery::policy::types::{self, SettingsError};
pub(crate) use generated::access::exports::chancery::policy::access;
pub(crate) use generated::access::{AccessPolicy, AccessPolicyPre};
pub(crate) use generated::certificate::exports::chancery::policy::certificate;
pub(crate) use generated::certificate::{CertificatePolicy, CertificatePolicyPre};

use crate::{AccessGrant, AccessRequest, CertificateFacts, CertificateTemplate, Denial, Name};

/// The interface that a component for access exports.
pub(crate) const ACCESS: &str = "chancery:policy/access@0.1.0";
/// The interface that a component for certificates exports.
pub(crate) const CERTIFICATE: &str = "chancery:policy/certificate@0.1.0";

/// No certificate is asked to live longer: what exceeds this is a mistake in a policy.
const LONGEST_VALIDITY: u64 = 100 * 366 * 86_400;

impl From<&AccessRequest> for access::Request {
    fn from(request: &AccessRequest) -> Self {
        Self {
            tenant: request.tenant.to_string(),
            identity: request.identity.clone(),
            operation: request.operation.clone(),
            resource: request.resource.clone(),
            attributes: attributes(&request.attributes),
        }
    }
}

impl From<&CertificateFacts> for certificate::Request {
    fn from(facts: &CertificateFacts) -> Self {
        Self {
            tenant: facts.tenant.to_string(),
            requester: facts.requester.clone(),
            identity: facts.identity.clone(),
            profile: facts.profile.clone(),
            key: certificate::KeyFacts {
                algorithm: facts.key.algorithm.clone(),
                bits: facts.key.bits,
            },
            common_name: facts.common_name.clone(),
            names: facts
                .requested
                .iter()
                .map(|name| certificate::Name {
                    kind: name.kind.clone(),
                    value: name.value.clone(),
                })
                .collect(),
            validated: facts
                .validated
                .iter()
                .map(|name| certificate::ValidatedName {
                    kind: name.kind.clone(),
                    value: name.value.clone(),
                    method: name.method.clone(),
                })
                .collect(),
            validity_seconds: facts.requested_validity.map(|validity| validity.as_secs()),
            attributes: attributes(&facts.attributes),
        }
    }
}

fn attributes(pairs: &[(String, String)]) -> Vec<types::Attribute> {
    pairs
        .iter()
        .map(|(name, value)| types::Attribute { name: name.clone(), value: value.clone() })
        .collect()
}

/// Takes an answer over, or says what about it cannot be accepted.
pub(crate) fn accept_grant(grant: &access::Grant) -> Result<AccessGrant, String> {
    refuse_properties(&grant.properties)?;
    Ok(AccessGrant { max_ttl: grant.max_ttl_seconds.map(Duration::from_secs) })
}

/// Takes an answer over, or says what about it cannot be accepted.
pub(crate) fn accept_template(
    template: certificate::Template,
) -> Result<CertificateTemplate, String> {
    refuse_properties(&template.properties)?;
    if !(1..=LONGEST_VALIDITY).contains(&template.validity_seconds) {
        return Err(format!("a validity of {} seconds", template.validity_seconds));
    }
    if template.profile.is_empty() {
        return Err("a template without the name of a profile".to_owned());
    }
    let names = template
        .names
        .into_iter()
        .map(|name| match name.kind.as_str() {
            "dns" | "ip" | "uri" | "email" => Ok(Name { kind: name.kind, value: name.value }),
            other => Err(format!("a name of the unknown kind {other:?}")),
        })
        .collect::<Result<_, _>>()?;
    Ok(CertificateTemplate {
        common_name: template.common_name,
        names,
        key_usages: template.key_usages,
        extended_key_usages: template.extended_key_usages,
        validity: Duration::from_secs(template.validity_seconds),
        profile: template.profile,
        issuer: template.issuer,
    })
}

/// None is known in 0.1. To ignore one could allow more than the policy meant.
fn refuse_properties(properties: &[types::Attribute]) -> Result<(), String> {
    match properties.first() {
        None => Ok(()),
        Some(first) => Err(format!("the property {:?}, which this host does not know", first.name)),
    }
}

/// Takes a denial over, cut to what fits an answer and an audit line. A code that is not one becomes
/// `denied`.
pub(crate) fn accept_denial(denial: types::Denial) -> Denial {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_code = (1..=64).contains(&denial.code.len()) && denial.code.bytes().all(letter);
    Denial {
        code: if is_code { denial.code } else { "denied".to_owned() },
        message: cut(denial.message, 1024),
        audit: cut(denial.audit, 4096),
    }
}

fn cut(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> certificate::Template {
        certificate::Template {
            common_name: None,
            names: vec![certificate::Name { kind: "dns".into(), value: "a.example".into() }],
            key_usages: vec![],
            extended_key_usages: vec![],
            validity_seconds: 60,
            profile: "p".into(),
            issuer: None,
            properties: vec![],
        }
    }

    #[test]
    fn an_answer_with_a_property_is_refused() {
        let property = || vec![types::Attribute { name: "wrap".into(), value: "1".into() }];
        let grant = access::Grant { max_ttl_seconds: None, properties: property() };
        assert!(accept_grant(&grant).unwrap_err().contains("wrap"));
        let shaped = certificate::Template { properties: property(), ..template() };
        assert!(accept_template(shaped).unwrap_err().contains("wrap"));
        assert!(accept_template(template()).is_ok());
    }

    #[test]
    fn a_template_needs_a_profile_a_validity_and_known_kinds_of_names() {
        let name = |kind: &str| certificate::Name { kind: kind.into(), value: "x".into() };
        for wrong in [
            certificate::Template { validity_seconds: 0, ..template() },
            certificate::Template { validity_seconds: u64::MAX, ..template() },
            certificate::Template { profile: String::new(), ..template() },
            certificate::Template { names: vec![name("dns"), name("DNS")], ..template() },
        ] {
            assert!(accept_template(wrong).is_err());
        }
    }

    #[test]
    fn a_denial_is_cut_at_a_character_and_its_code_checked() {
        let denial = |code: &str| types::Denial {
            code: code.into(),
            message: "é".repeat(1000),
            audit: "é".repeat(9000),
        };
        let taken = accept_denial(denial("no-rule"));
        assert_eq!((taken.code.as_str(), taken.message.len()), ("no-rule", 1024));
        assert_eq!(taken.audit.len(), 4096);
        for bad in ["", "No", "a b", &"a".repeat(65)] {
            assert_eq!(accept_denial(denial(bad)).code, "denied");
        }
    }
}
