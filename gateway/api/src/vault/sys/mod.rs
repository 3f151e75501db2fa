//! `/v1/sys`: the state of the gateway and what is mounted.

pub(super) mod backup;
pub(super) mod directory;
pub(super) mod health;
pub(super) mod init;
pub(super) mod leader;
pub(super) mod mounts;
pub(super) mod policy_set;
pub(super) mod seal_status;
pub(super) mod tokens;
