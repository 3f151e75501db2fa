//! Where ACME is among the paths.

/// Where ACME lives.
pub(super) const PREFIX: &str = "/acme";

/// Whether a path is one of ACME's.
pub(crate) fn is_below(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_acme_are_known() {
        for path in ["/acme", "/acme/", "/acme/directory"] {
            assert!(is_below(path), "{path}");
        }
        for path in ["/", "/acmea", "/v1/acme/x", "/ACME/directory"] {
            assert!(!is_below(path), "{path}");
        }
    }
}
