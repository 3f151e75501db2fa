//! Finds files that import each other in a circle. A module's own file and the files of its children are one
//! thing in two places, so that a parent and its children may name each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::source::{self, Module, ModulePath};

/// The arrows between the files of a crate, with the names for which they exist.
pub(crate) type Arrows = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// How many imports are followed from a name to its definition.
const LONGEST_TRAIL: u8 = 16;

/// The modules of one crate by their paths.
struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// The module that defines what `path` names, seen from the crate's root; nothing if it is no item of the
    /// crate, or a module.
    fn definer(&self, path: &[String], left: u8) -> Option<&Module> {
        let mut at = self.0.get(&vec![])?;
        let mut rest = path;
        while let [first, behind @ ..] = rest {
            let mut below = at.path.clone();
            below.push(first.clone());
            match self.0.get(&below) {
                Some(child) => (at, rest) = (child, behind),
                None if at.defines.contains(first) => return Some(at),
                None => return self.imported(at, first, behind, left.checked_sub(1)?),
            }
        }
        None
    }

    /// The module that defines what `module` imports as `name`.
    fn imported(
        &self,
        module: &Module,
        name: &str,
        behind: &[String],
        left: u8,
    ) -> Option<&Module> {
        module.imports.iter().find_map(|import| {
            let mut path = self.absolute(module, &import.path)?;
            match import.name.as_str() {
                "*" => path.push(name.to_owned()),
                other if other == name => {}
                _ => return None,
            }
            path.extend_from_slice(behind);
            self.definer(&path, left)
        })
    }

    /// `path` as `module` writes it, from the crate's root on; nothing if it leads into another crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<ModulePath> {
        let mut at = module.path.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (vec![], &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            first => {
                let mut below = at.clone();
                below.push(first.to_owned());
                if !self.0.contains_key(&below) && !module.defines.contains(first) {
                    let import = module.imports.iter().find(|import| import.name == first)?;
                    // `use serde::de;` and the like name themselves, and no module of this crate.
                    if import.path.first().is_some_and(|start| start == first) {
                        return None;
                    }
                    at = self.absolute(module, &import.path)?;
                    rest = &path[1..];
                }
            }
        }
        while let [first, behind @ ..] = rest {
            if first != "super" {
                break;
            }
            at.pop()?;
            rest = behind;
        }
        at.extend_from_slice(rest);
        Some(at)
    }

    /// The arrows between files that are no parent and child.
    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for module in self.0.values() {
            let imported = module.imports.iter().map(|import| &import.path);
            for path in imported.chain(&module.paths) {
                let Some(full) = self.absolute(module, path) else { continue };
                let Some(definer) = self.definer(&full, LONGEST_TRAIL) else { continue };
                let (from, to) = (&module.path, &definer.path);
                if from.starts_with(to) || to.starts_with(from) || module.file == definer.file {
                    continue;
                }
                let names = arrows.entry(module.file.clone()).or_default();
                let name = full.get(to.len()..).and_then(<[_]>::first).or(full.last());
                names.entry(definer.file.clone()).or_default().extend(name.cloned());
            }
        }
        arrows
    }
}

/// The arrows between the files of the crate whose sources are in `folder`.
pub(crate) fn arrows(folder: &Path) -> Arrows {
    let modules = source::modules(folder);
    Modules(modules.into_iter().map(|module| (module.path.clone(), module)).collect()).arrows()
}

/// The circles: each is the files that reach each other.
pub(crate) fn circles(arrows: &Arrows) -> Vec<BTreeSet<&Path>> {
    let reached: BTreeMap<&Path, BTreeSet<&Path>> =
        arrows.keys().map(|file| (file.as_path(), reached(arrows, file))).collect();
    let mut circles: Vec<BTreeSet<&Path>> = vec![];
    for (file, others) in &reached {
        if !others.contains(file) || circles.iter().any(|circle| circle.contains(file)) {
            continue;
        }
        let back = |other: &&Path| reached.get(other).is_some_and(|again| again.contains(file));
        circles.push(others.iter().copied().filter(back).collect());
    }
    circles
}

/// The arrows inside a circle, with the names for which they exist.
pub(crate) fn inside<'a>(
    arrows: &'a Arrows,
    circle: &BTreeSet<&Path>,
) -> Vec<(&'a Path, &'a Path, String)> {
    let mut inside = vec![];
    for (from, to) in arrows {
        for (to, names) in to {
            if circle.contains(from.as_path()) && circle.contains(to.as_path()) {
                let names = names.iter().cloned().collect::<Vec<_>>().join(" ");
                inside.push((from.as_path(), to.as_path(), names));
            }
        }
    }
    inside
}

/// All files that `file` reaches by one arrow or more.
fn reached<'a>(arrows: &'a Arrows, file: &Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file.to_owned()];
    while let Some(file) = next.pop() {
        for to in arrows.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to.as_path()) {
                next.push(to.clone());
            }
        }
    }
    reached
}

/// Writes a crate's sources into a folder of their own.
pub(crate) fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder can be made");
        std::fs::write(file, text).expect("a file can be written");
    }
    folder
}

/// Writes a crate and gives its circles, as file names.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = written(files);
    let arrows = arrows(folder.path());
    let name = |file: &&Path| {
        file.strip_prefix(folder.path()).expect("it is in the folder").display().to_string()
    };
    circles(&arrows).iter().map(|circle| circle.iter().map(name).collect()).collect()
}

#[test]
fn circles_are_found_through_re_exports_and_written_paths() {
    let lib = ("lib.rs", "mod a; mod b; mod c;");
    let through_parent = [
        lib,
        ("a.rs", "use crate::b::Deep; pub struct A;"),
        ("b/mod.rs", "mod deep; pub use deep::Deep; pub trait Parent {}"),
        ("b/deep.rs", "use super::Parent; pub struct Deep; fn f() -> crate::c::C { todo!() }"),
        ("c.rs", "use super::a; pub struct C(a::A);"),
    ];
    assert_eq!(circles_of(&through_parent), [["a.rs", "b/deep.rs", "c.rs"]]);
    let in_tests_only = [
        lib,
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
        ("c.rs", "use std::a::A; // crate::a::A\n pub struct C;"),
    ];
    assert!(circles_of(&in_tests_only).is_empty());
}
