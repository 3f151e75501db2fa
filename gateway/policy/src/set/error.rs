//! Why a set of policies was not taken into use.

use std::io;
use std::path::PathBuf;

use chancery_identity::TenantId;
use chancery_sandbox::EngineError;

use crate::binding::{Binding, Digest, FileError, InvalidDocument, Place};
use crate::cases::CasesError;
use crate::component::{ArtifactError, ProgramError, Refusal};

/// Why a set of policies was not taken into use. The set before it, if any, stays in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file or directory could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others may change a file of the policies, or a directory that leads to it.
    #[error(transparent)]
    Untrusted(#[from] chancery_files::Untrusted),
    /// A binding document is not TOML, lacks a key, has one too many or a value that cannot be.
    #[error(transparent)]
    Document(#[from] InvalidDocument),
    /// The plugin file is not the one that the binding pins.
    #[error(
        "{}: binding `{}` pins {} at {pinned}, but the file is {found}: restore the file, or pin \
         the new digest if the change is meant",
        subject.place, subject.binding, subject.plugin.display()
    )]
    DigestMismatch {
        /// Which binding.
        subject: Box<Subject>,
        /// What the binding says.
        pinned: Digest,
        /// What the file has.
        found: Digest,
    },
    /// The plugin cannot serve the binding: it is not a component, not of the decision's world,
    /// wants imports or more than its limits.
    #[error(
        "{}: binding `{}` cannot use {}: {reason}",
        subject.place, subject.binding, subject.plugin.display()
    )]
    Plugin {
        /// Which binding.
        subject: Box<Subject>,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin does not accept the binding's settings.
    #[error(
        "{}: binding `{}`: settings{}: {message}",
        subject.place, subject.binding, dotted(path)
    )]
    Settings {
        /// Which binding.
        subject: Box<Subject>,
        /// Where in the settings: keys and positions joined by dots.
        path: String,
        /// What the plugin says is wrong.
        message: String,
    },
    /// The plugin decides one of its golden cases otherwise than the case says.
    #[error(
        "{}: binding `{}`: self-test {}:{line}: case `{case}` does not hold: {difference}",
        subject.place, subject.binding, file.display()
    )]
    SelfTest {
        /// Which binding.
        subject: Box<Subject>,
        /// Name of the case.
        case: String,
        /// The document of cases, as the binding names it.
        file: PathBuf,
        /// Where the case begins.
        line: usize,
        /// What was expected, with `-`, and what was decided, with `+`.
        difference: String,
    },
    /// The directory for compiled components cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// What was kept of an earlier set is not what it was.
    #[error("{} is not put back: {reason}: choose another set", path.display())]
    Kept {
        /// The file of the history.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tenant wants its documents signed, and they are not signed so.
    #[error(
        "the tenant `{tenant}` takes signed policies only: {reason}: look at the documents, and sign them with \
         `chancery policy sign {} --key FILE`",
        directory.display()
    )]
    Unsigned {
        /// Where the documents are.
        directory: PathBuf,
        /// Which tenant.
        tenant: TenantId,
        /// What is wrong with the signatures.
        reason: String,
    },
    /// Several documents or bindings are wrong, each in its way.
    #[error("{}", joined(.0))]
    Several(Vec<LoadError>),
    /// There is no such set of policies to go back to.
    #[error(
        "there is no {} set of policies to go back to; kept: {}",
        asked.map_or_else(|| "earlier".to_owned(), |number| format!("{number}th")),
        listed(kept)
    )]
    NoSuchSet {
        /// Its number; none for the one before the newest.
        asked: Option<u64>,
        /// The numbers of those that are kept.
        kept: Vec<u64>,
    },
    /// The engine cannot run on this machine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no thread to be had.
    #[error("cannot start a thread that {purpose}: {error}")]
    Thread {
        /// What it is for.
        purpose: &'static str,
        /// Why there is none.
        error: io::Error,
    },
    /// The work panicked, which is a fault of the gateway.
    #[error(
        "{0} the policies did not come to its end, by a fault of the gateway: the log says which"
    )]
    Panicked(&'static str),
}

impl LoadError {
    /// Nothing, if nothing went wrong; else all that did.
    pub(crate) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.pop() {
            None => Ok(()),
            Some(only) if errors.is_empty() => Err(only),
            Some(last) => {
                errors.push(last);
                Err(Self::Several(errors))
            }
        }
    }

    /// Why there is no program for this binding.
    pub(crate) fn of_program(error: ProgramError, binding: &Binding) -> Self {
        match error {
            ProgramError::Refused(refusal) => Self::refused(refusal, binding),
            ProgramError::DigestMismatch { pinned, found } => {
                Self::DigestMismatch { subject: Box::new(Subject::of(binding)), pinned, found }
            }
            ProgramError::Artifacts(error) => error.into(),
        }
    }

    /// Why a component cannot serve this binding.
    pub(crate) fn refused(refusal: Refusal, binding: &Binding) -> Self {
        let subject = Box::new(Subject::of(binding));
        match refusal {
            Refusal::Plugin(reason) => Self::Plugin { subject, reason },
            Refusal::Settings(error) => {
                Self::Settings { subject, path: error.path, message: error.message }
            }
        }
    }
}

impl From<CasesError> for LoadError {
    fn from(error: CasesError) -> Self {
        match error {
            CasesError::File(error) => error.into(),
            CasesError::Document(error) => error.into(),
        }
    }
}

/// Each on a line of its own.
fn joined(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The binding that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Where it stands.
    pub place: Place,
    /// Its name.
    pub binding: String,
    /// Its plugin's file, as it names it.
    pub plugin: PathBuf,
}

impl Subject {
    pub(crate) fn of(binding: &Binding) -> Self {
        Self {
            place: binding.place.clone(),
            binding: binding.name.clone(),
            plugin: binding.plugin.clone(),
        }
    }
}

fn listed(numbers: &[u64]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn dotted(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(".{path}") }
}
