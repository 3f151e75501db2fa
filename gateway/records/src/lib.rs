//! Typed records over a [store](chancery_store): what every crate above does with its state, once.
//!
//! - [`Table`]: records of one type below one prefix, with a codec that knows their version, and with
//!   indexes that are written in the same commit.
//! - [`Pages`]: reads everything below a prefix, page by page.
//! - [`Tries`]: reads, decides, commits, and starts again if somebody else was faster.
//! - [`View`]: all records of a small table in memory. It follows the store's changes and refuses to
//!   answer when it may be out of date.
//! - [`Cache`]: some records of a large table in memory. An entry goes when its record changes.
//! - [`Lease`]: work that only one gateway does at a time, with a fence in each of its commits.
//! - [`Due`]: work that happens by itself, in the order of time.
//!
//! What may happen only once (the use of a token, of a grant, of a code) is decided by a commit and
//! never by a [`View`] or a [`Cache`].

mod cache;
mod codec;
mod due;
mod lease;
mod pages;
mod table;
mod tries;
mod view;

pub use cache::Cache;
pub use codec::{Recorded, Stored, decode, encode};
pub use due::{Due, DueEntry};
pub use lease::{Fence, Lease, LeaseName, Lost, RenewError, Term};
pub use pages::Pages;
pub use table::Table;
pub use tries::Tries;
pub use view::{Damage, Items, Known, Model, View, ViewError};
