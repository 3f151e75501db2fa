//! The two kinds of OpenSSH certificate.

/// For whom a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Users, whom hosts let in.
    User,
    /// Hosts, whom users trust.
    Host,
}
