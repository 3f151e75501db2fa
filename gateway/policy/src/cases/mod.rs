//! Golden cases: what a policy is expected to decide about given requests, in a TOML document beside
//! it. Authors run them while they write (`chancery policy test`), and a binding that names them is
//! taken into force only if they hold.

mod access;
mod certificate;
mod decided;
mod lookups;

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use chancery_identity::InvalidTenantId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

pub use access::AccessQuestion;
pub use certificate::CertificateQuestion;
pub use decided::{Allowed, Decided, Issued, NeededApproval};
pub use lookups::CaseLookups;

use crate::binding::{FileError, InvalidDocument, Limits, Place, settings_as_json};
use crate::component::{Failure, Interface, Program};
use crate::decide::Question;
use access::AccessCase;
use certificate::CertificateCase;

/// A document of cases could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// Its file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not what it should be.
    #[error(transparent)]
    Document(#[from] InvalidDocument),
}

/// The cases of one document.
#[derive(Debug)]
pub struct Cases {
    kind: Kind,
    settings: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Access(Vec<(usize, AccessCase)>),
    Certificate(Vec<(usize, CertificateCase)>),
}

/// Which of the contract's decisions the cases are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseKind {
    /// May somebody do something?
    Access,
    /// What may be certified?
    Certificate,
}

/// How one case came out.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CaseOutcome {
    /// Name of the case.
    pub name: String,
    /// Its position in the document, from 0.
    pub position: usize,
    /// Where it stands, from 1.
    pub line: usize,
    /// What the policy said; none if it failed.
    pub decided: Option<Decided>,
    /// What differs from what was expected, one difference a line; empty if the case holds.
    pub difference: String,
    /// What the policy wrote to the log, a line each.
    pub log: Vec<String>,
    /// What the policy consumed, where that was counted: the same on every machine.
    pub fuel: Option<u64>,
    /// How long it took, instantiation included.
    #[serde(skip)]
    pub took: Duration,
    /// Linear memory that the instance had at its end, in bytes.
    pub memory: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<C> {
    settings: Option<toml::Table>,
    #[serde(default = "Vec::new")]
    case: Vec<Spanned<C>>,
}

impl Cases {
    /// Reads a document.
    ///
    /// # Errors
    /// Says which line is wrong and what was expected.
    pub fn read(file: &Path, kind: CaseKind) -> Result<Self, CasesError> {
        let text = std::fs::read_to_string(file).map_err(FileError::of("read", file))?;
        Ok(Self::parse(file, &text, kind)?)
    }

    /// The cases in the text of a document; `file` is for messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &Path, text: &str, kind: CaseKind) -> Result<Self, InvalidDocument> {
        let (kind, settings) = match kind {
            CaseKind::Access => {
                let (cases, settings) = parse(file, text)?;
                (Kind::Access(cases), settings)
            }
            CaseKind::Certificate => {
                let (cases, settings) = parse(file, text)?;
                (Kind::Certificate(cases), settings)
            }
        };
        Ok(Self { kind, settings })
    }

    /// The settings in the text of a document, before it is known what its cases are about.
    ///
    /// # Errors
    /// The text is not TOML.
    pub fn settings_in(file: &Path, text: &str) -> Result<Option<String>, InvalidDocument> {
        #[derive(Deserialize)]
        struct Settings {
            settings: Option<toml::Table>,
        }
        let document: Settings =
            toml::from_str(text).map_err(|error| InvalidDocument::of_toml(file, text, &error))?;
        Ok(document.settings.as_ref().map(settings_as_json))
    }

    /// The settings that the document gives the policy, a JSON object.
    pub fn settings(&self) -> Option<&str> {
        self.settings.as_deref()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Access(cases) => cases.len(),
            Kind::Certificate(cases) => cases.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts each case to a fresh instance of the program.
    pub(crate) fn run(&self, program: &Program, limits: &Limits) -> Vec<CaseOutcome> {
        match &self.kind {
            Kind::Access(cases) => {
                cases.iter().enumerate().map(|(at, case)| run(at, case, program, limits)).collect()
            }
            Kind::Certificate(cases) => {
                cases.iter().enumerate().map(|(at, case)| run(at, case, program, limits)).collect()
            }
        }
    }
}

/// What both kinds of case have in common.
trait Case: DeserializeOwned {
    type Question: Question;

    fn name(&self) -> &str;
    fn question(&self) -> Result<Self::Question, InvalidTenantId>;
    fn lookups(&self) -> crate::Lookups;
    fn expected(&self) -> Decided;
    fn decided(allowed: <Self::Question as Question>::Allowed) -> Decided;
}

/// Cases with the lines on which they begin, and the settings of the document.
type Parsed<C> = (Vec<(usize, C)>, Option<String>);

fn parse<C: Case>(file: &Path, text: &str) -> Result<Parsed<C>, InvalidDocument> {
    let document: Document<C> =
        toml::from_str(text).map_err(|error| InvalidDocument::with_nearest(file, text, &error))?;
    let settings = document.settings.as_ref().map(settings_as_json);
    let cases = document
        .case
        .into_iter()
        .map(|case| {
            let place = Place::at(file, text, case.span().start);
            let line = place.line;
            let case = case.into_inner();
            if let Err(error) = case.question() {
                return Err(InvalidDocument { place, message: error.to_string() });
            }
            if case.expected().count() != 1 {
                let message = format!(
                    "case `{}` expects one decision: allow, issue, no_objection, needs_approval or \
                     deny",
                    case.name()
                );
                return Err(InvalidDocument { place, message });
            }
            Ok((line, case))
        })
        .collect::<Result<_, InvalidDocument>>()?;
    Ok((cases, settings))
}

fn run<C: Case>(
    position: usize,
    (line, case): &(usize, C),
    program: &Program,
    limits: &Limits,
) -> CaseOutcome {
    let question = case.question();
    let begun = Instant::now();
    let tenant = question.as_ref().ok().map(Question::tenant);
    let (sender, lines) = channel();
    let mut store = program.store_with(limits, tenant, case.lookups(), sender);
    let answer = match &question {
        Ok(question) => question.ask(program, &mut store),
        Err(error) => Err(Failure::Answer(error.to_string())),
    };
    let took = begun.elapsed();
    let memory = store.data().memory_used();
    let fuel = store.get_fuel().ok().map(|left| u64::MAX - left);
    let (decided, difference) = match answer {
        Ok(answer) => {
            let decided = answer.map_or_else(|denial| Decided::of_denial(&denial), C::decided);
            let difference = case.expected().difference(&decided);
            (Some(decided), difference)
        }
        Err(failure) => (None, format!("the policy failed: {failure}")),
    };
    CaseOutcome {
        name: case.name().to_owned(),
        position,
        line: *line,
        decided,
        difference,
        log: lines.try_iter().map(|line| line.to_string()).collect(),
        fuel,
        took,
        memory,
    }
}

impl Program {
    /// The kind of cases that the program can be asked.
    pub(crate) fn case_kind(&self) -> CaseKind {
        match self.interface {
            Interface::Access(_) => CaseKind::Access,
            Interface::Certificate(_) => CaseKind::Certificate,
        }
    }
}

#[cfg(test)]
mod tests;
