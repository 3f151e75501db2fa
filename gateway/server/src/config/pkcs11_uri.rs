//! PKCS#11 URIs (RFC 7512): which token of which module, and where its PIN is.

use std::path::PathBuf;

use chancery_keys::pkcs11::{TokenAttributes, TokenSelector};
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

/// The attributes of a path that are heeded.
#[derive(Default)]
struct Path {
    token: Option<String>,
    serial: Option<String>,
    model: Option<String>,
    manufacturer: Option<String>,
    library_description: Option<String>,
    library_manufacturer: Option<String>,
    library_version: Option<String>,
}

impl Pkcs11Uri {
    /// Reads `pkcs11:token=LABEL?module-path=FILE&pin-source=file:FILE`, where the path may be as
    /// `p11tool --list-token-urls` prints it: of `token` and `serial` there has to be one, and `model`,
    /// `manufacturer` and what is said of the library narrow the choice. In place of `file:FILE` there
    /// may be `env:VARIABLE`. What else RFC 7512 has would not be heeded, and is refused.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("pkcs11") {
            return Err("it does not begin with `pkcs11:`".to_owned());
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let token = Path::parse(path)?.selector()?;
        let (mut module, mut pin) = (None, None);
        for (name, value) in attributes(query, '&')? {
            let twice = match name {
                "module-path" => module.replace(PathBuf::from(decoded(name, value)?)).is_some(),
                "pin-source" => pin.replace(source(&decoded(name, value)?)?).is_some(),
                // It would stand in the configuration and in whatever quotes it.
                "pin-value" => {
                    return Err("a PIN does not belong into it: use pin-source".to_owned());
                }
                "module-name" => return Err("use module-path: the module's file".to_owned()),
                other => return Err(format!("`{other}` is not known here")),
            };
            if twice {
                return Err(format!("it has {name} twice"));
            }
        }
        Ok(Self {
            module: module.ok_or("it has no module-path: add ?module-path=FILE")?,
            token,
            pin: pin.ok_or("it has no pin-source: add pin-source=file:FILE behind the `?`")?,
        })
    }
}

impl Path {
    fn parse(text: &str) -> Result<Self, String> {
        let mut path = Self::default();
        for (name, value) in attributes(text, ';')? {
            let place = match name {
                "token" => &mut path.token,
                "serial" => &mut path.serial,
                "model" => &mut path.model,
                "manufacturer" => &mut path.manufacturer,
                "library-description" => &mut path.library_description,
                "library-manufacturer" => &mut path.library_manufacturer,
                "library-version" => &mut path.library_version,
                "object" | "id" | "type" => {
                    return Err(format!(
                        "it names an object (`{name}`), and a token is meant: leave out object, id \
                         and type; keys are known by their labels"
                    ));
                }
                // RFC 7512 §2.4: a slot's number changes when the token is plugged elsewhere.
                "slot-id" | "slot-description" | "slot-manufacturer" => {
                    return Err(format!(
                        "`{name}` is another one when the token is plugged elsewhere: use token or \
                         serial"
                    ));
                }
                other => return Err(format!("`{other}` is not known here: use token or serial")),
            };
            if place.replace(decoded(name, value)?).is_some() {
                return Err(format!("it has {name} twice"));
            }
        }
        Ok(path)
    }

    fn selector(self) -> Result<TokenSelector, String> {
        let named = "it names no token: use token or serial";
        let of_others = self.model.is_some()
            || self.manufacturer.is_some()
            || self.library_description.is_some()
            || self.library_manufacturer.is_some()
            || self.library_version.is_some();
        match (self.token, self.serial) {
            (Some(label), None) if !of_others => Ok(TokenSelector::Label(label)),
            (None, Some(serial)) if !of_others => Ok(TokenSelector::Serial(serial)),
            (token, serial) => {
                let mut all = TokenAttributes::new(token, serial).ok_or(named)?;
                all.model = self.model;
                all.manufacturer = self.manufacturer;
                all.library_description = self.library_description;
                all.library_manufacturer = self.library_manufacturer;
                all.library_version = self.library_version;
                Ok(TokenSelector::All(Box::new(all)))
            }
        }
    }
}

/// Names with their values, which are not decoded yet.
fn attributes(text: &str, separator: char) -> Result<Vec<(&str, &str)>, String> {
    let parts = text.split(separator).filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').ok_or_else(|| format!("`{part}` is no NAME=VALUE")))
        .collect()
}

fn decoded(name: &str, value: &str) -> Result<String, String> {
    let decoded = percent_decode_str(value).decode_utf8();
    let decoded = decoded.map_err(|_| format!("the value of {name} is not UTF-8"))?;
    if decoded.is_empty() {
        return Err(format!("the value of {name} is empty"));
    }
    Ok(decoded.into_owned())
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

    const QUERY: &str = "?module-path=/usr/lib/hsm.so&pin-source=file:/etc/pin";

    #[test]
    fn a_uri_names_a_token_a_module_and_a_pin() {
        let read = Pkcs11Uri::parse(&format!("pkcs11:token=The%20CA{QUERY}"));
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
        for source in ["file:///etc/pin", "/etc/pin", "file:%2Fetc%2Fpin"] {
            let text = format!("PKCS11:token=t?module-path=%2Fm.so&pin-source={source}");
            let read = Pkcs11Uri::parse(&text).unwrap();
            assert_eq!(read.pin, PinSource::File("/etc/pin".into()));
            assert_eq!(read.module, PathBuf::from("/m.so"));
        }
    }

    #[test]
    fn what_p11tool_prints_is_read() {
        // `p11tool --list-token-urls`, without and with `--detailed-url`, of a token with a difficult label.
        let label = "token=The%20CA%3B%20100%25%20%22%C3%BC%22";
        let token = format!(
            "model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=c191ab7d01c81087;{label}"
        );
        let library =
            "library-description=Implementation%20of%20PKCS11;library-manufacturer=SoftHSM";
        for (path, has_library) in [(token.clone(), false), (format!("{library};{token}"), true)] {
            let read = Pkcs11Uri::parse(&format!("pkcs11:{path}{QUERY}")).unwrap();
            let TokenSelector::All(all) = &read.token else { panic!("{read:?}") };
            assert_eq!(read.token.value(), "The CA; 100% \"ü\":c191ab7d01c81087");
            assert_eq!(all.model.as_deref(), Some("SoftHSM v2"));
            assert_eq!(all.manufacturer.as_deref(), Some("SoftHSM project"));
            assert_eq!(all.library_manufacturer.is_some(), has_library);
        }
        // What it prints of an object.
        let object = format!("pkcs11:{token};id=%36%D5%01;object=private-root;type=private{QUERY}");
        let refused = Pkcs11Uri::parse(&object).unwrap_err();
        assert!(refused.contains("names an object (`id`)"), "{refused}");
    }

    #[test]
    fn what_would_not_be_heeded_is_refused() {
        for (text, told) in [
            ("pkcs12:token=t", "does not begin with"),
            ("token=t", "does not begin with"),
            ("pkcs11:?module-path=/m&pin-source=/p", "names no token"),
            ("pkcs11:model=m?module-path=/m&pin-source=/p", "names no token"),
            ("pkcs11:token=t;token=u?module-path=/m&pin-source=/p", "token twice"),
            ("pkcs11:slot-id=1?module-path=/m&pin-source=/p", "`slot-id` is another one"),
            ("pkcs11:token=t;object=k?module-path=/m&pin-source=/p", "names an object"),
            ("pkcs11:token=t;type=token?module-path=/m&pin-source=/p", "names an object"),
            ("pkcs11:token=t;x-vendor=1?module-path=/m&pin-source=/p", "not known"),
            ("pkcs11:token=t?pin-source=/p", "no module-path"),
            ("pkcs11:token=t?module-name=m&pin-source=/p", "use module-path"),
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
