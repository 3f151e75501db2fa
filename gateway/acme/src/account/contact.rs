//! Parses the contacts of an account (RFC 8555 §7.3): `mailto:` URLs with one address each.

use std::net::IpAddr;

use chancery_x509::GeneralName;

use crate::error::Error;

/// The most contacts of one account.
const MAX: usize = 10;

/// The contacts of an account (RFC 8555 §7.3) as they are kept: `mailto:` with exactly one address and no
/// header fields. Space around the address is dropped: getssl writes `mailto: a@example.com`.
pub(super) fn parse(contacts: &[String]) -> Result<Vec<String>, Error> {
    if contacts.len() > MAX {
        return Err(Error::Malformed(format!("an account has at most {MAX} contacts")));
    }
    contacts.iter().map(|contact| parse_one(contact)).collect()
}

fn parse_one(contact: &str) -> Result<String, Error> {
    let shown = || contact.chars().take(80).collect::<String>();
    let invalid = |reason| Err(Error::InvalidContact { contact: shown(), reason });
    let (scheme, address) = contact.trim().split_once(':').unwrap_or(("", contact));
    let address = address.trim();
    if !scheme.eq_ignore_ascii_case("mailto") {
        return Err(Error::UnsupportedContact(shown()));
    }
    if address.len() > 254 {
        return invalid("longer than 254 characters");
    }
    if address.contains(['?', ',']) {
        return invalid("one address, without `?` fields and lists (RFC 8555 §7.3)");
    }
    if !address.bytes().all(|b| b.is_ascii_graphic()) {
        return invalid("an address is printable ASCII without spaces");
    }
    let Some((local, domain)) = address.rsplit_once('@').filter(|(local, _)| !local.is_empty())
    else {
        return invalid("an address is name@domain");
    };
    let is_quoted = local.len() > 1 && local.starts_with('"') && local.ends_with('"');
    if local.contains('@') && !is_quoted {
        return invalid("an address has one `@` (RFC 5321 §4.1.2)");
    }
    if !is_domain(domain) {
        return invalid("what is behind the `@` is not a domain");
    }
    Ok(format!("{scheme}:{address}"))
}

/// Whether mail may go there: a DNS name, or an address literal (RFC 5321 §4.1.3).
fn is_domain(domain: &str) -> bool {
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(literal) => literal.strip_prefix("IPv6:").unwrap_or(literal).parse::<IpAddr>().is_ok(),
        None => !domain.contains('*') && GeneralName::dns(domain).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_single(contact: &str) -> Result<String, Error> {
        parse(&[contact.to_owned()]).map(|mut kept| kept.remove(0))
    }

    #[test]
    fn takes_single_mail_addresses() {
        assert_eq!(parse(&[]).unwrap(), Vec::<String>::new());
        for good in [
            "mailto:a@example.com",
            "MailTo:a+b@example.com",
            "mailto:root@localhost",
            "mailto:\"a@b\"@example.com",
            "mailto:a@[192.0.2.1]",
            "mailto:a@[IPv6:2001:db8::1]",
        ] {
            assert_eq!(check_single(good).unwrap(), good);
        }
    }

    #[test]
    fn drops_space_around_an_address() {
        for spaced in
            ["mailto: a@example.com", " mailto:a@example.com\n", "mailto:\ta@example.com "]
        {
            assert_eq!(check_single(spaced).unwrap(), "mailto:a@example.com");
        }
    }

    #[test]
    fn tells_an_unsupported_scheme_from_a_bad_address() {
        for other in ["tel:+1", "https://a", "a@b", ""] {
            assert!(matches!(check_single(other), Err(Error::UnsupportedContact(_))), "{other}");
        }
        let long = format!("mailto:{}@b", "a".repeat(300));
        for bad in [
            "mailto:",
            "mailto:a",
            "mailto:@b",
            "mailto:a@",
            "mailto:a@b,c@d",
            "mailto:a@b?subject=x",
            "mailto:a b@c",
            "mailto:a@b@c",
            "mailto:a@@b",
            "mailto:a@b..c",
            "mailto:a@b.",
            "mailto:a@*.b",
            "mailto:a@b/c",
            "mailto:a@[b]",
            "mailto:ä@b",
            long.as_str(),
        ] {
            assert!(matches!(check_single(bad), Err(Error::InvalidContact { .. })), "{bad}");
        }
    }

    #[test]
    fn limits_their_number() {
        let many = vec!["mailto:a@b".to_owned(); MAX + 1];
        assert!(matches!(parse(&many), Err(Error::Malformed(_))));
    }
}
