use chancery_guest::certificate::{Attribute, Denial, KeyFacts, Name, Request, Template};
use chancery_guest::{Globs, Period};
use serde::Deserialize;

use crate::NameRules;

/// What certificates of one kind look like and what has to hold for them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Who may have such certificates; everybody if not given.
    #[serde(default = "Globs::all")]
    pub requesters: Globs,
    /// Kinds of key: `ecdsa-p256`, `ecdsa-p384`, `ed25519`, `rsa`.
    pub keys: Vec<String>,
    /// Fewest bits of an RSA key.
    #[serde(default = "rsa_bits")]
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
    #[serde(default)]
    pub common_name: CommonName,
    /// Which subject alternative names there may and must be.
    pub names: NameRules,
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
    /// The common name that was asked for stays. It has to be one of the DNS names, of at most 64
    /// characters.
    Keep,
}

fn rsa_bits() -> u32 {
    2048
}

const KEYS: [&str; 4] = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa"];
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
        Ok(Template {
            subject: self.subject(request)?,
            names: request.names.clone(),
            key_usages: self.usages_for(&request.key),
            extended_key_usages: self.extended_key_usages.clone(),
            validity_seconds: self.validity_for(request.validity_seconds)?,
            profile: own_name.to_owned(),
            extensions: Vec::new(),
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

    fn subject(&self, request: &Request) -> Result<Vec<Attribute>, Denial> {
        let (CommonName::Keep, Some(wanted)) = (self.common_name, request.common_name()) else {
            return Ok(Vec::new());
        };
        let is_it = |name: &Name| name.kind == "dns" && name.value.eq_ignore_ascii_case(wanted);
        match request.names.iter().find(|name| is_it(name)) {
            Some(name) if name.value.len() <= 64 => {
                Ok(vec![Attribute { name: "CN".to_owned(), value: name.value.clone() }])
            }
            _ => Err(Denial::new(
                "common-name-not-allowed",
                "the common name has to be one of the DNS names, of at most 64 characters",
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
