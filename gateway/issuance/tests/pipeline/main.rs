//! The pipeline with a real private CA, real policies, and pebble as another CA.
//! The plugins have to be built (`plugins/build`).

#[cfg(test)]
mod issuing;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod revoking;
#[cfg(test)]
mod searching;
#[cfg(test)]
mod ssh;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod world;

/// Pebble, as the tests of the upstream room start it.
#[cfg(test)]
#[allow(dead_code, reason = "shared with other tests, which use more of it")]
#[path = "../../../upstream/tests/pebble/environment.rs"]
mod pebble;
