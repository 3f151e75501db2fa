//! `make bench`: each hot path of the gateway beside a floor, the bare library doing the same work in
//! the same run. Figures move from machine to machine and from minute to minute; ratios hold.
//!
//! Prints a table and writes `target/bench.json`. Arguments name the groups to run, all without any:
//! `policy`, `policy-load`, `policy-engines`, `signatures`, `ca`, `inventory`, `store`, `audit`,
//! `secrets`, `keys`, `acme`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made has to stop loudly"
)]

mod acme;
mod audit;
mod authority;
mod bare_token;
mod inventory;
mod keys;
mod load;
mod measure;
mod policy;
mod policy_engines;
mod policy_load;
mod report;
mod secrets;
mod signatures;
mod static_server;
mod store;

use report::Row;

/// Measures the rows of a group.
type Measure = fn() -> Vec<Row>;

/// The name of each group and what measures it.
const GROUPS: [(&str, Measure); 11] = [
    ("policy", policy::rows),
    ("policy-load", policy_load::rows),
    ("policy-engines", policy_engines::rows),
    ("signatures", signatures::rows),
    ("ca", authority::rows),
    ("inventory", inventory::rows),
    ("store", store::rows),
    ("audit", audit::rows),
    ("secrets", secrets::rows),
    ("keys", keys::rows),
    ("acme", acme::rows),
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, rest @ ..] = arguments.as_slice()
        && role == static_server::ROLE
    {
        return static_server::run(rest);
    }
    if arguments == [policy_load::COMPILER_ROLE] {
        return Ok(chancery_policy::compile_ordered(std::io::stdin(), std::io::stdout())?);
    }
    for wanted in &arguments {
        anyhow::ensure!(
            GROUPS.iter().any(|(name, _)| name == wanted),
            "there is no group `{wanted}`; there are {}",
            GROUPS.map(|(name, _)| name).join(", ")
        );
    }
    let mut rows = Vec::new();
    for (name, measure) in GROUPS {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            rows.extend(measure());
        }
    }
    report::print(&rows);
    report::write(&rows)
}
