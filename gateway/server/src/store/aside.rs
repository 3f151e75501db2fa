//! The damaged file that a rebuild keeps.

use std::path::PathBuf;

use chancery_store::Version;
use chancery_store::redb::Readable;

use super::quiet::Quiet;
use super::store_file;
use crate::config::Config;

/// Where the damaged file is kept.
pub(super) fn aside(config: &Config) -> PathBuf {
    store_file(config).with_extension("redb.damaged")
}

/// The newest commit in the damaged file that is kept; none if there is none, or it does not say.
pub(super) fn newest_aside(config: &Config) -> Option<Version> {
    let _quiet = Quiet::begin();
    Some(Readable::open(&aside(config)).ok()?.newest())
}
