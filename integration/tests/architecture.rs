//! Maps rot. These tests keep `ARCHITECTURE.md` equal to what Cargo says, and every path that the
//! documents name in existence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use chancery_integration::process::repository;
use serde_json::Value;

/// What stands about a room in the table, or what Cargo says about its crate.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    imports: BTreeSet<String>,
}

#[test]
fn the_crate_map_is_what_cargo_says() {
    let written: BTreeMap<_, _> =
        map().into_iter().map(|(name, (_, imports))| (name, Room { imports })).collect();
    let built = crates();
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        built.keys().collect::<Vec<_>>(),
        "the crate map in ARCHITECTURE.md (left) has other rooms than gateway/ (right)"
    );
    for (name, room) in &built {
        assert_eq!(
            written[name].imports, room.imports,
            "ARCHITECTURE.md (left) gives {name} other imports than its Cargo.toml (right)"
        );
    }
}

#[test]
fn every_arrow_leads_to_a_lower_floor() {
    let map = map();
    for (name, (floor, imports)) in &map {
        for import in imports {
            let (below, _) = map.get(import).unwrap_or_else(|| panic!("{name} imports {import}"));
            assert!(below < floor, "{name} on floor {floor} imports {import} on floor {below}");
        }
    }
}

#[test]
fn every_path_in_the_documents_exists() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(repository().join(document)).expect("the document is there");
        let paths: Vec<_> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .chain(text.split("](").skip(1).filter_map(|rest| rest.split(')').next()))
            .filter(|path| TOP_LEVEL.iter().any(|top| path.starts_with(top)))
            // A pattern or a placeholder stands for many files.
            .filter(|path| !path.contains(['*', '<', '{', ' ']) && !path.contains("NAME"))
            .collect();
        assert!(!paths.is_empty(), "{document} names no path at all");
        for path in paths {
            // What a build makes is not there before it.
            if path.contains("target/") {
                continue;
            }
            assert!(
                repository().join(path).exists(),
                "{document} names {path}, which does not exist"
            );
        }
    }
}

const TOP_LEVEL: [&str; 9] = [
    "gateway/",
    "plugins/",
    "wit/",
    "policies/",
    "integration/",
    "benches/",
    "scripts/",
    ".ci/",
    "ARCHITECTURE.md",
];

/// The rooms in the table of `ARCHITECTURE.md`: name, floor, imports.
fn map() -> BTreeMap<String, (u8, BTreeSet<String>)> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("the map is there");
    let rooms: BTreeMap<_, _> = text.lines().filter_map(row).collect();
    assert!(!rooms.is_empty(), "ARCHITECTURE.md has no crate map any more");
    rooms
}

/// Reads `| floor | [`room`](gateway/room) | what lives there | imports |`.
fn row(line: &str) -> Option<(String, (u8, BTreeSet<String>))> {
    let cells: Vec<&str> =
        line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [floor, room, _, imports] = cells[..] else { return None };
    let floor = floor.parse().ok()?;
    let (name, folder) = room.strip_prefix("[`")?.strip_suffix(')')?.split_once("`](")?;
    assert_eq!(folder, format!("gateway/{name}"), "in the row of {name}");
    let imports = match imports {
        "nothing" => BTreeSet::new(),
        imports => imports.split(' ').map(str::to_owned).collect(),
    };
    Some((name.to_owned(), (floor, imports)))
}

/// The crates below `gateway/` with the crates of this workspace that they depend on.
fn crates() -> BTreeMap<String, Room> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .expect("cargo can be run");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo gives JSON");
    let packages = metadata["packages"].as_array().expect("an array of packages");
    packages
        .iter()
        .filter(|package| {
            package["manifest_path"].as_str().is_some_and(|path| path.contains("/gateway/"))
        })
        .map(|package| {
            let imports = package["dependencies"]
                .as_array()
                .expect("an array of dependencies")
                .iter()
                // What only the tests of a crate use is no arrow.
                .filter(|dependency| dependency["kind"] != "dev")
                .filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("chancery-"))
                .map(str::to_owned)
                .collect();
            let name = package["name"].as_str().expect("a name");
            let room =
                name.strip_prefix("chancery-").unwrap_or_else(|| panic!("{name} is misnamed"));
            (room.to_owned(), Room { imports })
        })
        .collect()
}
