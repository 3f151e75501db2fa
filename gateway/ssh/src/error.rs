//! Why a certificate is not made.

/// Why a certificate must not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// OpenSSH takes a certificate without principals for one of everybody.
    #[error("a certificate needs at least one principal: without, it would be good for everybody")]
    NoPrincipals,
    /// A name that hosts would read otherwise.
    #[error(
        "`{0}` is not a principal: use 1 to 255 printable characters without white space or commas"
    )]
    Principal(String),
    /// An option that is not known here, so that nobody could say what it does.
    #[error("the option `{0}` is not one that is certified here")]
    Option(String),
    /// An option with a value that servers would not accept, or would read otherwise.
    #[error("the option `{name}` cannot be certified so: {reason}")]
    OptionValue {
        /// Which.
        name: String,
        /// What is wrong with its value.
        reason: &'static str,
    },
    /// Options of a host.
    #[error("certificates of hosts have neither critical options nor extensions")]
    OptionsOfHost,
    /// The validity ends before it begins, or is out of bounds.
    #[error("the validity is not possible")]
    Validity,
}
