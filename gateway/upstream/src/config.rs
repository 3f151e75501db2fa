//! The settings of an upstream: its directory, contacts, trust anchors and external account.

use std::time::Duration;

use zeroize::Zeroizing;

/// Another CA and how to be its customer.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// The name by which policies choose it: 1 to 64 of `a-z`, `0-9`, `-` and `.`. The account is
    /// stored under it.
    pub name: String,
    /// URL of the ACME directory, `https://…`.
    pub directory: String,
    /// Contact URLs for the account (`mailto:…`), RFC 8555 §7.1.2; may be empty.
    pub contact: Vec<String>,
    /// Whom to trust to be the other CA's API.
    pub trust: Trust,
    /// Binds the account to a customer account, where the other CA wants that (RFC 8555 §7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// How long one certificate may take, from the order to the download.
    pub deadline: Duration,
}

/// Whom to trust to be the other CA's API. This is about the connection, not about what it issues.
#[derive(Debug, Clone)]
pub enum Trust {
    /// What this machine trusts.
    Platform,
    /// These CA certificates (DER) only.
    Anchors(Vec<Vec<u8>>),
}

/// A customer account at the other CA.
#[derive(Clone)]
pub struct ExternalAccount {
    /// The key identifier that the other CA gave.
    pub key_id: String,
    /// The MAC key that it gave, decoded.
    pub mac_key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What is wrong with the configuration of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a name.
    #[error("upstream `{0}`: the name must be 1 to 64 of a-z, 0-9, '-' and '.'")]
    Name(String),
    /// Not a directory URL.
    #[error("upstream `{name}`: the directory `{url}` must be an https:// URL")]
    Directory {
        /// The upstream.
        name: String,
        /// What was given.
        url: String,
    },
    /// A contact is no URL.
    #[error(
        "upstream `{name}`: the contact `{contact}` must be a URL such as mailto:a@example.com"
    )]
    Contact {
        /// The upstream.
        name: String,
        /// What was given.
        contact: String,
    },
    /// A trust anchor is not usable, or there is none.
    #[error("upstream `{name}`: trust anchor number {number} is not usable: {reason}")]
    Anchor {
        /// The upstream.
        name: String,
        /// Which, counted from one.
        number: usize,
        /// Why not.
        reason: String,
    },
    /// The deadline is zero.
    #[error("upstream `{0}`: the deadline must be longer than nothing")]
    Deadline(String),
}

impl UpstreamConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let name = self.name.clone();
        let allowed =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
            return Err(ConfigError::Name(name));
        }
        let host = self.directory.parse::<http::Uri>().ok().filter(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some_and(|host| !host.is_empty())
        });
        if host.is_none() {
            return Err(ConfigError::Directory { name, url: self.directory.clone() });
        }
        if let Some(contact) = self.contact.iter().find(|contact| !is_url(contact)) {
            return Err(ConfigError::Contact { name, contact: contact.clone() });
        }
        if self.deadline.is_zero() {
            return Err(ConfigError::Deadline(name));
        }
        self.roots().map(drop)
    }

    /// The trust anchors; none means the platform's.
    pub(crate) fn roots(&self) -> Result<Option<rustls::RootCertStore>, ConfigError> {
        let Trust::Anchors(anchors) = &self.trust else { return Ok(None) };
        let bad = |number, reason: String| ConfigError::Anchor {
            name: self.name.clone(),
            number,
            reason,
        };
        let mut roots = rustls::RootCertStore::empty();
        for (index, der) in anchors.iter().enumerate() {
            roots
                .add(rustls::pki_types::CertificateDer::from_slice(der).into_owned())
                .map_err(|error| bad(index + 1, error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(bad(1, "there is none".to_owned()));
        }
        Ok(Some(roots))
    }
}

fn is_url(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic());
    plain
        && text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> UpstreamConfig {
        UpstreamConfig {
            name: "public".to_owned(),
            directory: "https://ca.example/directory".to_owned(),
            contact: vec!["mailto:a@example.com".to_owned()],
            trust: Trust::Platform,
            external_account: None,
            deadline: Duration::from_mins(1),
        }
    }

    fn refused(change: impl Fn(&mut UpstreamConfig)) -> String {
        let mut config = config();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn each_wrong_value_is_refused_by_name() {
        config().check().unwrap();
        for name in ["", "A", "a/b", "a b", &"a".repeat(65)] {
            assert!(refused(|c| name.clone_into(&mut c.name)).contains("the name must be"));
        }
        for url in ["", "http://ca.example/", "ca.example", "https://", "https:///x", "ftp://x/"] {
            assert!(
                refused(|c| url.clone_into(&mut c.directory)).contains("the directory"),
                "{url}"
            );
        }
        assert!(refused(|c| c.contact.push("a@example.com".to_owned())).contains("the contact"));
        assert!(refused(|c| c.deadline = Duration::ZERO).contains("the deadline"));
        let bad = Trust::Anchors(vec![b"no certificate".to_vec()]);
        assert!(refused(|c| c.trust = bad.clone()).contains("trust anchor number 1"));
        assert!(refused(|c| c.trust = Trust::Anchors(vec![])).contains("there is none"));
    }

    #[test]
    fn the_mac_key_is_not_shown() {
        let mut config = config();
        let mac_key = Zeroizing::new(b"hunter2".to_vec());
        config.external_account =
            Some(ExternalAccount { key_id: "kid".to_owned(), mac_key: mac_key.clone() });
        let shown = format!("{config:?}");
        assert!(shown.contains("kid"));
        assert!(
            !shown.contains("hunter2") && !shown.contains(&format!("{:?}", mac_key.as_slice()))
        );
    }
}
