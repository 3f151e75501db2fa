//! Lists of names in an audit event, shortened, with their number and SHA-256.

use aws_lc_rs::digest::{Context, SHA256};
use chancery_identity::RequestContext;

use crate::Event;

/// How many names of a list a line shows as its resource.
const SHOWN: usize = 4;
/// How many a detail shows.
const LISTED: usize = 8;
/// How much of each it shows if there are several, in characters.
const EACH: usize = 64;

/// A list of names that an operation is about, as far as a line of the log has it: a line must not grow
/// with what somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameList {
    /// The first ones, shortened.
    shown: Vec<String>,
    /// The first one as it is.
    first: String,
    count: usize,
    sha256: String,
    /// Whether any that is shown was shortened.
    shortened: bool,
}

impl NameList {
    /// The list of these names, in their order.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let mut digest = Context::new(&SHA256);
        let (mut shown, mut first, mut count) = (Vec::new(), String::new(), 0_usize);
        let mut shortened = false;
        for name in names {
            let name = name.as_ref();
            digest.update(name.as_bytes());
            digest.update(b"\n");
            if count == 0 {
                name.clone_into(&mut first);
            }
            if count < LISTED {
                let short = short(name);
                shortened |= short.is_some();
                shown.push(short.unwrap_or_else(|| name.to_owned()));
            }
            count += 1;
        }
        Self { shown, first, count, sha256: hex::encode(digest.finish()), shortened }
    }

    /// In a few words.
    fn resource(&self) -> String {
        if self.count < 2 {
            return self.first.clone();
        }
        let shown: Vec<&str> = self.shown.iter().take(SHOWN).map(String::as_str).collect();
        let shown = shown.join(",");
        match self.count.saturating_sub(SHOWN) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

/// The beginning of a name that is long.
fn short(name: &str) -> Option<String> {
    let (end, _) = name.char_indices().nth(EACH)?;
    name.get(..end).map(|beginning| format!("{beginning}…"))
}

impl Event {
    /// The event of `operation` on a list of names. Its resource is the first four names and how many
    /// more there are; of several, each is shortened to 64 characters. If there are several, the details have
    /// their number, `names`, and `names_sha256`: SHA-256 of all of them, each with a newline behind it, so that
    /// a list that is known can be compared.
    pub fn about_names(
        context: &RequestContext,
        operation: impl Into<String>,
        names: &NameList,
    ) -> Self {
        let event = Self::new(context, operation, names.resource());
        if names.count < 2 {
            return event;
        }
        event.detail("names", names.count as u64).detail("names_sha256", names.sha256.clone())
    }

    /// Adds a list of names under `field`: the first eight, each shortened to 64 characters. If that is not all, the
    /// details have their number, `FIELD_count`, and `FIELD_sha256` as of [`about_names`](Self::about_names).
    #[must_use]
    pub fn detail_names(self, field: &str, names: &NameList) -> Self {
        let event = self.detail(field, names.shown.clone());
        if names.count <= names.shown.len() && !names.shortened {
            return event;
        }
        event
            .detail(format!("{field}_count"), names.count as u64)
            .detail(format!("{field}_sha256"), names.sha256.clone())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::digest;
    use chancery_identity::TenantId;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn event(names: &[String]) -> Value {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        let event = Event::about_names(&context, "acme.order.create", &NameList::new(names));
        serde_json::to_value(event).unwrap()
    }

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("n{number}")).collect()
    }

    #[test]
    fn a_short_list_stands_there_and_a_long_one_is_cut_and_counted() {
        assert_eq!(event(&names(1))["resource"], "n1");
        assert_eq!(event(&names(1)).get("details"), None);
        assert_eq!(event(&names(4))["resource"], "n1,n2,n3,n4");
        let long = event(&names(100));
        assert_eq!(long["resource"], "n1,n2,n3,n4 and 96 more");
        assert_eq!(long["details"]["names"], 100);
    }

    #[test]
    fn a_list_in_the_details_is_as_short() {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        let details = |names: &[String]| {
            let event = Event::new(&context, "acme.order.create", "a");
            let event = event.detail_names("denied", &NameList::new(names));
            serde_json::to_value(event).unwrap()["details"].clone()
        };
        assert_eq!(details(&names(2)), json!({"denied": ["n1", "n2"]}));
        let many = details(&names(100));
        assert_eq!(many["denied"].as_array().unwrap().len(), 8);
        let all = names(100).join("\n") + "\n";
        let expected = hex::encode(digest(&SHA256, all.as_bytes()));
        assert_eq!(
            (&many["denied_count"], &many["denied_sha256"]),
            (&json!(100), &json!(expected))
        );
        let long = vec!["ä".repeat(65), "b".repeat(64)];
        let shown = details(&long);
        assert_eq!(shown["denied"], json!(["ä".repeat(64) + "…", "b".repeat(64)]));
        assert_eq!(shown["denied_count"], 2);
        assert_eq!(event(&long)["resource"], "ä".repeat(64) + "…," + &"b".repeat(64));
        assert_eq!(event(&long[..1])["resource"], "ä".repeat(65), "a single one is told whole");
    }

    #[test]
    fn the_digest_is_of_the_whole_list_with_a_newline_behind_each_name() {
        let all = names(5).join("\n") + "\n";
        let expected = hex::encode(digest(&SHA256, all.as_bytes()));
        assert_eq!(event(&names(5))["details"]["names_sha256"], json!(expected));
    }
}
