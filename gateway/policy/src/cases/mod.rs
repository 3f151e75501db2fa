//! Golden cases: what a policy is expected to decide about given requests, in a TOML document beside
//! it. Authors run them while they write (`chancery policy test`), and a binding that names them is
//! taken into force only if they hold.

mod access;
mod certificate;
mod decided;
mod lookups;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

pub use decided::{Allowed, Decided, Issued, NeededApproval};

use crate::binding::{Limits, document};
use crate::error::{LoadError, Place};
use crate::evaluation::Question;
use crate::plugin::{Interface, Program};
use access::AccessCase;
use certificate::CertificateCase;

/// The cases of one document.
#[derive(Debug)]
pub struct Cases(Kind);

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
    /// What the policy consumed, where that was counted: the same on every machine.
    pub fuel: Option<u64>,
    /// How long it took.
    #[serde(skip)]
    pub took: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<C> {
    #[serde(default = "Vec::new")]
    case: Vec<Spanned<C>>,
}

impl Cases {
    /// Reads a document.
    ///
    /// # Errors
    /// Says which line is wrong and what was expected.
    pub fn read(file: &Path, kind: CaseKind) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(file).map_err(LoadError::io("read", file))?;
        Self::parse(file, &text, kind)
    }

    /// The cases in the text of a document; `file` is for messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: &Path, text: &str, kind: CaseKind) -> Result<Self, LoadError> {
        Ok(Self(match kind {
            CaseKind::Access => Kind::Access(parse(file, text)?),
            CaseKind::Certificate => Kind::Certificate(parse(file, text)?),
        }))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
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
        match &self.0 {
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
    fn question(&self) -> Self::Question;
    fn tenant(&self) -> &str;
    fn lookups(&self) -> crate::Lookups;
    fn expected(&self) -> Decided;
    fn decided(allowed: <Self::Question as Question>::Allowed) -> Decided;
}

fn parse<C: Case>(file: &Path, text: &str) -> Result<Vec<(usize, C)>, LoadError> {
    let document: Document<C> = toml::from_str(text).map_err(|error| LoadError::Document {
        place: place(file, text, error.span().map_or(0, |span| span.start)),
        message: document::with_nearest(error.message()),
    })?;
    document
        .case
        .into_iter()
        .map(|case| {
            let place = place(file, text, case.span().start);
            let line = place.line;
            let case = case.into_inner();
            if case.expected().count() != 1 {
                let message = format!(
                    "case `{}` expects one decision: allow, issue, no_objection, needs_approval or \
                     deny",
                    case.name()
                );
                return Err(LoadError::Document { place, message });
            }
            Ok((line, case))
        })
        .collect()
}

fn place(file: &Path, text: &str, offset: usize) -> Place {
    document::place(file, text, offset)
}

fn run<C: Case>(
    position: usize,
    (line, case): &(usize, C),
    program: &Program,
    limits: &Limits,
) -> CaseOutcome {
    let begun = Instant::now();
    let mut store = program.store_with(limits, case.tenant(), case.lookups());
    let answer = case.question().ask(program, &mut store);
    let took = begun.elapsed();
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
        fuel,
        took,
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
