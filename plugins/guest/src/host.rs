//! What a policy may ask of the gateway. Look-ups are granted by the binding; without the grant, and
//! where the gateway cannot tell, they give an error, on which a policy should deny.

use crate::bindings::host::chancery::policy::{data_sets, groups, issuance_counts, log};

pub use crate::bindings::host::chancery::policy::log::Level;
pub use crate::bindings::host::chancery::policy::lookup_types::LookupError;
use crate::{Attribute, Denial};

/// Writes a line to the gateway's log. There is a budget for each evaluation; what exceeds it is lost.
pub fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<Attribute> = fields
        .iter()
        .map(|&(name, value)| Attribute { name: name.to_owned(), value: value.to_owned() })
        .collect();
    log::write(level, message, &fields);
}

/// Whether the identity is a member of the group.
pub fn is_member(group: &str, identity: &str) -> Result<bool, LookupError> {
    groups::contains(group, identity)
}

/// The value of a key in a data set.
pub fn data(set: &str, key: &str) -> Result<Option<String>, LookupError> {
    data_sets::get(set, key)
}

/// How many certificates with this name were issued in the last so many seconds.
pub fn issued_for_name(kind: &str, value: &str, seconds: u64) -> Result<u64, LookupError> {
    issuance_counts::by_name(kind, value, seconds)
}

/// How many certificates this requester was issued in the last so many seconds.
pub fn issued_to(requester: &str, seconds: u64) -> Result<u64, LookupError> {
    issuance_counts::by_requester(requester, seconds)
}

impl From<LookupError> for Denial {
    /// A policy that cannot know denies.
    fn from(error: LookupError) -> Self {
        let audit = format!("{}: {}", error.code, error.message);
        Self::new("lookup-failed", "the policies cannot decide about this now", audit)
    }
}
