//! What failed in a run over several CAs or tenants: one that fails does not keep the others.

use std::fmt::Display;

use anyhow::anyhow;

use super::task::Done;

/// How many are told of with their reason.
const MOST: usize = 10;

/// What failed in a run.
#[derive(Debug, Default)]
pub(super) struct Failures {
    said: Vec<String>,
    /// Beyond those.
    more: usize,
}

impl Failures {
    /// Adds what happened to one of them, if it failed.
    pub(super) fn note<T, E: Into<anyhow::Error>>(
        &mut self,
        what: impl Display,
        done: Result<T, E>,
    ) -> Option<T> {
        let error = match done {
            Ok(done) => return Some(done),
            Err(error) => error.into(),
        };
        if self.said.len() < MOST {
            self.said.push(format!("{what}: {error:#}"));
        } else {
            self.more = self.more.saturating_add(1);
        }
        None
    }

    /// What the run ends with.
    pub(super) fn outcome(self) -> Done {
        let Self { mut said, more } = self;
        if said.is_empty() {
            return Ok(None);
        }
        if more > 0 {
            said.push(format!("and {more} more"));
        }
        Err(anyhow!(said.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_that_failed_is_told_of_within_a_bound() {
        let mut failures = Failures::default();
        assert_eq!(failures.note("the CA a", anyhow::Ok(7)), Some(7));
        let none: Option<()> = failures.note("the CA b", Err(anyhow!("no token")));
        assert_eq!(none, None);
        failures.note("the CA c", Err::<(), _>(anyhow!("no store")));
        let error = failures.outcome().unwrap_err().to_string();
        assert_eq!(error, "the CA b: no token; the CA c: no store");
        assert!(Failures::default().outcome().is_ok());

        let mut failures = Failures::default();
        for number in 0..MOST + 5 {
            failures.note(number, Err::<(), _>(anyhow!("no")));
        }
        let error = failures.outcome().unwrap_err().to_string();
        assert!(error.ends_with("; 9: no; and 5 more"), "{error}");
    }
}
