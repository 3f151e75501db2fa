//! Components: what they are compiled to, what one instance may use and call, and how it is asked.

mod artifact;
mod check;
mod compiler;
mod confine;
mod failure;
mod guest;
mod linked;
mod linker;
mod prepare;
mod program;
mod versions;
mod wasi;

pub use artifact::ArtifactError;
pub(crate) use artifact::{ArtifactId, Artifacts};
pub(crate) use check::decision_of;
pub use compiler::{Compiler, compile_ordered};
pub(crate) use failure::Failure;
pub(crate) use guest::{Bounds, failure};
pub(crate) use linked::Interface;
pub(crate) use prepare::Refusal;
pub use program::LARGEST_COMPONENT;
pub(crate) use program::{Program, ProgramError, inspect};
pub(crate) use versions::{Installed, Versions};
