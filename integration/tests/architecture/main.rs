//! Maps rot. These tests keep `ARCHITECTURE.md` equal to what Cargo says, and every path that the
//! documents name in existence; and rules of the whole house that no lint knows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever a test did not expect fails it, where it happens"
)]

mod circles;
mod codes;
mod order;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
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

/// To understand one file of a circle, one must read all.
#[test]
fn no_files_but_parents_and_children_import_each_other() {
    let mut found = String::new();
    for krate in crates().keys() {
        let arrows = circles::arrows(&repository().join("gateway").join(krate).join("src"));
        for circle in circles::circles(&arrows) {
            writeln!(found, "in {krate}:").expect("text is written");
            for (from, to, names) in circles::inside(&arrows, &circle) {
                let (from, to) = (from.display(), to.display());
                writeln!(found, "  {from} -> {to}: {names}").expect("text is written");
            }
        }
    }
    assert!(found.is_empty(), "files import each other in circles:\n{found}");
}

/// A folder that another one stands on must not know it.
#[test]
fn folders_import_only_what_is_to_their_left_in_the_order() {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).expect("the map is there");
    let orders = order::orders(&text);
    assert!(!orders.is_empty(), "ARCHITECTURE.md states no order of folders any more");
    let mut found = String::new();
    for order in orders {
        let violations = order.violations(repository());
        if !violations.is_empty() {
            writeln!(found, "in {}:\n{violations}", order.of).expect("text is written");
        }
    }
    assert!(found.is_empty(), "not as ARCHITECTURE.md states the order:\n{found}");
}

#[test]
fn every_path_in_the_documents_exists() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(repository().join(document)).expect("the document is there");
        let paths: Vec<_> = text
            .split('`')
            .skip(1)
            .step_by(2)
            .chain(text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()))
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

/// `Debug` shows whatever is inside, at any length and as the peer had it. What is logged and what errors
/// say is written with `Display`, which somebody has thought about.
#[test]
fn neither_the_log_nor_an_error_shows_what_debug_makes_of_a_value() {
    let mut found = vec![];
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        // Tests may show what they like.
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for start in ["tracing::", "#[error("] {
            for (at, _) in code.match_indices(start) {
                let call = call(&code[at..]);
                let (quoted, bare) = in_and_out_of_quotes(call);
                let captured = bare.match_indices('?').any(|(at, _)| {
                    let before = bare[..at].trim_end().chars().next_back();
                    before.is_some_and(|before| "(,=".contains(before))
                });
                let quoted = OF_OUR_OWN.iter().fold(quoted, |text, own| text.replace(own, ""));
                let formatted = quoted.contains(":?}") || quoted.contains(":#?}");
                if captured || formatted {
                    let line = code[..at].lines().count();
                    found.push(format!("{}:{line}: {call}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "use `%`, or `{{}}`, in:\n{}", found.join("\n"));
}

/// A rule about an operation that nobody performs would look like a guard and be none. (The other way round, the
/// gateway denies what is not in the list, so that the tests of an operation that is missing fail.)
#[test]
fn every_operation_that_policies_are_told_of_is_performed() {
    let list = repository().join("gateway/policy/src/question/operations.rs");
    let text = fs::read_to_string(&list).expect("the list of operations is there");
    let (_, listed) = text.split_once("const OPERATIONS").expect("the list has this name");
    let (listed, _) = listed.split_once("];").expect("the list has an end");
    let operations: Vec<_> = listed.split('"').skip(1).step_by(2).collect();
    assert!(operations.len() > 50, "the list is read to its end");
    let of_nobody = |file: &Path| {
        file == list || file.ends_with("access/src/bearer.rs") || file.ends_with("tests.rs")
    };
    let performed: Vec<_> = sources()
        .into_iter()
        .filter(|file| !of_nobody(file))
        .map(|file| fs::read_to_string(file).expect("a source can be read"))
        .map(|code| code.split("#[cfg(test)]").next().unwrap_or_default().to_owned())
        .collect();
    let named = |text: &str| performed.iter().any(|code| code.contains(&format!("\"{text}\"")));
    // What is done to what the directory has is put together of a noun and a verb.
    let directory = |operation: &str| {
        let (noun, verb) = operation.split_once('.').unwrap_or_default();
        ["group", "data-set"].contains(&noun) && named(noun) && named(verb)
    };
    let idle: Vec<_> = operations.iter().filter(|one| !named(one) && !directory(one)).collect();
    assert!(idle.is_empty(), "nothing performs {idle:?}, of which policies are told");
}

/// The first line of a file says what it is about.
#[test]
fn every_module_says_what_it_is_about() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|file| {
            let text = fs::read_to_string(file).expect("a source file can be read");
            !text.starts_with("//! ")
        })
        .collect();
    assert!(silent.is_empty(), "these files do not begin with `//!`: {silent:?}");
}

/// The operator looks a code up that stands in the audit log, in the log or in a metric.
#[test]
fn every_stable_code_is_in_the_catalogue_of_errors() {
    let catalogue = fs::read_to_string(repository().join("docs/errors.md")).expect("it is there");
    let listed: BTreeSet<&str> = catalogue
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|cell| cell.split(", "))
        .filter_map(|code| code.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let mut given = BTreeSet::new();
    for file in sources() {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        given.extend(codes::given(code));
    }
    let given: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    assert!(given.len() > 100, "the codes are not found any more");
    let missing: Vec<_> = given.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
    let gone: Vec<_> = listed.difference(&given).collect();
    assert!(gone.is_empty(), "docs/errors.md lists {gone:?}, which nothing gives");
}

/// What errors may show with `Debug`: durations, and enums without fields.
const OF_OUR_OWN: [&str; 4] =
    ["within {0:?}", "within {after:?}", "sign with {algorithm:?}", "signatures of the type {0:?}"];

/// What the gateway writes, it writes by `gateway/files`: through no symbolic link, under a name that nobody can
/// know before, for its owner alone, and whole or not at all.
#[test]
fn files_are_opened_for_writing_in_one_place_only() {
    let of_tests = |file: &PathBuf| {
        let name = file.file_stem().unwrap_or_default();
        name == "tests" || file.components().any(|part| part.as_os_str() == "tests")
    };
    let files_crate = repository().join("gateway/files/src");
    let mut found = vec![];
    for file in sources().into_iter().filter(|file| !file.starts_with(&files_crate)) {
        if of_tests(&file) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source file can be read");
        found.extend(
            writers(&text).map(|(line, call)| format!("{}:{line}: {call}", file.display())),
        );
    }
    assert!(found.is_empty(), "use `chancery_files` in place of:\n{}", found.join("\n"));
}

/// What the policies decide counts only with the evidence of the one who asks, and with a line in the audit log:
/// both are the gate's. The commands that show an operator what policies would say do nothing.
#[test]
fn the_policies_are_asked_at_the_gate_only() {
    let may = ["policy/", "gate/", "server/src/policy/explain.rs", "server/src/check/policies.rs"];
    let gateway = repository().join("gateway");
    let elsewhere: Vec<_> = sources()
        .into_iter()
        .filter(|file| !may.iter().any(|part| file.starts_with(gateway.join(part))))
        .filter(|file| {
            let text = fs::read_to_string(file).expect("a source file can be read");
            text.contains(".policy.decide_") || text.contains("host.decide_")
        })
        .collect();
    assert!(elsewhere.is_empty(), "ask at `chancery_gate::Gate` in place of: {elsewhere:?}");
}

/// The calls with which files are opened for writing.
const WRITERS: [&str; 10] = [
    "OpenOptions",
    "File::create",
    "File::options",
    "fs::write",
    "fs::copy",
    "fs::hard_link(",
    "fs::symlink(",
    "NamedTempFile",
    "tempfile::tempfile",
    "rustix::fs::open",
];

/// Where they are in a source file without its tests, by line.
fn writers(text: &str) -> impl Iterator<Item = (usize, &'static str)> + '_ {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    code.lines().enumerate().flat_map(|(number, line)| {
        let code = line.split("//").next().unwrap_or_default();
        let called = WRITERS.into_iter().filter(move |call| code.contains(call));
        called.map(move |call| (number + 1, call))
    })
}

#[test]
fn writers_are_found_but_in_tests_and_comments() {
    let text = "use std::fs::OpenOptions;\n// fs::write\nfs::write(a, b); // so\n\
                #[cfg(test)]\nmod tests {\n    fs::write(a, b);\n";
    assert_eq!(writers(text).collect::<Vec<_>>(), [(1, "OpenOptions"), (3, "fs::write")]);
}

/// The macro or attribute at the beginning of `code`, up to its closing parenthesis; nothing if there is
/// none before the end of the statement.
fn call(code: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, character) in code.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            ';' | '{' | '}' if depth == 0 => break,
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &code[..=at];
                }
            }
            _ => {}
        }
    }
    ""
}

/// What stands between quotes in a piece of code, and the rest of it.
fn in_and_out_of_quotes(code: &str) -> (String, String) {
    let (mut inside, mut outside, mut quoted, mut escaped) =
        (String::new(), String::new(), false, false);
    for character in code.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => inside.push(character),
            _ => outside.push(character),
        }
    }
    (inside, outside)
}

/// The source files of the gateway's crates.
fn sources() -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders: Vec<_> = fs::read_dir(repository().join("gateway"))
        .expect("gateway/ can be read")
        .map(|entry| entry.expect("an entry").path().join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn calls_are_found_to_their_end() {
    assert_eq!(call(r#"tracing::warn!(%error, "a) b"); x"#), r#"tracing::warn!(%error, "a) b")"#);
    assert_eq!(call("tracing::Span::current;"), "");
    let (inside, outside) = in_and_out_of_quotes(r#"warn!(?x, "a {y:?} \" b")"#);
    assert_eq!((inside.as_str(), outside.as_str()), ("a {y:?}  b", "warn!(?x, )"));
}

const TOP_LEVEL: [&str; 11] = [
    "gateway/",
    "plugins/",
    "wit/",
    "policies/",
    "integration/",
    "benches/",
    "scripts/",
    "docs/",
    "packaging/",
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
