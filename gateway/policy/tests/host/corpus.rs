//! Components that were built against earlier contracts still decide what they decided.

use std::fs;
use std::path::{Path, PathBuf};

use chancery_policy::cases::Cases;
use chancery_policy::{CONTRACT, Inspection, Measure, Trial, TrialLimits};

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn versions() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    entries(&corpus).into_iter().filter(|path| path.is_dir()).collect()
}

#[test]
fn policies_of_every_released_contract_decide_as_they_did() {
    for version in versions() {
        let mut decisions = Vec::new();
        let is_component = |path: &&PathBuf| path.extension().is_some_and(|end| end == "wasm");
        for component in entries(&version).iter().filter(is_component) {
            let wasm = fs::read(component).unwrap();
            let seen = Inspection::of(component, &wasm).unwrap();
            assert_eq!(version.file_name().unwrap(), seen.contract.as_str(), "{component:?}");
            decisions.push(seen.decision);

            let cases = component.with_extension("toml");
            let text = fs::read_to_string(&cases).unwrap();
            let settings = Cases::settings_in(&cases, &text).unwrap().unwrap();
            let limits = TrialLimits::default();
            let trial = Trial::load(component, &wasm, &settings, &limits, Measure::Time).unwrap();
            let cases = Cases::parse(&cases, &text, trial.case_kind()).unwrap();
            assert!(!cases.is_empty(), "{component:?}");
            for outcome in trial.run(&cases) {
                assert_eq!(outcome.difference, "", "{component:?}: {outcome:#?}");
            }
        }
        for decision in ["access", "certificate"] {
            assert!(decisions.contains(&decision), "{version:?} has no policy about {decision}");
        }
    }
}

#[test]
fn the_contract_of_today_is_among_them() {
    let names: Vec<_> = versions()
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name == CONTRACT), "{CONTRACT} is missing in {names:?}");
}
