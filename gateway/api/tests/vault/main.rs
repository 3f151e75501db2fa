//! The Vault API through its router, with the real policy host and the access-rules plugin. The
//! tests are named after what real clients rely on, and after what went wrong elsewhere.

#[cfg(test)]
mod access;
#[cfg(test)]
mod bearer;
#[cfg(test)]
mod body;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod kv_config;
#[cfg(test)]
mod kv_data;
#[cfg(test)]
mod kv_metadata;
#[cfg(test)]
mod kv_subkeys;
#[cfg(test)]
mod kv_version_1;
#[cfg(test)]
mod kv_versions;
#[cfg(test)]
mod lenient;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod sessions;
#[cfg(test)]
#[path = "../shared/strange.rs"]
mod strange;
#[cfg(test)]
mod sys;
#[cfg(test)]
mod token;
#[cfg(test)]
mod transit_batches;
#[cfg(test)]
mod transit_keys;
#[cfg(test)]
mod transit_signing;
#[cfg(test)]
mod warnings;
#[cfg(test)]
mod words;
