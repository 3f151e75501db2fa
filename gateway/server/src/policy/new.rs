//! `chancery policy new`: makes a folder with the source of a new policy, its cases and the contract.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use super::project::{Decision, FILE, Language, Project, check_name};
use super::{Output, print};
use crate::files::{self, Readers};

/// `chancery policy new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// The folder to make; its last part is the policy's name.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// What to write it in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
    /// What it decides.
    #[arg(long, value_enum, default_value_t = Decision::Access)]
    decision: Decision,
}

#[derive(Debug, Serialize)]
struct Made {
    project: Project,
    folder: PathBuf,
    files: Vec<PathBuf>,
}

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../../../policies/templates/", $file))
    };
}

macro_rules! guest {
    ($($file:literal),* $(,)?) => {
        &[$((
            concat!("sdk/guest/src/", $file),
            include_str!(concat!("../../../../plugins/guest/src/", $file)),
        )),*]
    };
}

macro_rules! wit {
    ($($file:literal),* $(,)?) => {
        &[$((concat!("wit/", $file), include_str!(concat!("../../../../wit/", $file)))),*]
    };
}

type Files = &'static [(&'static str, &'static str)];

/// The contract, which every language's tools read.
const WIT: Files = wit!["access.wit", "certificate.wit", "host.wit", "types.wit", "worlds.wit"];

/// What a policy in Rust is written with.
const GUEST: Files = guest![
    "access.rs",
    "allocator.rs",
    "bindings.rs",
    "certificate.rs",
    "component.rs",
    "glob.rs",
    "host.rs",
    "lib.rs",
    "network.rs",
    "panics.rs",
    "period.rs",
    "settings.rs",
];

/// Makes the folder, which must not be there yet.
pub(super) fn run(args: &NewArgs, output: Output) -> Result<ExitCode> {
    let folder = &args.folder;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.with_context(|| format!("{} names no folder", folder.display()))?;
    check_name(&name)?;
    ensure!(!chancery_files::is_there(folder), "{} is there already", folder.display());
    let project = Project { name, language: args.language, decision: args.decision };
    let made = contents(&project)?;
    for (file, text) in &made {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        files::replace(&path, text.as_bytes(), Readers::Everybody)?;
    }
    let files = made.into_iter().map(|(file, _)| PathBuf::from(file)).collect();
    let made = Made { project, folder: folder.clone(), files };
    print(output, &made, || told(&made))?;
    Ok(ExitCode::SUCCESS)
}

fn told(made: &Made) -> String {
    let source = Path::new(source(&made.project)).display();
    format!(
        "{}: a policy in {} to begin with; the policy is {source}, and README.md says how it is built, \
         tried and bound",
        made.folder.display(),
        made.project.language.shown()
    )
}

/// Where the policy itself stands.
pub(super) fn source(project: &Project) -> &'static str {
    match project.language {
        Language::Rust => "src/lib.rs",
        Language::JavaScript => "policy.js",
        Language::Python => "policy.py",
    }
}

/// All files with their contents.
fn contents(project: &Project) -> Result<Vec<(String, String)>> {
    use {
        Decision::{Access, Certificate},
        Language::{JavaScript, Python, Rust},
    };
    let (cases, settings, schema) = match project.decision {
        Access => (
            template!("access/cases.toml"),
            template!("access/settings.toml"),
            template!("access/settings.schema.json"),
        ),
        Certificate => (
            template!("certificate/cases.toml"),
            template!("certificate/settings.toml"),
            template!("certificate/settings.schema.json"),
        ),
    };
    let code = match (project.language, project.decision) {
        (Rust, Access) => template!("rust/access.rs"),
        (Rust, Certificate) => template!("rust/certificate.rs"),
        (JavaScript, Access) => template!("javascript/access.js"),
        (JavaScript, Certificate) => template!("javascript/certificate.js"),
        (Python, Access) => template!("python/access.py"),
        (Python, Certificate) => template!("python/certificate.py"),
    };
    let own: Files = match project.language {
        Rust => &[
            ("Cargo.toml", template!("rust/Cargo.toml")),
            ("sdk/guest/Cargo.toml", template!("rust/guest.toml")),
        ],
        JavaScript => &[("package.json", template!("javascript/package.json"))],
        Python => &[("requirements.txt", template!("python/requirements.txt"))],
    };
    let guest = if project.language == Rust { GUEST } else { &[] };
    let common = [
        ("README.md", template!("README.md")),
        (".gitignore", template!("gitignore")),
        ("cases.toml", cases),
        ("settings.toml", settings),
        ("settings.schema.json", schema),
        (source(project), code),
    ];
    let described = format!(
        "# What `chancery policy build` makes of this folder.\n{}",
        toml::to_string(project)?
    );
    let all = common.iter().chain(own).chain(WIT).chain(guest);
    let all = all.map(|&(file, text)| (file.to_owned(), filled(text, project)));
    Ok(all.chain([(FILE.to_owned(), described)]).collect())
}

/// The text with the policy's own words in it.
fn filled(text: &str, project: &Project) -> String {
    let (test, bind) = match project.language.limits() {
        None => (String::new(), String::new()),
        Some((deadline, memory)) => (
            format!(" --deadline-ms {deadline} --memory-kib {memory}"),
            format!(
                " \\\n    --limits 'deadline_ms = {deadline}' --limits 'memory_kib = {memory}'"
            ),
        ),
    };
    // A policy about names has nothing to say about the gateway's own certificates.
    let of = match project.decision {
        Decision::Access => "",
        Decision::Certificate => " \\\n    --match 'requesters = [\"acme:*\"]'",
    };
    let bind = format!("{of}{bind}");
    let summary = match project.decision {
        Decision::Access => "Some secrets can be read and not changed",
        Decision::Certificate => "Only names of some domains are certified",
    };
    text.replace(" @limits@", &test)
        .replace(" @bind_limits@", &bind)
        .replace("@name@", &project.name)
        .replace("@summary@", summary)
        .replace("@language@", project.language.shown())
        .replace("@source@", source(project))
        .replace("@contract@", chancery_policy::CONTRACT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        for language in [Language::Rust, Language::JavaScript, Language::Python] {
            for decision in [Decision::Access, Decision::Certificate] {
                let project = Project { name: "mine".to_owned(), language, decision };
                for (file, text) in contents(&project).unwrap() {
                    let left = text.split('@').skip(1).step_by(2);
                    let left: Vec<_> = left
                        .filter(|word| {
                            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())
                        })
                        .collect();
                    assert!(left.is_empty(), "{file}: {left:?}");
                }
            }
        }
    }

    #[test]
    fn the_whole_sdk_and_contract_come_along() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (folder, prefix, listed) in
            [("plugins/guest/src", "sdk/guest/src/", GUEST), ("wit", "wit/", WIT)]
        {
            let mut there: Vec<_> = std::fs::read_dir(repository.join(folder))
                .unwrap()
                .map(|entry| format!("{prefix}{}", entry.unwrap().file_name().display()))
                .collect();
            there.sort();
            let listed: Vec<_> = listed.iter().map(|(file, _)| (*file).to_owned()).collect();
            assert_eq!(listed, there, "{folder}");
        }
    }
}
