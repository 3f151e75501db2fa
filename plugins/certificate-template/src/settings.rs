use std::collections::BTreeMap;

use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::base::{Base, Preset, globs, strings};
use crate::extensions::MustStaple;
use crate::{CommonName, NameRules, Profile, extensions};

/// A profile as the settings write it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSettings {
    /// What everything that is not said here is taken from.
    base: Option<Base>,
    /// Who may have such certificates; everybody if not given.
    requesters: Option<Globs>,
    /// Kinds of key: `ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `ed25519`, `rsa`, `ml-dsa-44`,
    /// `ml-dsa-65`, `ml-dsa-87`.
    keys: Option<Vec<String>>,
    /// Fewest bits of an RSA key.
    rsa_min_bits: Option<u32>,
    /// Key usages by their RFC 5280 names, as `digital-signature`.
    key_usages: Option<Vec<String>>,
    /// Extended key usages likewise, as `server-auth`.
    extended_key_usages: Option<Vec<String>>,
    /// Validity if the requester asks for none.
    validity: Option<Period>,
    /// Longest validity that may be asked for; `validity` if not given.
    max_validity: Option<Period>,
    /// What becomes of the common name.
    common_name: Option<CommonName>,
    /// Attributes that every subject has.
    #[serde(default)]
    subject: BTreeMap<String, String>,
    /// Attributes that are taken from the request, with the values that they may have.
    #[serde(default)]
    subject_from_request: BTreeMap<String, Globs>,
    /// Which subject alternative names there may and must be.
    #[serde(default)]
    names: NameSettings,
    /// Whether the server has to staple an OCSP answer (RFC 7633).
    #[serde(default)]
    must_staple: MustStaple,
    /// Whether the status of the certificate is not to be checked (RFC 6960 §4.2.2.2.1).
    ocsp_no_check: Option<bool>,
    /// Certificate policies, as object identifiers (RFC 5280 §4.2.1.4).
    #[serde(default)]
    policies: Vec<String>,
    /// The issuer that signs; the tenant's default if not given.
    issuer: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NameSettings {
    allow: Option<Globs>,
    #[serde(default)]
    deny: Globs,
    require: Option<Globs>,
    networks: Option<Vec<chancery_guest::Network>>,
    wildcards: Option<bool>,
    wildcard_methods: Option<Globs>,
    wildcard_labels: Option<usize>,
    methods: Option<Globs>,
    most: Option<usize>,
}

impl TryFrom<ProfileSettings> for Profile {
    type Error = String;

    fn try_from(settings: ProfileSettings) -> Result<Self, String> {
        let base = settings.base.map(Base::preset);
        let base = base.as_ref();
        let missing =
            |key: &str| format!("missing field `{key}`; give it, or a `base` that brings it");
        let list = |given: Option<Vec<String>>, of_base: Option<&[&str]>, key: &str| {
            given.or_else(|| of_base.map(strings)).ok_or_else(|| missing(key))
        };
        let names = settings.names;
        let ocsp_no_check =
            settings.ocsp_no_check.unwrap_or_else(|| base.is_some_and(|base| base.ocsp_no_check));
        let extensions = extensions::fixed(settings.must_staple, ocsp_no_check, &settings.policies);
        Ok(Self {
            requesters: settings.requesters.unwrap_or_else(Globs::all),
            keys: list(settings.keys, base.map(|base| base.keys), "keys")?,
            rsa_min_bits: settings
                .rsa_min_bits
                .unwrap_or_else(|| base.map_or(2048, |base| base.rsa_min_bits)),
            key_usages: list(settings.key_usages, base.map(|base| base.key_usages), "key_usages")?,
            extended_key_usages: list(
                settings.extended_key_usages,
                base.map(|base| base.extended_key_usages),
                "extended_key_usages",
            )?,
            validity: settings
                .validity
                .or_else(|| base.map(Preset::validity))
                .ok_or_else(|| missing("validity"))?,
            max_validity: settings.max_validity,
            common_name: settings
                .common_name
                .unwrap_or_else(|| base.map_or(CommonName::Omit, |base| base.common_name)),
            subject: settings.subject,
            subject_from_request: settings.subject_from_request,
            names: NameRules {
                allow: names
                    .allow
                    .or_else(|| base.map(|base| globs(base.allow)))
                    .ok_or_else(|| missing("names.allow"))?,
                deny: names.deny,
                require: names
                    .require
                    .unwrap_or_else(|| base.map(|base| globs(base.require)).unwrap_or_default()),
                networks: names.networks,
                wildcards: names
                    .wildcards
                    .unwrap_or_else(|| base.is_some_and(|base| base.wildcards)),
                wildcard_methods: names.wildcard_methods.unwrap_or_else(|| globs(&["dns-01"])),
                wildcard_labels: names.wildcard_labels.unwrap_or(2),
                methods: names.methods.unwrap_or_else(Globs::all),
                most: names.most.unwrap_or(100),
            },
            must_staple: settings.must_staple,
            ocsp_no_check,
            policies: settings.policies,
            extensions,
            issuer: settings.issuer,
        })
    }
}
