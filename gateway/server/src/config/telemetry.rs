//! Logs and traces: `[telemetry]`.

use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::validate::{Check, DAY};
use super::{TelemetryConfig, document};

/// What a part of `telemetry.log` can be.
const LEVELS: &str = "error, warn, info, debug, trace or off";

impl Check<'_> {
    pub(super) fn telemetry(&mut self, telemetry: document::Telemetry) -> TelemetryConfig {
        if let Err(problem) = log_filter(&telemetry.log) {
            self.refuse::<()>("telemetry.log", problem);
        }
        let json = telemetry.format == "json";
        if !json && telemetry.format != "text" {
            self.refuse::<()>(
                "telemetry.format",
                format!("`{}` is neither `text` nor `json`", telemetry.format),
            );
        }
        let repeat = self.within("telemetry.repeat_seconds", telemetry.repeat_seconds, 0..=DAY);
        TelemetryConfig {
            log: telemetry.log,
            json,
            repeat: (repeat > 0).then(|| Duration::from_secs(repeat)),
            otlp_endpoint: self.web_url("telemetry.otlp_endpoint", telemetry.otlp_endpoint),
        }
    }
}

/// The crates whose modules log, `chancery_` before each; those of the program itself are below `chancery`.
const CRATES: [&str; 22] = [
    "access",
    "acme",
    "api",
    "audit",
    "ca",
    "compute",
    "files",
    "gate",
    "identity",
    "issuance",
    "keys",
    "policy",
    "records",
    "revocation",
    "sandbox",
    "seal",
    "secrets",
    "ssh",
    "store",
    "tls",
    "upstream",
    "x509",
];

/// The crate that a part of a filter names, if it looks like one of the gateway's and is none.
fn unknown_crate(part: &str) -> Option<&str> {
    let module = part.split(['=', '[']).next()?;
    let name = module.strip_prefix("chancery")?.strip_prefix('_')?;
    // What a filter names is the beginning of modules.
    let is_known =
        CRATES.iter().any(|known| name.split("::").next().is_some_and(|of| known.starts_with(of)));
    (!is_known).then_some(module)
}

/// Refuses filters that leave the log empty by mistake. To `EnvFilter` a word that is no level is the name
/// of a module: only that module is logged, at every level.
fn log_filter(filter: &str) -> Result<(), String> {
    let mut has_level = false;
    for part in filter.split(',') {
        // An empty word is a level to `LevelFilter`.
        let is_level = !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        has_level |= is_level;
        // Behind the brackets of a span, in which its fields have values.
        let module = part.rsplit(']').next().unwrap_or(part);
        if !is_level && !module.contains('=') {
            return Err(format!("`{part}` is no level: write {LEVELS}, or `MODULE=LEVEL`"));
        }
    }
    if let Some(unknown) = filter.split(',').find_map(unknown_crate) {
        return Err(format!(
            "`{unknown}` is no part of the gateway, so that nothing would be logged for it: write `chancery`, or one of {}",
            CRATES.map(|name| format!("chancery_{name}")).join(", ")
        ));
    }
    if !has_level {
        return Err(format!(
            "`{filter}` gives no level for the rest of the log, which would be left out: begin with one \
             ({LEVELS}), as in `info,chancery_acme=debug`"
        ));
    }
    match EnvFilter::try_new(filter) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("`{filter}`: {error}; levels are {LEVELS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_modules_with_levels_are_taken() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,chancery_acme=debug",
            "chancery_acme=debug,error",
            "warn,[request{id=1}]=trace",
            "info,chancery_api[request]=debug",
        ] {
            assert_eq!(log_filter(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn a_part_of_the_gateway_that_there_is_not_is_refused() {
        for filter in [
            "info,chancery_server=debug",
            "info,chancery_acmee[request]=debug",
            "info,chancery_tsl::acceptor=debug",
        ] {
            let problem = log_filter(filter).expect_err(filter);
            assert!(problem.contains("is no part of the gateway"), "{problem}");
        }
    }

    #[test]
    fn the_parts_of_the_gateway_are_its_crates() {
        let rooms = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let rooms = std::fs::read_dir(rooms).unwrap().map(|entry| entry.unwrap().file_name());
        let rooms = rooms.map(|name| name.to_string_lossy().into_owned());
        let mut rooms: Vec<_> = rooms.filter(|name| name != "server").collect();
        rooms.sort();
        assert_eq!(rooms, CRATES);
    }

    #[test]
    fn what_would_leave_the_log_empty_is_refused_with_the_levels() {
        for filter in [
            "verbose",
            "warning",
            "information",
            "",
            "info,",
            "info, chancery_acme=debug",
            "info,chancery_acme",
            "chancery_acme=debug",
            "info,chancery_acme=verbose",
            "info,[request]",
            "info,[request{id=1}]",
            "a=b=c",
        ] {
            let problem = log_filter(filter).expect_err(filter);
            assert!(problem.contains("error, warn, info, debug, trace or off"), "{problem}");
        }
    }
}
