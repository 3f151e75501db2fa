//! The operator's files: who may change and read them, and writing them whole or not at all.
//!
//! [`Trusted`] opens what the operator owns (the configuration, keys, PINs, policies, the store) and
//! refuses what others may change, be it the file itself or a directory on the way to it in which they
//! may put another file in its place. [`replace`], [`create`] and [`remove`] change small files so that
//! a crash at any moment leaves the old file or the new one.

mod access;
mod accounts;
mod check;
mod directory;
mod draft;
mod error;
mod foreign;
mod open;
mod process;
mod roots;
mod together;
mod write;

pub use accounts::{group_id, user_id, user_name};
pub use check::{SecretReaders, Trusted};
pub use directory::Readers;
pub use draft::{Draft, is_draft};
pub use error::{Untrusted, WhoMay};
pub use foreign::refuse_root_in_foreign;
pub use process::{as_user, explained};
pub use roots::{NotRootsAlone, roots_alone};
pub use together::{NotKept, keep_together};
pub use write::{
    create, is_there, make_directory, make_directory_as_parent, remove, rename, replace,
    try_directory,
};
