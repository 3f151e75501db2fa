//! Names that look like others (Unicode Technical Standard #39).

use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton;

/// A name as people see it: A-labels decoded. One that cannot be decoded stays as it is.
pub(crate) fn shown(name: &str) -> String {
    let labels: Vec<String> =
        name.split('.').map(|label| decoded(label).unwrap_or_else(|| label.to_owned())).collect();
    labels.join(".")
}

fn decoded(label: &str) -> Option<String> {
    match label.strip_prefix("xn--") {
        None => Some(label.to_owned()),
        Some(encoded) if encoded.is_ascii() => punycode::decode(encoded).ok(),
        Some(_) => None,
    }
}

/// The first label whose characters are of scripts that nobody writes together.
///
/// # Errors
/// The first label that cannot be decoded.
pub(crate) fn mixed_label(name: &str) -> Result<Option<String>, String> {
    for label in name.split('.') {
        let text = decoded(label).ok_or_else(|| label.to_owned())?;
        if !text.as_str().is_single_script() {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Whether a name as people see it ends in labels that look like these.
pub(crate) fn ends_like(name: &str, domain: &str) -> bool {
    let mut own = name.rsplit('.');
    domain.rsplit('.').all(|label| own.next().is_some_and(|mine| looks_like(mine, label)))
}

/// Whether a name as people see it looks like what is right above this domain.
pub(crate) fn is_above(name: &str, domain: &str) -> bool {
    let above = domain.split_once('.').map_or("", |(_, above)| above);
    name.split('.').count() == above.split('.').count() && ends_like(name, above)
}

fn looks_like(one: &str, other: &str) -> bool {
    skeleton(one).eq(skeleton(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_alike_has_one_skeleton() {
        assert!(looks_like("paypal", "p\u{430}ypal"));
        assert!(looks_like("rnicrosoft", "microsoft"));
        assert!(!looks_like("paypal", "paypals"));
        assert!(ends_like("www.p\u{430}ypal.com", "paypal.com"));
        assert!(!ends_like("com", "paypal.com"));
    }

    #[test]
    fn labels_are_decoded_to_be_looked_at() {
        assert_eq!(shown("xn--bcher-kva.example"), "bücher.example");
        assert_eq!(mixed_label("xn--bcher-kva.example"), Ok(None));
        assert!(mixed_label("xn--a-\u{7f}").is_err());
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(name in "(xn--)?[a-z0-9.\\-\\u{430}]{0,40}") {
            let _ = mixed_label(&name);
            let _ = ends_like(&shown(&name), "paypal.com");
        }
    }
}
