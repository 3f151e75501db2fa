//! What the documents of a directory of policies say, and which of them have a say for a tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use chancery_files::Trusted;
use chancery_identity::TenantId;

use super::error::LoadError;
use super::signed::Documents;
use crate::binding::{
    Binding, Digest, FileError, Group, InvalidDocument, Known, Place, Sources, read_document,
};

/// What the documents of a directory say.
pub(crate) struct Read {
    pub(crate) bindings: BTreeMap<String, Binding>,
    pub(crate) groups: Vec<Group>,
    pub(crate) digests: Documents,
}

/// Reads every document of the directory.
pub(crate) fn read(sources: &Sources<'_>, known: &Known) -> Result<Read, LoadError> {
    let (mut bindings, mut groups) = (BTreeMap::new(), Vec::new());
    let mut digests = Documents::new();
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    let mut take = |name: &str, place: &Place| match places.insert(name.to_owned(), place.clone()) {
        None => Ok(()),
        Some(other) => {
            let message = format!("binding `{name}` is there already, at {other}");
            Err(LoadError::from(InvalidDocument { place: place.clone(), message }))
        }
    };
    let mut wrong = Vec::new();
    for name in names(sources)? {
        let file = sources.directory.join(&name);
        let text = sources.read_text(&name)?;
        let document = match read_document(&file, &text, known) {
            Ok(document) => document,
            Err(error) => {
                wrong.push(error.into());
                continue;
            }
        };
        digests.insert(in_words(&name)?, Digest::of(text.as_bytes()));
        for binding in document.bindings {
            take(&binding.name, &binding.place)?;
            bindings.insert(binding.name.clone(), binding);
        }
        for group in document.groups {
            take(&group.name, &group.place)?;
            groups.push(group);
        }
    }
    LoadError::all(wrong)?;
    groups.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(Read { bindings, groups, digests })
}

/// The name of a document, which has to be text: by that it is signed.
fn in_words(name: &Path) -> Result<String, LoadError> {
    let not_text = || FileError::of("name", name)(io::ErrorKind::InvalidFilename.into()).into();
    name.to_str().map(str::to_owned).ok_or_else(not_text)
}

/// The names of the directory's `*.toml` files, sorted.
fn names(sources: &Sources<'_>) -> Result<Vec<PathBuf>, LoadError> {
    let directory = sources.directory;
    sources.trusted.directory(directory)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(FileError::of("list", directory))? {
        let path = entry.map_err(FileError::of("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
            files.extend(path.file_name().map(PathBuf::from));
        }
    }
    files.sort();
    Ok(files)
}

/// The documents of a directory that somebody who signs for `tenant` has to sign: those with a say in what is decided
/// for it; all of them if none is named.
///
/// # Errors
/// If one cannot be read, is malformed, or has a name that is no text.
pub fn documents(
    directory: &Path,
    trusted: &Trusted,
    tenant: Option<&TenantId>,
) -> Result<Documents, LoadError> {
    let sources = Sources::new(directory, trusted);
    // What they may refer to is asked of the gateway that loads them.
    let read = read(&sources, &Known::ANYTHING)?;
    let mut documents = read.digests;
    if let Some(tenant) = tenant {
        let wanted = with_a_say(tenant, &read.bindings, &read.groups);
        documents.retain(|name, _| wanted.contains(name));
    }
    Ok(documents)
}

/// The names of the documents that have a say in what is decided for a tenant: those that bind what could be asked
/// for it, and those that make groups of that.
pub(crate) fn with_a_say(
    tenant: &TenantId,
    bindings: &BTreeMap<String, Binding>,
    groups: &[Group],
) -> BTreeSet<String> {
    let bound = bindings.values().filter(|binding| binding.scope.reaches(tenant));
    let grouped = groups.iter().filter(|group| {
        let of_tenant =
            |name: &str| bindings.get(name).is_some_and(|binding| binding.scope.reaches(tenant));
        group.scope.reaches(tenant) || leaves(group, groups).into_iter().any(of_tenant)
    });
    let places = bound.map(|one| &one.place).chain(grouped.map(|group| &group.place));
    places.filter_map(|place| place.file.file_name()?.to_str().map(str::to_owned)).collect()
}

/// The names of the bindings in a group, and in the groups in it.
fn leaves<'a>(group: &'a Group, groups: &'a [Group]) -> BTreeSet<&'a str> {
    let (mut seen, mut ahead) = (BTreeSet::new(), group.rule.members());
    while let Some(name) = ahead.pop() {
        // A group that is in itself is refused elsewhere, and must not keep this busy.
        if seen.insert(name)
            && let Some(inner) = groups.iter().find(|group| group.name == name)
        {
            ahead.extend(inner.rule.members());
        }
    }
    seen
}
