//! Which token is meant.

use crate::pkcs11::token_info::TokenInfo;

/// Chooses a token. There is no choice by slot number: it changes when a token is plugged elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSelector {
    /// By its label (`CKA_LABEL` of the token, without the padding).
    Label(String),
    /// By its serial number.
    Serial(String),
    /// By all of these, as a PKCS#11 URI has them (RFC 7512 §2.3).
    All(Box<TokenAttributes>),
}

/// What a token and its module's library say of themselves. What is there has to agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAttributes {
    name: String,
    label: Option<String>,
    serial: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The token's manufacturer.
    pub manufacturer: Option<String>,
    /// What the library says it is.
    pub library_description: Option<String>,
    /// Who made the library.
    pub library_manufacturer: Option<String>,
    /// The library's version, as `2.6`.
    pub library_version: Option<String>,
}

/// What a module's library says of itself.
pub(crate) struct Library {
    pub(crate) description: String,
    pub(crate) manufacturer: String,
    pub(crate) version: String,
}

impl TokenAttributes {
    /// A label and a serial number. None without either: what else there is does not tell tokens apart.
    pub fn new(label: Option<String>, serial: Option<String>) -> Option<Self> {
        let name = match (&label, &serial) {
            (Some(label), Some(serial)) => format!("{label}:{serial}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => return None,
        };
        Some(Self {
            name,
            label,
            serial,
            model: None,
            manufacturer: None,
            library_description: None,
            library_manufacturer: None,
            library_version: None,
        })
    }

    fn of_the_token(&self) -> [(&'static str, Option<&String>); 4] {
        [
            ("label", self.label.as_ref()),
            ("serial number", self.serial.as_ref()),
            ("model", self.model.as_ref()),
            ("manufacturer", self.manufacturer.as_ref()),
        ]
    }
}

impl TokenSelector {
    /// Its name here: the label, the serial number, or both with a colon between them.
    pub fn value(&self) -> &str {
        match self {
            Self::Label(value) | Self::Serial(value) => value,
            Self::All(attributes) => &attributes.name,
        }
    }

    /// Whether somebody who speaks of `text` means this token: by its name here, its label or its serial
    /// number.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        let is_one_of_both = |attributes: &TokenAttributes| {
            let both = [attributes.label.as_deref(), attributes.serial.as_deref()];
            both.contains(&Some(text))
        };
        self.value() == text || matches!(self, Self::All(attributes) if is_one_of_both(attributes))
    }

    pub(crate) fn matches(&self, info: &TokenInfo) -> bool {
        match self {
            Self::Label(label) => info.label == *label,
            Self::Serial(serial) => info.serial == *serial,
            Self::All(attributes) => {
                let found = [&info.label, &info.serial, &info.model, &info.manufacturer];
                let wanted = attributes.of_the_token();
                wanted
                    .iter()
                    .zip(found)
                    .all(|((_, wanted), found)| wanted.is_none_or(|it| it == found))
            }
        }
    }

    /// What of the library is not as it is said to be: what, and how it is.
    pub(crate) fn other_library<'a>(
        &'a self,
        library: &'a Library,
    ) -> Option<(&'static str, &'a str, &'a str)> {
        let Self::All(attributes) = self else { return None };
        let all = [
            ("description", &attributes.library_description, &library.description),
            ("manufacturer", &attributes.library_manufacturer, &library.manufacturer),
            ("version", &attributes.library_version, &library.version),
        ];
        all.into_iter().find_map(|(what, wanted, found)| {
            let wanted = wanted.as_ref().filter(|wanted| *wanted != found)?;
            Some((what, wanted.as_str(), found.as_str()))
        })
    }

    /// Whether it says anything of the library.
    pub(crate) fn is_about_the_library(&self) -> bool {
        matches!(self, Self::All(attributes) if attributes.library_description.is_some()
            || attributes.library_manufacturer.is_some()
            || attributes.library_version.is_some())
    }
}

impl std::fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let attributes = match self {
            Self::Label(label) => return write!(f, "with the label `{label}`"),
            Self::Serial(serial) => return write!(f, "with the serial number `{serial}`"),
            Self::All(attributes) => attributes.of_the_token(),
        };
        let there = attributes.iter().filter_map(|(what, value)| Some((what, (*value)?)));
        let texts: Vec<String> =
            there.map(|(what, value)| format!("the {what} `{value}`")).collect();
        write!(f, "with {}", texts.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> TokenInfo {
        let mut info = TokenInfo::default();
        info.label = "one".to_owned();
        info.serial = "0a1b".to_owned();
        info.model = "SoftHSM v2".to_owned();
        info.manufacturer = "SoftHSM project".to_owned();
        info
    }

    fn both() -> TokenAttributes {
        TokenAttributes::new(Some("one".to_owned()), Some("0a1b".to_owned())).unwrap()
    }

    #[test]
    fn everything_that_is_said_has_to_agree() {
        let fits = |change: fn(&mut TokenAttributes)| {
            let mut attributes = both();
            change(&mut attributes);
            TokenSelector::All(Box::new(attributes)).matches(&info())
        };
        assert!(fits(|_| ()));
        assert!(fits(|all| all.model = Some("SoftHSM v2".to_owned())));
        assert!(!fits(|all| all.model = Some("SoftHSM v3".to_owned())));
        assert!(!fits(|all| all.manufacturer = Some("somebody".to_owned())));
        let other = TokenAttributes::new(Some("one".to_owned()), Some("ffff".to_owned()));
        assert!(!TokenSelector::All(Box::new(other.unwrap())).matches(&info()));
        assert_eq!(TokenAttributes::new(None, None), None);
    }

    #[test]
    fn it_is_found_by_each_of_its_names() {
        let selector = TokenSelector::All(Box::new(both()));
        for name in ["one", "0a1b", "one:0a1b"] {
            assert!(selector.is_called(name), "{name}");
        }
        assert!(!selector.is_called("two"));
        assert_eq!(selector.to_string(), "with the label `one` and the serial number `0a1b`");
    }

    #[test]
    fn a_library_that_says_otherwise_is_told() {
        let library = Library {
            description: "Implementation of PKCS11".to_owned(),
            manufacturer: "SoftHSM".to_owned(),
            version: "2.6".to_owned(),
        };
        let mut attributes = both();
        attributes.library_manufacturer = Some("SoftHSM".to_owned());
        assert_eq!(TokenSelector::All(Box::new(attributes.clone())).other_library(&library), None);
        attributes.library_version = Some("2.7".to_owned());
        let told = TokenSelector::All(Box::new(attributes));
        assert_eq!(told.other_library(&library), Some(("version", "2.7", "2.6")));
        assert!(told.is_about_the_library());
    }
}
