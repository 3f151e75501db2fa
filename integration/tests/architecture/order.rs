//! The order of the folders in a crate, as a line of `ARCHITECTURE.md` states it:
//!
//! ```text
//! - `gateway/NAME`: `lowest` < `higher` < `one`, `other`
//! ```
//!
//! What a folder or file has below it stands to its left, and it may import only that. Those between two `<` do not
//! import each other. Instead of a crate, a line may name a folder in one, such as `gateway/NAME/src/folder`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::circles;

/// The order of the folders, and files, that are in one folder: their positions from the left.
pub(crate) struct Order<'a> {
    /// The crate or folder, from the repository's root on.
    pub(crate) of: &'a str,
    positions: BTreeMap<&'a str, usize>,
}

/// The orders that the document states.
pub(crate) fn orders(document: &str) -> Vec<Order<'_>> {
    document.lines().filter_map(order).collect()
}

fn order(line: &str) -> Option<Order<'_>> {
    let (of, steps) = line.strip_prefix("- `gateway/")?.split_once("`: `")?;
    if !steps.contains("` < `") {
        return None;
    }
    let of = &line[3..3 + "gateway/".len() + of.len()];
    let mut positions = BTreeMap::new();
    for (at, step) in steps.trim_end_matches('`').split("` < `").enumerate() {
        for name in step.split("`, `") {
            assert!(positions.insert(name, at).is_none(), "the order of {of} has {name} twice");
        }
    }
    Some(Order { of, positions })
}

impl Order<'_> {
    /// What in the repository is not as this order states it; empty if all is.
    pub(crate) fn violations(&self, repository: &Path) -> String {
        let named = repository.join(self.of);
        let sources = named.join("src");
        let folder = if sources.is_dir() { sources } else { named };
        let is_source = |path: &&Path| path.file_name().is_some_and(|name| name == "src");
        let sources = folder.ancestors().find(is_source).expect("a crate has `src`");
        let mut found = String::new();
        let there = members(&folder);
        for name in &there {
            if !self.positions.contains_key(name.as_str()) {
                writeln!(found, "  {name} is not in the order").expect("text is written");
            }
        }
        for name in self.positions.keys().filter(|name| !there.contains(**name)) {
            writeln!(found, "  {name} is in the order, and not there").expect("text is written");
        }
        for (from, to) in &circles::arrows(sources) {
            for (to, names) in to {
                let (Some(one), Some(two)) = (member(&folder, from), member(&folder, to)) else {
                    continue;
                };
                let (above, below) = (self.positions.get(&*one), self.positions.get(&*two));
                // What is not in the order was found above.
                let (Some(above), Some(below)) = (above, below) else { continue };
                if one != two && below >= above {
                    let names = names.iter().cloned().collect::<Vec<_>>().join(" ");
                    let short = |path: &Path| path.strip_prefix(&folder).map(Path::to_owned);
                    let (from, to) = (short(from), short(to));
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    writeln!(found, "  {} -> {}: {names}", from.display(), to.display())
                        .expect("text is written");
                }
            }
        }
        found
    }
}

/// The folders and modules in a folder, by name.
fn members(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter_map(|path| member(folder, &path))
        .collect()
}

/// Which of the folder's members a file belongs to; none for the folder's own file and for files elsewhere.
fn member(folder: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(folder).ok()?.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    let is_own = first.len() > name.len() && ["lib", "main", "mod"].contains(&name);
    (!is_own).then(|| name.to_owned())
}

#[test]
fn an_arrow_to_the_right_is_found() {
    let line = "text\n- `gateway/x`: `low` < `left`, `right` < `top`\n- `gateway/y`: other";
    let [order] = &orders(line)[..] else { panic!("one order") };
    assert_eq!((order.of, order.positions["right"], order.positions["top"]), ("gateway/x", 1, 2));
    let files = |low: &'static str, left: &'static str| {
        [
            ("gateway/x/src/lib.rs", "mod low; mod left; mod right; mod top; pub use top::T;"),
            ("gateway/x/src/low.rs", low),
            ("gateway/x/src/left/mod.rs", "pub mod deep; pub struct L(deep::D);"),
            ("gateway/x/src/left/deep.rs", left),
            ("gateway/x/src/right.rs", "pub struct R(crate::low::Low);"),
            ("gateway/x/src/top.rs", "pub struct T(crate::low::Low);"),
        ]
    };
    let violations = |low, left| {
        let folder = circles::written(&files(low, left));
        order.violations(folder.path())
    };
    let (low, deep) = ("pub struct Low;", "pub struct D(crate::low::Low);");
    assert_eq!(violations(low, deep), "");
    // Up through a re-export, and to the side.
    let up = "pub struct Low; pub fn f() -> crate::T { todo!() }";
    assert_eq!(violations(up, deep), "  low.rs -> top.rs: T\n");
    let beside = "use crate::right::R; pub struct D(R);";
    assert_eq!(violations(low, beside), "  left/deep.rs -> right.rs: R\n");
    let [order] = &orders("- `gateway/x`: `low` < `left` < `top` < `gone`")[..] else {
        panic!("one order")
    };
    let folder = circles::written(&files(low, deep));
    let (missing, gone) = ("right is not in the order", "gone is in the order, and not there");
    assert_eq!(order.violations(folder.path()), format!("  {missing}\n  {gone}\n"));
    let [order] = &orders("- `gateway/x/src/left`: `shallow` < `deep`")[..] else {
        panic!("one order")
    };
    assert_eq!(order.violations(folder.path()), "  shallow is in the order, and not there\n");
}
