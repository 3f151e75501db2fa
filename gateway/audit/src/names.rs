use aws_lc_rs::digest::{Context, SHA256};
use chancery_identity::RequestContext;

use crate::Event;

/// How many names of a list a line shows.
const SHOWN: usize = 4;

/// A list of names that an operation is about, as far as a line of the log has it: a line must not grow
/// with what somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameList {
    shown: String,
    count: usize,
    sha256: String,
}

impl NameList {
    /// The list of these names, in their order.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let mut digest = Context::new(&SHA256);
        let (mut shown, mut count) = (String::new(), 0_usize);
        for name in names {
            let name = name.as_ref();
            digest.update(name.as_bytes());
            digest.update(b"\n");
            if count < SHOWN {
                if count > 0 {
                    shown.push(',');
                }
                shown.push_str(name);
            }
            count += 1;
        }
        if count > SHOWN {
            shown = format!("{shown} and {} more", count - SHOWN);
        }
        Self { shown, count, sha256: hex::encode(digest.finish()) }
    }
}

impl Event {
    /// The event of `operation` on a list of names. Its resource is the first four names and how many
    /// more there are. If there are several, the details have their number, `names`, and `names_sha256`:
    /// SHA-256 of all of them, each with a newline behind it, so that a list that is known can be
    /// compared.
    pub fn about_names(
        context: &RequestContext,
        operation: impl Into<String>,
        names: &NameList,
    ) -> Self {
        let event = Self::new(context, operation, names.shown.clone());
        if names.count < 2 {
            return event;
        }
        event.detail("names", names.count as u64).detail("names_sha256", names.sha256.clone())
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
    fn the_digest_is_of_the_whole_list_with_a_newline_behind_each_name() {
        let all = names(5).join("\n") + "\n";
        let expected = hex::encode(digest(&SHA256, all.as_bytes()));
        assert_eq!(event(&names(5))["details"]["names_sha256"], json!(expected));
    }
}
