//! Where a CA is not what its configuration says: some of that counts when the CA is made, or gets another key, and
//! never again.

use std::time::Duration;

use chancery_keys::KeyType;
use chancery_store::{Key, ReadError, Store};
use chancery_x509::ParsedCertificate;
use jiff::Timestamp;

use crate::ceremony::generation_name;
use crate::{Ca, Parent, SSH_RECORDS};

/// CA certificates begin and end a little off the days that are configured.
const DAY: Duration = Duration::from_hours(24);

/// A setting that the CA does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name in the configuration of a CA.
    pub setting: &'static str,
    /// What the configuration says.
    pub configured: String,
    /// What the CA is.
    pub is: String,
}

impl Ca {
    /// The settings that this CA does not follow, since it was made with others.
    pub fn differences(&self) -> Vec<Difference> {
        let (config, issuing) = (&self.config, self.current.authority.certificate());
        let root = self.roots.iter().rfind(|root| root.id() == self.root_id());
        let parent = match root.and_then(|root| root.own()) {
            Some(_) => Parent::OwnRoot,
            None => Parent::Elsewhere,
        };
        let key_type = KeyType::of(self.current.authority.public_key().algorithm());
        let mut found = vec![
            difference("parent", name_of(config.parent), name_of(parent)),
            difference(
                "key_type",
                config.key_type.as_str(),
                key_type.map_or(config.key_type.as_str(), KeyType::as_str),
            ),
        ];
        // Of the others, the certificate is what somebody else made of the request.
        if let (Parent::OwnRoot, Some(root)) = (parent, root) {
            let root = root.certificate();
            let name = root.subject_common_name().unwrap_or_default();
            found.push(difference("root_name", &config.root_common_name, name));
            let name = issuing.subject_common_name().unwrap_or_default();
            let wanted = &config.issuing_common_name;
            let number = name.rsplit_once(" G").and_then(|(_, number)| number.parse().ok());
            let named = number.map_or(wanted.clone(), |number| generation_name(wanted, number));
            if name != named {
                found.push(difference("issuing_name", wanted, name));
            }
            found.push(days("root_days", config.root_validity, root));
            // An issuing CA ends with its root at the latest.
            if issuing.not_after() < root.not_after() {
                found.push(days("issuing_days", config.issuing_validity, issuing));
            }
        }
        found.into_iter().flatten().collect()
    }
}

fn name_of(parent: Parent) -> &'static str {
    match parent {
        Parent::OwnRoot => "own-root",
        Parent::Elsewhere => "elsewhere",
    }
}

fn difference(setting: &'static str, configured: &str, is: &str) -> Option<Difference> {
    let (configured, is) = (configured.to_owned(), is.to_owned());
    (configured != is).then_some(Difference { setting, configured, is })
}

fn days(
    setting: &'static str,
    configured: Duration,
    certificate: &ParsedCertificate,
) -> Option<Difference> {
    // No certificate is valid for longer than there are dates.
    if certificate.not_after() >= Timestamp::MAX - DAY {
        return None;
    }
    let valid = certificate.not_after().duration_since(certificate.not_before());
    let valid = Duration::try_from(valid).unwrap_or_default();
    let whole = |time: Duration| (time.as_secs() / DAY.as_secs()).to_string();
    if valid.abs_diff(configured) < DAY {
        return None;
    }
    difference(setting, &whole(configured), &whole(valid))
}

/// The names of the X.509 CAs that a store holds.
///
/// # Errors
/// It cannot be read.
pub async fn names(store: &dyn Store) -> Result<Vec<String>, ReadError> {
    const FOLDER: &str = "_/ca/";
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let found = store.keys(FOLDER.as_bytes(), after.as_ref(), 1).await?;
        let Some(key) = found.first().map(ToString::to_string) else { return Ok(names) };
        let Some((name, _)) = key.strip_prefix(FOLDER).and_then(|rest| rest.split_once('/')) else {
            return Ok(names);
        };
        // Behind all that is in its folder.
        after = Some(Key::new(format!("{FOLDER}{name}/~"))?);
        let authority = Key::new(format!("{FOLDER}{name}/authority"))?;
        if name != SSH_RECORDS && !store.keys(authority.as_bytes(), None, 1).await?.is_empty() {
            names.push(name.to_owned());
        }
    }
}
