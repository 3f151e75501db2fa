//! Who may: authentication by client certificate, tokens bound to the certificate that obtained
//! them, and authorisation by policy.
//!
//! The certificate is the identity. A token only stands beside it for clients whose API wants one:
//! it is worth nothing without the certificate that obtained it, and gives nothing that the
//! certificate alone would not. Where a role of the configuration allows it ([`BearerRole`]), a token is
//! worth something alone, and then gives less. [`Access::authenticate`] is the only source of a [`Caller`], and
//! [`Access::session_of`] gives a caller's session, which asks at the gate.

mod access;
mod administration;
mod bearer;
mod caller;
mod directory;
mod error;
mod login;
mod logins;
mod policies;
mod quota;
mod refused;
mod reindex;
mod revoke_identity;
mod role;
mod session;
mod sessions;
mod sweep;
mod token;

pub use access::{Access, TokenLimits};
pub use administration::InstallationGrant;
pub use bearer::{BearerRole, MAX_BEARER_MAX_TTL, MAX_BEARER_TTL};
pub use caller::Caller;
pub use directory::{DataSet, Directory, Group, Registered};
pub use error::{AccessError, Unauthenticated};
pub use login::Login;
pub use policies::{PolicySetView, in_force};
pub use reindex::reindex;
pub use revoke_identity::Ended;
pub use role::{InvalidRole, Role};
pub use sessions::{MAX_SESSIONS, Sessions};
pub use token::{Bearer, TokenInfo, TokenSecret, is_index};
