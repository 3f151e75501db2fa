use std::collections::BTreeMap;

use chancery_guest::certificate::{
    Attribute, Denial, Extension, KeyFacts, Name, Request, Template,
};
use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::extensions::{self, MustStaple};
use crate::settings::ProfileSettings;
use crate::{NameRules, subject};

/// What certificates of one kind look like and what has to hold for them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "ProfileSettings")]
pub struct Profile {
    /// Who may have such certificates.
    pub requesters: Globs,
    /// Kinds of key: `ecdsa-p256`, `ecdsa-p384`, `ecdsa-p521`, `ed25519`, `rsa`, `ml-dsa-44`,
    /// `ml-dsa-65`, `ml-dsa-87`.
    pub keys: Vec<String>,
    /// Fewest bits of an RSA key.
    pub rsa_min_bits: u32,
    /// Key usages by their RFC 5280 names, as `digital-signature`.
    pub key_usages: Vec<String>,
    /// Extended key usages likewise, as `server-auth`.
    pub extended_key_usages: Vec<String>,
    /// Validity if the requester asks for none.
    pub validity: Period,
    /// Longest validity that may be asked for; `validity` if not given.
    pub max_validity: Option<Period>,
    /// What becomes of the common name.
    pub common_name: CommonName,
    /// Attributes that every subject has.
    pub subject: BTreeMap<String, String>,
    /// Attributes that are taken from the request, with the values that they may have.
    pub subject_from_request: BTreeMap<String, Globs>,
    /// Which subject alternative names there may and must be.
    pub names: NameRules,
    /// Whether the server has to staple an OCSP answer.
    pub must_staple: MustStaple,
    /// Whether the status of the certificate is not to be checked.
    pub ocsp_no_check: bool,
    /// Certificate policies, as object identifiers.
    pub policies: Vec<String>,
    /// The extensions that come of these for every certificate.
    pub extensions: Vec<Extension>,
    /// The issuer that signs; the tenant's default if not given.
    pub issuer: Option<String>,
}

/// What becomes of the common name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommonName {
    /// The subject stays empty; the names are in the subject alternative names.
    #[default]
    Omit,
    /// The common name that was asked for stays. It has to be one of the DNS names and mailboxes, of
    /// at most 64 characters.
    Keep,
}

const KEYS: [&str; 8] = [
    "ecdsa-p256",
    "ecdsa-p384",
    "ecdsa-p521",
    "ed25519",
    "rsa",
    "ml-dsa-44",
    "ml-dsa-65",
    "ml-dsa-87",
];
const KEY_USAGES: [&str; 4] =
    ["digital-signature", "content-commitment", "key-encipherment", "key-agreement"];
const EXTENDED_KEY_USAGES: [&str; 6] = [
    "server-auth",
    "client-auth",
    "code-signing",
    "email-protection",
    "time-stamping",
    "ocsp-signing",
];

impl Profile {
    /// The key and the message of what is wrong.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        one_of("keys", &self.keys, &KEYS)?;
        one_of("key_usages", &self.key_usages, &KEY_USAGES)?;
        one_of("extended_key_usages", &self.extended_key_usages, &EXTENDED_KEY_USAGES)?;
        if self.keys.is_empty() {
            return Err(("keys", format!("name a kind of key: {}", KEYS.join(", "))));
        }
        if self.rsa_min_bits < 2048 {
            return Err(("rsa_min_bits", "RSA keys have at least 2048 bits".to_owned()));
        }
        if self.max_validity.is_some_and(|longest| longest < self.validity) {
            return Err(("max_validity", "shorter than validity".to_owned()));
        }
        let has = |usage: &str| self.extended_key_usages.iter().any(|one| one == usage);
        if self.ocsp_no_check && !has("ocsp-signing") {
            return Err(("ocsp_no_check", "only for `ocsp-signing` (RFC 6960)".to_owned()));
        }
        if self.must_staple != MustStaple::Omit && !has("server-auth") {
            return Err(("must_staple", "only for `server-auth` (RFC 7633)".to_owned()));
        }
        for (at, policy) in self.policies.iter().enumerate() {
            if extensions::object_identifier(policy).is_none() || policy == "2.5.29.32.0" {
                return Err((
                    "policies",
                    format!("`{policy}` is no object identifier of a policy, as 2.23.140.1.2.1"),
                ));
            }
            if self.policies.iter().take(at).any(|other| other == policy) {
                return Err(("policies", format!("`{policy}` stands there twice")));
            }
        }
        subject::check(&self.subject, &self.subject_from_request)?;
        self.names.check()
    }

    pub(crate) fn apply(&self, own_name: &str, request: &Request) -> Result<Template, Denial> {
        if !self.requesters.matches(&request.requester) {
            return Err(Denial::new(
                "profile-not-allowed",
                "this profile is not for you",
                format!("{} may not use profile {own_name}", request.requester),
            ));
        }
        self.check_key(&request.key)?;
        self.names.check_request(request)?;
        let mut extensions = self.extensions.clone();
        if self.must_staple == MustStaple::Keep {
            extensions.extend(extensions::requested_staple(request));
        }
        Ok(Template {
            subject: self.subject_of(request)?,
            names: request.names.clone(),
            key_usages: self.usages_for(&request.key),
            extended_key_usages: self.extended_key_usages.clone(),
            validity_seconds: self.validity_for(request.validity_seconds)?,
            profile: own_name.to_owned(),
            extensions,
            issuer: self.issuer.clone(),
            properties: Vec::new(),
        })
    }

    fn check_key(&self, key: &KeyFacts) -> Result<(), Denial> {
        let refuse = |message: String| {
            let audit = format!("{} of {} bits", key.algorithm, key.bits);
            Err(Denial::new("key-not-allowed", &message, audit))
        };
        if !self.keys.contains(&key.algorithm) {
            return refuse(format!("use one of these keys: {}", self.keys.join(", ")));
        }
        if key.algorithm == "rsa" && key.bits < self.rsa_min_bits {
            return refuse(format!("use an RSA key of at least {} bits", self.rsa_min_bits));
        }
        Ok(())
    }

    /// Only RSA keys encipher keys (RFC 8446 and RFC 5480 §3 leave the bit to RSA).
    fn usages_for(&self, key: &KeyFacts) -> Vec<String> {
        let usable = |usage: &&String| key.algorithm == "rsa" || *usage != "key-encipherment";
        self.key_usages.iter().filter(usable).cloned().collect()
    }

    fn validity_for(&self, requested: Option<u64>) -> Result<u64, Denial> {
        let Some(seconds) = requested else { return Ok(self.validity.seconds()) };
        let longest = self.max_validity.unwrap_or(self.validity).seconds();
        if (1..=longest).contains(&seconds) {
            return Ok(seconds);
        }
        Err(Denial::new(
            "validity-not-allowed",
            &format!("ask for a validity of 1 to {longest} seconds"),
            format!("{seconds} seconds were asked for"),
        ))
    }

    fn subject_of(&self, request: &Request) -> Result<Vec<Attribute>, Denial> {
        let mut attributes =
            subject::attributes(&self.subject, &self.subject_from_request, request)?;
        let (CommonName::Keep, Some(wanted)) = (self.common_name, request.common_name()) else {
            return Ok(attributes);
        };
        let is_it = |name: &Name| match name.kind.as_str() {
            "dns" => name.value.eq_ignore_ascii_case(wanted),
            "email" => name.value == wanted,
            _ => false,
        };
        match request.names.iter().find(|name| is_it(name)) {
            Some(name) if name.value.len() <= 64 => {
                attributes.push(Attribute { name: "CN".to_owned(), value: name.value.clone() });
                Ok(attributes)
            }
            _ => Err(Denial::new(
                "common-name-not-allowed",
                "the common name has to be one of the DNS names or mailboxes, of at most 64 \
                 characters",
                wanted,
            )),
        }
    }
}

fn one_of(
    key: &'static str,
    given: &[String],
    known: &[&str],
) -> Result<(), (&'static str, String)> {
    match given.iter().find(|value| !known.contains(&value.as_str())) {
        None => Ok(()),
        Some(other) => Err((key, format!("`{other}` is none of {}", known.join(", ")))),
    }
}
