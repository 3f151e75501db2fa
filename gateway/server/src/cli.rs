//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::audit::AuditCommand;
use crate::backup::BackupArgs;
use crate::ca::CaArgs;
use crate::certificates::CertificatesArgs;
use crate::keys::KeysArgs;
use crate::policy::PolicyArgs;
use crate::remote::RemoteArgs;
use crate::root_key::RootKeyArgs;
use crate::sessions::SessionsArgs;
use crate::ssh::SshArgs;
use crate::store::StoreArgs;
use crate::tokens::TokensArgs;

/// Keys in HSMs, certificates over ACME, secrets over mTLS; a WebAssembly policy decides each time.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run on loopback with everything generated: state, CA, policies, and two client certificates.
    Dev(DevArgs),
    /// Begin a new gateway: make its directory and its store, which only the root key of the configuration opens.
    ///
    /// `serve` makes none, so that a directory that is mistyped or not mounted does not become a gateway with
    /// another CA.
    Init(ConfigArgs),
    /// Run with a configuration file.
    Serve(ConfigArgs),
    /// Try all that a start needs, without starting: configuration, policies, root key, HSM, ports, directories.
    ///
    /// Names everything that is wrong, each with its setting. Nothing is made or changed. In each token of the HSM
    /// the PIN is tried once, as by a start, and not if the token shows that somebody has tried a wrong one since
    /// the last login, or if it is on record that it refused this one: so no number of checks locks a PIN.
    Check(ConfigArgs),
    /// Make a root key file (mode 0600) for `[seal] root_key_file`, or change the root key of a store.
    RootKey(RootKeyArgs),
    /// Issue a client certificate for an identity, or renew your own, through policy.
    ///
    /// A running gateway is asked with your client certificate; the key is made here and stays here. With
    /// --config, a gateway that is stopped issues it: so begins the first administrator.
    ClientCertificate(ClientCertificateArgs),
    /// Make, check and put back copies of the store.
    Backup(BackupArgs),
    /// Check and repair the store of a gateway that is stopped.
    Store(StoreArgs),
    /// Hold ceremonies: make roots, certify and replace the keys of CAs.
    Ca(CaArgs),
    /// Find, export and revoke the certificates of a running gateway.
    Certificates(CertificatesArgs),
    /// Make, use, rotate, move and destroy keys of a running gateway.
    #[command(visible_alias = "key")]
    Keys(KeysArgs),
    /// Look after the HSM's tokens of a running gateway.
    Tokens(TokensArgs),
    /// List and end the sessions of others: who has a token of a running gateway.
    Sessions(SessionsArgs),
    /// Get certificates for SSH from a running gateway.
    Ssh(SshArgs),
    /// Write, try out and look into policies.
    Policy(PolicyArgs),
    /// Compile one component: what the gateway runs for each (see `policy_compiler.rs`).
    #[command(name = crate::policy_compiler::COMMAND, hide = true)]
    CompilePolicy,
    /// Work with the audit log.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
}

/// `--config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// `chancery client-certificate`.
#[derive(Debug, Args)]
pub(crate) struct ClientCertificateArgs {
    /// The configuration of a gateway that is stopped. Without it, the running gateway at --address is asked.
    #[arg(long, value_name = "FILE", requires = "spiffe_id")]
    pub(crate) config: Option<PathBuf>,
    /// The identity, such as `spiffe://prod.example/app` [default: that of your own certificate].
    #[arg(long, value_name = "ID")]
    pub(crate) spiffe_id: Option<chancery_identity::SpiffeId>,
    /// Where the certificate chain goes. It is shown to the running gateway if --client-cert is not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// Where the private key goes (mode 0600).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The profile of the certificate policies.
    #[arg(long, value_name = "NAME", default_value = "service")]
    pub(crate) profile: String,
    /// How long the certificate is to be valid at most, such as `24h` [default: what policy says].
    #[arg(long, value_name = "TIME", conflicts_with = "config")]
    pub(crate) ttl: Option<String>,
    /// Where the running gateway has its certificates: `secrets.certificates` in its configuration.
    #[arg(long, value_name = "MOUNT", default_value = "pki", conflicts_with = "config")]
    pub(crate) mount: String,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// `chancery dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// State; a second start continues with it.
    #[arg(long, value_name = "DIR", default_value = ".chancery")]
    pub(crate) dir: PathBuf,
    /// The TLS port: ACME and `/v1`. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// The plain port: CRL, issuer certificates, health. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Where metrics are. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) metrics: SocketAddr,
    /// The DNS server that ACME validation asks [default: the system's].
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns: Option<SocketAddr>,
    /// The port on which http-01 validation looks for the answer.
    #[arg(long, value_name = "N", default_value_t = 5002, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) http01_port: u16,
    /// The port on which tls-alpn-01 validation looks for the answer.
    #[arg(long, value_name = "N", default_value_t = 5001, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) tls_alpn01_port: u16,
    /// Keep the CA's keys in this PKCS#11 module's token [default: software keys].
    #[arg(long, value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_pin_file"])]
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// Label of the token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pub(crate) pkcs11_token: Option<String>,
    /// File that holds the user PIN (mode 0600).
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    /// Once serving, print exactly one line of JSON with addresses and files on standard output.
    #[arg(long)]
    pub(crate) ready_json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pkcs11_flags_come_together_or_not_at_all() {
        for args in [
            &["chancery", "dev", "--pkcs11-module", "m"][..],
            &["chancery", "dev", "--pkcs11-token", "t"],
            &["chancery", "dev", "--pkcs11-module", "m", "--pkcs11-token", "t"],
        ] {
            assert!(Cli::try_parse_from(args).is_err(), "{args:?}");
        }
    }
}
