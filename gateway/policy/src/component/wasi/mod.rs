//! An empty WASI, for guests whose language brings it along: no files, no network, no environment, a clock
//! that stands still, the same random numbers for every evaluation. What a guest prints goes to the log, as
//! if it had written it there.
//!
//! Nothing here waits: whatever a guest may wait for has happened already. So no evaluation is ever in a
//! call where its deadline could not end it.

mod link;
mod state;

pub(crate) use link::link;
pub(crate) use state::{Absent, State};

/// The packages of WASI that are there, empty.
const PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// Their releases: within the series, later ones only add.
const SERIES: &str = "0.2";

/// The interface as `cli/environment`, if this is the name of one that is there.
pub(crate) fn interface(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("wasi:")?.split_once('@')?;
    let (package, _) = interface.split_once('/')?;
    let (series, _) = version.rsplit_once('.')?;
    (PACKAGES.contains(&package) && series == SERIES).then_some(interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_one_series_of_wasi_are_there() {
        assert_eq!(interface("wasi:cli/environment@0.2.0"), Some("cli/environment"));
        assert_eq!(interface("wasi:http/types@0.2.10"), Some("http/types"));
        for other in [
            "wasi:cli/environment@0.3.0",
            "wasi:cli/environment@0.20.0",
            "wasi:cli/environment",
            "wasi:nn/tensor@0.2.0",
            "wasi:cli@0.2.0",
            "chancery:policy/log@0.2.0",
        ] {
            assert_eq!(interface(other), None, "{other}");
        }
    }
}
