//! The settings of revocation checks for a client CA: CRL sources, OCSP responder, grace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;

/// How it is found out whether the certificates of a CA were revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its CRLs are, and those of the CAs below it.
    pub crls: Vec<Source>,
    /// Who answers for what no CRL in date is about.
    pub ocsp: Option<Responder>,
    /// How old what was fetched becomes before it is looked for anew; sooner if it is out of date before.
    pub refresh: Duration,
    /// For how long a CRL or an answer counts after its end.
    pub grace: Duration,
    /// Whether a certificate counts of which it is not known.
    pub when_unknown: WhenUnknown,
    /// The most bytes that a CRL may have.
    pub largest_crl: usize,
    /// How long a request waits for a responder.
    pub ocsp_wait: Duration,
}

/// What becomes of a certificate of which nobody can say whether it was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnknown {
    /// It does not count.
    Refuse,
    /// It counts.
    Accept,
}

/// Where a CRL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, which somebody else replaces.
    File(PathBuf),
    /// A web address.
    Url(Uri),
}

/// The web address of an OCSP responder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responder(pub(crate) Uri);

/// The text names no place from which something can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an http or https address without user name and fragment")]
pub struct InvalidSource(String);

impl Source {
    /// A web address, or else a file, which is looked for below `base` if it is relative.
    ///
    /// # Errors
    /// It looks like a web address and is none.
    pub fn parse(text: &str, base: &Path) -> Result<Self, InvalidSource> {
        if !text.contains("://") {
            return Ok(Self::File(base.join(text)));
        }
        web_address(text).map(Self::Url)
    }
}

impl std::str::FromStr for Responder {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        web_address(text).map(Self)
    }
}

fn web_address(text: &str) -> Result<Uri, InvalidSource> {
    let refused = || InvalidSource(text.chars().take(200).flat_map(char::escape_debug).collect());
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    // What is in an address stands in logs and reports, so there is no place for passwords.
    let plain = uri
        .authority()
        .is_some_and(|authority| !authority.as_str().contains('@') && !authority.host().is_empty());
    if is_web && plain && !text.contains('#') { Ok(uri) } else { Err(refused()) }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(uri) => uri.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_files() {
        let parse = |text| Source::parse(text, Path::new("/etc"));
        assert_eq!(parse("ca.crl"), Ok(Source::File("/etc/ca.crl".into())));
        assert_eq!(parse("/srv/ca.crl"), Ok(Source::File("/srv/ca.crl".into())));
        let url = "http://crl.example:8080/a/ca.crl?x=1";
        assert_eq!(parse(url).unwrap().to_string(), url);
        for bad in [
            "ftp://a/b",
            "file:///etc/x",
            "http://",
            "http://u:p@a/b",
            "http://a/#b",
            "http://a b/",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
            assert!(bad.parse::<Responder>().is_err(), "{bad}");
        }
        assert!("ca.crl".parse::<Responder>().is_err());
    }
}
