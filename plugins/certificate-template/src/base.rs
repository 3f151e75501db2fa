use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::CommonName;

/// Kinds of certificate whose looks everybody agrees on. A profile that names one as its `base` says
/// only what is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// A TLS server under DNS names and addresses.
    TlsServer,
    /// The same for 160 hours: a certificate that is not worth revoking (the CA/Browser Forum's
    /// Baseline Requirements call it short-lived).
    ShortLived,
    /// A TLS client that is known by a DNS name or a mailbox.
    TlsClient,
    /// A service that is client and server of mutual TLS under a SPIFFE ID (SPIFFE X509-SVID).
    MtlsService,
    /// Signs programs.
    CodeSigning,
    /// Signs and decrypts mail (RFC 8550).
    Smime,
    /// Signs the answers of an OCSP responder (RFC 6960 §4.2.2.2).
    OcspSigner,
}

/// What a profile has unless it says otherwise.
pub(crate) struct Preset {
    pub(crate) keys: &'static [&'static str],
    pub(crate) rsa_min_bits: u32,
    pub(crate) key_usages: &'static [&'static str],
    pub(crate) extended_key_usages: &'static [&'static str],
    hours: u64,
    pub(crate) allow: &'static [&'static str],
    pub(crate) require: &'static [&'static str],
    pub(crate) wildcards: bool,
    pub(crate) common_name: CommonName,
    pub(crate) ocsp_no_check: bool,
}

const DAY: u64 = 24;
const ECDSA_AND_RSA: &[&str] = &["ecdsa-p256", "ecdsa-p384", "rsa"];
const ALL_KEYS: &[&str] = &["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa"];

const TLS_SERVER: Preset = Preset {
    keys: ECDSA_AND_RSA,
    rsa_min_bits: 2048,
    key_usages: &["digital-signature"],
    extended_key_usages: &["server-auth"],
    hours: 90 * DAY,
    allow: &["dns:*", "ip:*"],
    require: &[],
    wildcards: true,
    common_name: CommonName::Omit,
    ocsp_no_check: false,
};

impl Base {
    pub(crate) fn preset(self) -> Preset {
        match self {
            Self::TlsServer => TLS_SERVER,
            Self::ShortLived => Preset { hours: 160, ..TLS_SERVER },
            Self::TlsClient => Preset {
                keys: ALL_KEYS,
                extended_key_usages: &["client-auth"],
                allow: &["dns:*", "email:*"],
                wildcards: false,
                ..TLS_SERVER
            },
            Self::MtlsService => Preset {
                extended_key_usages: &["server-auth", "client-auth"],
                hours: DAY,
                allow: &["uri:spiffe://*", "dns:*"],
                require: &["uri:spiffe://*"],
                wildcards: false,
                ..TLS_SERVER
            },
            Self::CodeSigning => Preset {
                rsa_min_bits: 3072,
                extended_key_usages: &["code-signing"],
                hours: 365 * DAY,
                allow: &["email:*", "uri:*", "dns:*"],
                wildcards: false,
                ..TLS_SERVER
            },
            Self::Smime => Preset {
                key_usages: &["digital-signature", "key-encipherment"],
                extended_key_usages: &["email-protection"],
                hours: 365 * DAY,
                allow: &["email:*"],
                wildcards: false,
                common_name: CommonName::Keep,
                ..TLS_SERVER
            },
            Self::OcspSigner => Preset {
                extended_key_usages: &["ocsp-signing"],
                hours: 7 * DAY,
                allow: &["dns:*", "uri:*"],
                wildcards: false,
                ocsp_no_check: true,
                ..TLS_SERVER
            },
        }
    }
}

impl Preset {
    pub(crate) fn validity(&self) -> Period {
        Period::hours(self.hours)
    }
}

pub(crate) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

pub(crate) fn globs(list: &[&'static str]) -> Globs {
    list.iter().copied().collect()
}
