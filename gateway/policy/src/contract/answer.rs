//! What policies answer, taken over from the contract's types, or refused.

use std::time::Duration;

use super::world::{access, certificate, types};
use crate::question::{AccessGrant, Approval, CertificateTemplate, Denial, Extension, Name};

/// No certificate is asked to live longer: what exceeds this is a mistake in a policy.
const LONGEST_VALIDITY: u64 = 100 * 366 * 86_400;

fn pairs(attributes: Vec<types::Attribute>) -> Vec<(String, String)> {
    attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect()
}

/// Takes an answer over, or says what about it cannot be accepted.
pub(crate) fn accept_access(
    decision: access::Decision,
) -> Result<Result<AccessGrant, Denial>, String> {
    match decision {
        access::Decision::Allow(grant) => Ok(Ok(AccessGrant {
            max_ttl: grant.max_ttl_seconds.map(Duration::from_secs),
            reuse: grant.reuse_seconds.map(Duration::from_secs),
            obligations: pairs(grant.obligations).into_iter().collect(),
        })),
        access::Decision::Deny(denial) => Ok(Err(accept_denial(denial))),
        access::Decision::NeedsApproval(approval) => accept_approval(approval).map(Err),
    }
}

fn accept_approval(approval: access::Approval) -> Result<Denial, String> {
    if approval.group.is_empty() || approval.count == 0 || approval.valid_seconds == 0 {
        return Err("an approval by nobody or for no time".to_owned());
    }
    let mut denial = Denial::new(
        Denial::NEEDS_APPROVAL,
        &cut(approval.message, 1024),
        cut(approval.audit, 4096),
    );
    denial.approvals.push(Approval {
        group: approval.group,
        count: approval.count,
        valid_for: Duration::from_secs(approval.valid_seconds),
    });
    Ok(denial)
}

/// Takes an answer over, or says what about it cannot be accepted. No template is no objection.
pub(crate) fn accept_certificate(
    decision: certificate::Decision,
) -> Result<Result<Option<CertificateTemplate>, Denial>, String> {
    match decision {
        certificate::Decision::Issue(template) => accept_template(template).map(|t| Ok(Some(t))),
        certificate::Decision::NoObjection => Ok(Ok(None)),
        certificate::Decision::Deny(denial) => Ok(Err(accept_denial(denial))),
    }
}

fn accept_template(template: certificate::Template) -> Result<CertificateTemplate, String> {
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
        subject: pairs(template.subject),
        names,
        key_usages: template.key_usages,
        extended_key_usages: template.extended_key_usages,
        validity: Duration::from_secs(template.validity_seconds),
        extensions: template
            .extensions
            .into_iter()
            .map(|certificate::Extension { oid, critical, value }| Extension {
                oid,
                critical,
                value,
            })
            .collect(),
        profile: template.profile,
        issuer: template.issuer,
    })
}

/// None is known in 0.9. To ignore one could allow more than the policy meant.
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
        approvals: Vec::new(),
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
            subject: vec![],
            names: vec![certificate::Name { kind: "dns".into(), value: "a.example".into() }],
            key_usages: vec![],
            extended_key_usages: vec![],
            validity_seconds: 60,
            extensions: vec![],
            profile: "p".into(),
            issuer: None,
            properties: vec![],
        }
    }

    #[test]
    fn an_answer_with_a_property_is_refused() {
        let property = || vec![types::Attribute { name: "wrap".into(), value: "1".into() }];
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
    fn an_approval_names_a_group_a_number_and_a_time() {
        let approval = |group: &str, count, valid_seconds| {
            accept_access(access::Decision::NeedsApproval(access::Approval {
                group: group.into(),
                count,
                valid_seconds,
                message: "ask ops".into(),
                audit: String::new(),
            }))
        };
        let denial = approval("ops", 2, 60).unwrap().unwrap_err();
        assert_eq!((denial.code.as_str(), denial.approvals[0].count), ("needs-approval", 2));
        assert!(approval("", 1, 1).is_err());
        assert!(approval("ops", 0, 1).is_err());
        assert!(approval("ops", 1, 0).is_err());
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
