//! Deciding: one policy is asked, groups and whole sets conclude, and threads take turns.

mod decision;
mod evaluation;
mod group;
mod merge;
mod meters;
mod schedule;
mod share;
mod verdict;
mod workers;

pub(crate) use decision::{
    Asked, conclude, no_policy, no_such_operation, not_run, shaped, without_obligations,
};
pub(crate) use evaluation::{Answer, Question, ask_access};
pub(crate) use merge::strictest;
pub(crate) use meters::{Meters, Outcome};
pub(crate) use schedule::Shares;
pub(crate) use share::Share;
pub use verdict::{Evaluation, Verdict};
pub(crate) use workers::Workers;
