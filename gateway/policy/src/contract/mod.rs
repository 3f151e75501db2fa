//! The contract between the gateway and its policies: the worlds in `wit/`, their versions, what guests may call, and
//! how questions and answers cross.

pub(crate) mod answer;
mod calls;
pub(crate) mod interface;
mod line;
mod lookups;
pub(crate) mod request;
pub(crate) mod world;

pub(crate) use calls::{Callee, Calls};
pub(crate) use interface::Decision;
pub use interface::VERSION;
pub(crate) use line::Line;
pub(crate) use lookups::{Capabilities, Granted};
pub use lookups::{DataLookup, GroupLookup, IssuedLookup, IssuedTo, LookupError, Lookups};
