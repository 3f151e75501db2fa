//! What is a host name: the one place that decides about it, for requests, orders, certificates and lints
//! alike.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use psl::Type;

/// What is wrong with a DNS name that is to be certified (RFC 5280 §4.2.1.6, RFC 5890 §2.3), possibly a
/// wildcard; none if nothing is.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 253 {
        return Some("it is empty or longer than 253 bytes");
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    if let Some(fault) = host.split('.').find_map(label_fault) {
        return Some(fault);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return Some("the last label is a number");
    }
    // Of some suffixes the list says that whatever is right below them is one, as of `kobe.jp`.
    (host.len() != name.len() && (is_public_suffix(host) || is_public_suffix(name)))
        .then_some("a wildcard right below a public suffix would be for other people's names")
}

/// Whether a name that ends with this label is an IPv4 address for many who read it: `192.0.2.1` and `1.2`,
/// and `0x7f000001` and `127.0.0.0x1` (WHATWG URL §3.5, "ends in a number").
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn label_fault(label: &str) -> Option<&'static str> {
    if label.is_empty() || label.len() > 63 {
        return Some("a label is empty or longer than 63 bytes");
    }
    if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Some(
            "a label has other than letters, digits and '-'; write international names as A-labels, and \
             '*' only as the whole first label",
        );
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Some("a label starts or ends with '-'");
    }
    let is_a_label = label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"));
    (is_a_label && !decodes(label)).then_some("a label begins with 'xn--' and is no A-label")
}

/// Whether an A-label is what its decoded form is encoded to (RFC 5891 §5.4).
fn decodes(label: &str) -> bool {
    let rules = Uts46::new();
    let label = label.to_ascii_lowercase();
    let (decoded, result) = rules.to_unicode(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow);
    let again =
        rules.to_ascii(decoded.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, DnsLength::Verify);
    result.is_ok() && decoded != label && again.is_ok_and(|again| again == label)
}

/// Whether a name is one below which strangers register names, by the part of the public suffix list
/// (publicsuffix.org) that follows ICANN's contracts. What the list does not have is no public suffix.
fn is_public_suffix(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    psl::suffix(host.as_bytes()).is_some_and(|suffix| {
        suffix.typ() == Some(Type::Icann) && suffix.as_bytes() == host.as_bytes()
    })
}

/// Whether the public suffix list has the top-level name of `name`. It has none for `localhost`, `lan`,
/// `internal` and others that nobody has delegated.
pub fn has_listed_top_level(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    psl::suffix(top.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_right_below_public_suffixes_are_refused() {
        for refused in ["*.com", "*.COM", "*.co.uk", "*.kobe.jp", "*.anything.ck", "*.xn--p1ai"] {
            assert!(fault(refused).is_some_and(|why| why.contains("public suffix")), "{refused}");
        }
        // Private suffixes are somebody's own; unlisted names are no suffixes; exceptions are names.
        for taken in
            ["*.github.io", "*.lan", "*.localhost", "*.example.com", "*.www.ck", "com", "uk"]
        {
            assert_eq!(fault(taken), None, "{taken}");
        }
    }

    #[test]
    fn labels_that_pretend_to_be_international_are_refused() {
        for refused in [
            "xn--0.example",
            "xn--.example",
            "xn--a.example",
            "XN--0.example",
            "www.xn--zzzzzzzzzzzzzzzzz99999.example",
            "*.xn--0.example",
            // Punycode of `example`, which needs none.
            "xn--example-.com",
        ] {
            assert!(fault(refused).is_some(), "{refused}");
        }
        for taken in [
            "xn--mnchen-3ya.example",
            "XN--MNCHEN-3YA.example",
            "xn--i-7iq.example",
            "*.shop.xn--fiqs8s",
            // Not reserved for anything yet, and in use.
            "r1---sn-abc.example",
        ] {
            assert_eq!(fault(taken), None, "{taken}");
        }
    }

    #[test]
    fn names_that_are_addresses_for_others_are_refused() {
        for refused in [
            "192.0.2.1",
            "1.2",
            "1",
            "0x7f000001",
            "0X7F000001",
            "127.0.0.0x1",
            "a.example.0x1",
            "a.0x",
            "*.0xff",
        ] {
            assert_eq!(fault(refused), Some("the last label is a number"), "{refused}");
        }
        for taken in ["0x7f.example", "1.example", "a.0xfg", "a.x1", "a.0x-1", "a.00x1"] {
            assert_eq!(fault(taken), None, "{taken}");
        }
    }

    #[test]
    fn top_level_names_are_listed_or_not() {
        for listed in ["com", "a.co.uk", "x.github.io", "a.EXAMPLE.com"] {
            assert!(has_listed_top_level(listed), "{listed}");
        }
        for unlisted in ["lan", "a.lan", "localhost", "printer.internal", "a.local"] {
            assert!(!has_listed_top_level(unlisted), "{unlisted}");
        }
    }
}
