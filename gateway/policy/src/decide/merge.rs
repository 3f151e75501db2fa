//! What several policies allow together.

use crate::question::{AccessGrant, CertificateTemplate, Denial, Disagreement};

/// Every ceiling holds.
pub(crate) fn strictest(grants: Vec<AccessGrant>) -> AccessGrant {
    grants.into_iter().reduce(AccessGrant::strictest).unwrap_or_default()
}

/// Several policies may shape one certificate: what all of them have is what it gets. None if nobody
/// shapes it.
pub(crate) fn narrowest(
    templates: Vec<Option<CertificateTemplate>>,
) -> Result<Option<CertificateTemplate>, Denial> {
    let mut templates = templates.into_iter().flatten();
    let Some(first) = templates.next() else { return Ok(None) };
    templates.try_fold(first, |narrowest, other| narrowest.strictest(&other)).map(Some).map_err(
        |disagreement| match disagreement {
            Disagreement::Different(what) => {
                let message = format!("the policies want certificates with a different {what}");
                let audit =
                    format!("several policies propose certificates with a different {what}");
                Denial::new(Denial::AMBIGUOUS, &message, audit)
            }
            Disagreement::NothingInCommon(what) => {
                let message = format!("there is no {what} that all of the policies allow");
                let audit =
                    format!("several policies propose certificates without a common {what}");
                Denial::new(Denial::NOTHING_IN_COMMON, &message, audit)
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::question::Name;

    fn template(seconds: u64, usages: &[&str]) -> CertificateTemplate {
        CertificateTemplate {
            subject: vec![],
            names: vec![],
            key_usages: usages.iter().map(|&usage| usage.to_owned()).collect(),
            extended_key_usages: vec![],
            validity: Duration::from_secs(seconds),
            extensions: vec![],
            profile: "p".to_owned(),
            issuer: None,
        }
    }

    #[test]
    fn templates_merge_to_what_all_of_them_have() {
        let (one, two) = (template(2, &["a", "b"]), template(1, &["b", "c"]));
        let merged = template(1, &["b"]);
        let both = narrowest(vec![Some(one.clone()), None, Some(two.clone())]);
        assert_eq!(both, Ok(Some(merged.clone())));
        assert_eq!(narrowest(vec![Some(two), Some(one)]), Ok(Some(merged)));
    }

    #[test]
    fn where_nothing_is_left_the_policies_deny() {
        let name = |value: &str| Name { kind: "dns".to_owned(), value: value.to_owned() };
        let whole = |usage: &str, purpose: &str, names: &[&str]| CertificateTemplate {
            names: names.iter().copied().map(name).collect(),
            extended_key_usages: vec![purpose.to_owned()],
            ..template(1, &[usage])
        };
        let one = whole("sign", "server", &["a", "b"]);
        for (other, what) in [
            (whole("encipher", "server", &["a"]), "key usage"),
            (whole("sign", "client", &["a"]), "purpose"),
            (whole("sign", "server", &["c"]), "name"),
            (whole("sign", "server", &[]), "name"),
        ] {
            for pair in [[one.clone(), other.clone()], [other, one.clone()]] {
                let denial = narrowest(pair.into_iter().map(Some).collect()).unwrap_err();
                assert_eq!(denial.code, Denial::NOTHING_IN_COMMON);
                assert!(denial.message.contains(what), "{what}: {}", denial.message);
            }
        }
        assert!(narrowest(vec![Some(one.clone()), Some(whole("sign", "server", &["b"]))]).is_ok());
    }

    #[test]
    fn what_cannot_be_narrowed_has_to_be_the_same() {
        let one = template(1, &[]);
        let other = CertificateTemplate { profile: "q".to_owned(), ..one.clone() };
        let denial = narrowest(vec![Some(one.clone()), Some(other)]).unwrap_err();
        assert_eq!(denial.code, Denial::AMBIGUOUS);
        let issuer =
            |name: &str| CertificateTemplate { issuer: Some(name.to_owned()), ..one.clone() };
        assert!(narrowest(vec![Some(issuer("a")), Some(issuer("b"))]).is_err());
        let chosen = narrowest(vec![Some(one.clone()), Some(issuer("b"))]).unwrap().unwrap();
        assert_eq!(chosen.issuer.as_deref(), Some("b"));
    }
}
