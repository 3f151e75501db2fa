//! A folder that a policy is built from.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Where it says what is to be built.
pub(super) const FILE: &str = "policy.toml";

/// What a policy can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    Rust,
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    #[value(alias = "py")]
    Python,
}

/// What a policy can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Decision {
    /// Who may do what.
    Access,
    /// What is certified, and how it looks.
    Certificate,
}

/// What stands in [`FILE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    /// Name of the policy, and of the component.
    pub(super) name: String,
    pub(super) language: Language,
    pub(super) decision: Decision,
}

impl Language {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        }
    }

    /// What a policy needs beyond the default: processor time in milliseconds and memory in KiB. The
    /// interpreters of the others come along in each instance.
    pub(super) fn limits(self) -> Option<(u32, u32)> {
        match self {
            Self::Rust => None,
            Self::JavaScript => Some((50, 4096)),
            Self::Python => Some((500, 32_768)),
        }
    }
}

impl Decision {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Certificate => "certificate",
        }
    }

    /// Name of the world in the contract.
    pub(super) fn world(self) -> String {
        format!("{}-policy", self.word())
    }
}

impl Project {
    /// Reads what the folder says.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {}: `chancery policy new` makes a folder with one, which says what is built",
                file.display()
            )
        })?;
        let project: Self = toml::from_str(&text).with_context(|| file.display().to_string())?;
        check_name(&project.name).with_context(|| file.display().to_string())?;
        Ok(project)
    }
}

/// A name that the contract, and the package managers of all languages, take.
pub(super) fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    anyhow::ensure!(
        begins && name.len() <= 64 && name.bytes().all(allowed),
        "{name:?} is no name for a policy: 1 to 64 of a-z, 0-9 and '-', a letter first"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        for good in ["a", "no-fridays", "v2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "2nd", "-a", "a b", "../a", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_without_its_file_is_told_what_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = format!("{:#}", Project::read(folder.path()).unwrap_err());
        assert!(error.contains("policy.toml") && error.contains("policy new"), "{error}");
        std::fs::write(folder.path().join(FILE), "name = 'a'\nlanguage = 'cobol'").unwrap();
        let error = format!("{:#}", Project::read(folder.path()).unwrap_err());
        assert!(error.contains("cobol") && error.contains("javascript"), "{error}");
    }
}
