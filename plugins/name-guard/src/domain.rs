use serde::Deserialize;

/// A domain of the settings: its name and all names below it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Domain(String);

impl Domain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is wrong with it as a setting, if anything is.
    ///
    /// # Errors
    /// For people.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.0.starts_with("*.") {
            return Err("leave out `*.`: the names below a domain are meant in any case");
        }
        if !self.0.is_ascii() {
            return Err("write the domain as A-labels (`xn--…`)");
        }
        if self.0.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err("write the domain in lower case");
        }
        if self.0.is_empty() || self.0.split('.').any(str::is_empty) {
            return Err("expected a domain such as `example.com`");
        }
        Ok(())
    }

    /// Whether the name is the domain's or below it.
    pub(crate) fn has(&self, name: &str) -> bool {
        name.strip_suffix(self.0.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl Domain {
    /// Whether it is one of the names that a wildcard above `parent` stands for.
    pub(crate) fn is_right_below(&self, parent: &str) -> bool {
        self.0.split_once('.').is_some_and(|(_, above)| above == parent)
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether everybody can register names below this one, by the Public Suffix List. A single label that the
/// list does not know is some private network's.
pub(crate) fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes())
        .is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == name.as_bytes())
}
