//! PKCS#11 URIs (RFC 7512): which token of which module, and where its PIN is.

use std::path::PathBuf;

use chancery_keys::pkcs11::TokenSelector;
use percent_encoding::percent_decode_str;

/// What a URI names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pkcs11Uri {
    pub(super) module: PathBuf,
    pub(super) token: TokenSelector,
    pub(super) pin: PinSource,
}

/// Where a PIN is read from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PinSource {
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl Pkcs11Uri {
    /// Reads `pkcs11:token=LABEL?module-path=FILE&pin-source=file:FILE`. In place of `token` there may be
    /// `serial`, in place of `file:FILE` `env:VARIABLE`. What else RFC 7512 has would not be heeded, and is
    /// refused.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("pkcs11:").ok_or("it does not begin with `pkcs11:`")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut module, mut pin) = (None, None, None);
        for (name, value) in attributes(path, ';')? {
            let selector = match name {
                "token" => TokenSelector::Label(value),
                "serial" => TokenSelector::Serial(value),
                // RFC 7512 §2.4: a slot's number changes when the token is plugged elsewhere.
                other => return Err(format!("`{other}` is not known here: use token or serial")),
            };
            if token.replace(selector).is_some() {
                return Err("it has token or serial twice".to_owned());
            }
        }
        for (name, value) in attributes(query, '&')? {
            let twice = match name {
                "module-path" => module.replace(PathBuf::from(value)).is_some(),
                "pin-source" => pin.replace(source(&value)?).is_some(),
                // It would stand in the configuration and in whatever quotes it.
                "pin-value" => {
                    return Err("a PIN does not belong into it: use pin-source".to_owned());
                }
                other => return Err(format!("`{other}` is not known here")),
            };
            if twice {
                return Err(format!("it has {name} twice"));
            }
        }
        Ok(Self {
            module: module.ok_or("it has no module-path")?,
            token: token.ok_or("it names no token: use token or serial")?,
            pin: pin.ok_or("it has no pin-source")?,
        })
    }
}

fn attributes(text: &str, separator: char) -> Result<Vec<(&str, String)>, String> {
    let parts = text.split(separator).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is no NAME=VALUE"))?;
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| format!("the value of {name} is not UTF-8"))?;
            if value.is_empty() {
                return Err(format!("the value of {name} is empty"));
            }
            Ok((name, value.into_owned()))
        })
        .collect()
}

fn source(text: &str) -> Result<PinSource, String> {
    if let Some(variable) = text.strip_prefix("env:") {
        return Ok(PinSource::Variable(variable.to_owned()));
    }
    // RFC 7512 §2.3: a file by its URI, or by its path alone.
    let path = text.strip_prefix("file:").unwrap_or(text);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') {
        return Ok(PinSource::File(PathBuf::from(path)));
    }
    Err(format!("the pin-source `{text}` is neither file:/PATH nor env:VARIABLE"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_names_a_token_a_module_and_a_pin() {
        let read = Pkcs11Uri::parse(
            "pkcs11:token=The%20CA?module-path=/usr/lib/hsm.so&pin-source=file:/etc/pin",
        );
        let expected = Pkcs11Uri {
            module: "/usr/lib/hsm.so".into(),
            token: TokenSelector::Label("The CA".to_owned()),
            pin: PinSource::File("/etc/pin".into()),
        };
        assert_eq!(read.unwrap(), expected);
        let read = Pkcs11Uri::parse("pkcs11:serial=0a1b?pin-source=env:PIN&module-path=/m.so");
        let read = read.unwrap();
        assert_eq!(read.token, TokenSelector::Serial("0a1b".to_owned()));
        assert_eq!(read.pin, PinSource::Variable("PIN".to_owned()));
        for source in ["file:///etc/pin", "/etc/pin"] {
            let text = format!("pkcs11:token=t?module-path=/m.so&pin-source={source}");
            assert_eq!(Pkcs11Uri::parse(&text).unwrap().pin, PinSource::File("/etc/pin".into()));
        }
    }

    #[test]
    fn what_would_not_be_heeded_is_refused() {
        for (text, told) in [
            ("pkcs12:token=t", "does not begin with"),
            ("pkcs11:?module-path=/m&pin-source=/p", "names no token"),
            ("pkcs11:token=t;serial=1?module-path=/m&pin-source=/p", "twice"),
            ("pkcs11:slot-id=1?module-path=/m&pin-source=/p", "`slot-id` is not known"),
            ("pkcs11:token=t?pin-source=/p", "no module-path"),
            ("pkcs11:token=t?module-path=/m", "no pin-source"),
            ("pkcs11:token=t?module-path=/m&pin-value=1234", "does not belong"),
            ("pkcs11:token=t?module-path=/m&module-path=/n&pin-source=/p", "twice"),
            ("pkcs11:token=t?module-path=/m&pin-source=|cat", "neither file"),
            ("pkcs11:token=?module-path=/m&pin-source=/p", "empty"),
            ("pkcs11:token", "no NAME=VALUE"),
            ("pkcs11:token=%ff?module-path=/m&pin-source=/p", "not UTF-8"),
        ] {
            let error = Pkcs11Uri::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("1234"));
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(pkcs11:)?[a-z=;?&%/:0-9]{0,60}") {
            let _ = Pkcs11Uri::parse(&text);
        }
    }
}
