//! Another set comes into force: the directory's, or an earlier one.

use std::sync::{Arc, PoisonError};

use super::{Inner, PolicyHost, announce, background};
use crate::binding::{Known, Sources};
use crate::set::{self, Candidate, Current, LoadError, Restored, Signers, Summary};

impl PolicyHost {
    /// Loads the directory again and takes the new set into use in one step. Decisions that have begun
    /// end by the old set, which stays if no file of it has changed. Blocks while components are
    /// compiled: call it off the request path.
    ///
    /// # Errors
    /// As [`open`](Self::open); the old set then stays in force, whole.
    pub fn reload(&self) -> Result<Summary, LoadError> {
        self.exchange(None)
    }

    /// The same with other keys whose signatures count, and other names that documents may refer to, from now on,
    /// if the set is taken.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_with(&self, signers: Signers, known: Known) -> Result<Summary, LoadError> {
        self.exchange(Some((signers, known)))
    }

    fn exchange(&self, terms: Option<(Signers, Known)>) -> Result<Summary, LoadError> {
        let mut in_force = self.0.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let (signers, known) = terms.unwrap_or_else(|| in_force.clone());
        let taken = self.take(&signers, &known);
        let outcome = if taken.is_ok() { "taken" } else { "refused" };
        metrics::counter!("chancery_policy_reloads_total", "outcome" => outcome).increment(1);
        if taken.is_ok() {
            *in_force = (signers, known);
        }
        taken
    }

    fn take(&self, signers: &Signers, known: &Known) -> Result<Summary, LoadError> {
        let Inner { sandbox, artifacts, lookups, directory, trusted, history, clock, .. } =
            &*self.0;
        let in_force = self.set();
        let candidate = Candidate::load(
            sandbox,
            artifacts,
            lookups,
            Sources::new(directory, trusted),
            (signers, known),
            Some(&in_force),
        )?;
        if set::digest(&candidate.files) == self.summary().digest {
            // The files are as they were; who has to sign may be another.
            let unasked = candidate.loaded.unasked;
            if unasked != self.summary().unasked {
                for one in &unasked {
                    tracing::warn!("{one}");
                }
                let mut summary = self.summary();
                summary.unasked = unasked;
                self.0.current.store(Arc::new(Current { set: in_force, summary }));
            }
            return Ok(self.summary());
        }
        let current = candidate.take(artifacts, history.as_ref(), clock)?;
        announce(&current.summary, "new policies are in force");
        let summary = current.summary.clone();
        self.0.current.store(Arc::new(current));
        // To unmap a set's code takes longer than to decide by it.
        background::retire("policy-retire", in_force);
        Ok(summary)
    }

    /// Puts an earlier set back (see [`EarlierSet::put_back`](crate::EarlierSet::put_back)) and takes it into use.
    ///
    /// # Errors
    /// As [`EarlierSet::put_back`](crate::EarlierSet::put_back) and [`reload`](Self::reload).
    pub fn roll_back(&self, number: Option<u64>) -> Result<(Restored, Summary), LoadError> {
        let Inner { artifacts, directory, trusted, history, .. } = &*self.0;
        let history = history
            .as_ref()
            .ok_or_else(|| LoadError::NoSuchSet { asked: number, kept: Vec::new() })?;
        let earlier = history.earlier(number)?;
        let restored = earlier.put_back(directory, trusted)?;
        artifacts.remember(&earlier.set.bindings)?;
        history.mark_put_back(&earlier.set)?;
        let taken = self.reload();
        if let (Err(_), Some(in_force)) = (&taken, self.summary().number) {
            // What is in force stays in the directory as well, or the next start would find what is refused.
            let in_force = history.earlier(Some(in_force))?;
            drop(in_force.put_back(directory, trusted)?);
            artifacts.remember(&in_force.set.bindings)?;
        }
        Ok((restored, taken?))
    }
}
