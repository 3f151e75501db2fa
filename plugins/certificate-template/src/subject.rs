//! The attributes of the subject beside the common name.

use std::collections::BTreeMap;

use chancery_guest::Globs;
use chancery_guest::certificate::{Attribute, Denial, Request};

const ATTRIBUTES: [&str; 5] = ["C", "ST", "L", "O", "OU"];

/// The key and the message of what is wrong.
pub(crate) fn check(
    fixed: &BTreeMap<String, String>,
    from_request: &BTreeMap<String, Globs>,
) -> Result<(), (&'static str, String)> {
    let unknown = |name: &String| !ATTRIBUTES.contains(&name.as_str());
    let message = |name: &String| {
        format!("`{name}` is none of {}; common_name is about the CN", ATTRIBUTES.join(", "))
    };
    if let Some(name) = fixed.keys().find(|name| unknown(name)) {
        return Err(("subject", message(name)));
    }
    if let Some(name) = from_request.keys().find(|name| unknown(name)) {
        return Err(("subject_from_request", message(name)));
    }
    if let Some(name) = from_request.keys().find(|name| fixed.contains_key(*name)) {
        return Err(("subject_from_request", format!("`{name}` stands under subject already")));
    }
    // RFC 5280 §A.1.
    for (name, value) in fixed {
        let length = value.chars().count();
        let fits = match name.as_str() {
            "C" => length == 2 && value.chars().all(|letter| letter.is_ascii_uppercase()),
            "ST" | "L" => (1..=128).contains(&length),
            _ => (1..=64).contains(&length),
        };
        if !fits || value.trim() != value {
            return Err(("subject", format!("`{value}` is not a possible value of {name}")));
        }
    }
    Ok(())
}

/// The attributes of a certificate. Those of the request that the profile does not speak of are left
/// out; those that it speaks of have to fit.
pub(crate) fn attributes(
    fixed: &BTreeMap<String, String>,
    from_request: &BTreeMap<String, Globs>,
    request: &Request,
) -> Result<Vec<Attribute>, Denial> {
    let own = fixed.iter().map(|(name, value)| Ok(attribute(name, value)));
    let asked = request.subject.iter().filter_map(|one| {
        let allowed = from_request.get(&one.name)?;
        if allowed.matches(&one.value) {
            return Some(Ok(attribute(&one.name, &one.value)));
        }
        let message = format!("the subject's {} is not one for this profile", one.name);
        let audit = format!("{}={}", one.name, one.value);
        Some(Err(Denial::new("subject-not-allowed", &message, audit)))
    });
    own.chain(asked).collect()
}

fn attribute(name: &str, value: &str) -> Attribute {
    Attribute { name: name.to_owned(), value: value.to_owned() }
}
