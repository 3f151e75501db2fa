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

/// Refuses filters that leave the log empty by mistake. To `EnvFilter` a word that is no level is the name
/// of a module: it alone is logged, at every level, and nothing else.
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
