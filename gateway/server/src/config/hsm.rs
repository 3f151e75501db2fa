//! Checks `[pkcs11]`: the tokens, their PINs, and the limits on sessions.

use std::path::Path;
use std::time::Duration;

use chancery_keys::pkcs11::{TokenConfig, TokenSelector};
use zeroize::Zeroizing;

use super::pkcs11_uri::{PinSource, Pkcs11Uri};
use super::validate::Check;
use super::{HsmConfig, document};
use crate::files;

/// The token that a URI names, with the PIN from where it says.
///
/// # Errors
/// What is wrong with the URI or its PIN; never the PIN.
pub(crate) fn token_of_uri(uri: &str) -> Result<TokenConfig, String> {
    let Pkcs11Uri { module, token, pin } = Pkcs11Uri::parse(uri)?;
    let pin = match pin {
        PinSource::File(file) => files::secret(&file).map_err(|error| format!("{error:#}"))?,
        PinSource::Variable(variable) => Zeroizing::new(
            std::env::var(&variable).map_err(|_| format!("the variable {variable} is not set"))?,
        ),
    };
    if pin.is_empty() {
        return Err("it leads to no PIN".to_owned());
    }
    Ok(TokenConfig::new(module, token, pin))
}

impl Check<'_> {
    pub(super) fn hsm(&mut self, hsm: &document::Pkcs11) -> Option<HsmConfig> {
        let tokens = if hsm.uris.is_empty() { self.one_token(hsm) } else { self.by_uris(hsm) };
        let sessions = hsm.sessions;
        self.within("pkcs11.sessions", sessions as u64, 1..=256);
        let queue = hsm.queue;
        self.within("pkcs11.queue", queue as u64, 1..=100_000);
        let deadline = self.within("pkcs11.deadline_ms", hsm.deadline_ms, 10..=60_000);
        let wait = self.within("pkcs11.wait_seconds", hsm.wait_seconds, 0..=86_400);
        Some(HsmConfig {
            tokens: tokens?,
            sessions,
            queue,
            deadline: Duration::from_millis(deadline),
            wait: Duration::from_secs(wait),
            session_copies: hsm.session_copies,
        })
    }

    fn one_token(&mut self, hsm: &document::Pkcs11) -> Option<Vec<TokenConfig>> {
        let Some(module) = &hsm.module else {
            return self.refuse("pkcs11.module", "name the module, or tokens by uris");
        };
        let module = self.existing_file("pkcs11.module", module);
        let token = match (&hsm.token, &hsm.serial) {
            (Some(label), None) if !label.is_empty() => Some(TokenSelector::Label(label.clone())),
            (None, Some(serial)) if !serial.is_empty() => {
                Some(TokenSelector::Serial(serial.clone()))
            }
            _ => self.refuse("pkcs11.token", "set exactly one of token (a label) and serial"),
        };
        let pin = match (&hsm.pin_file, &hsm.pin_env) {
            (Some(file), None) => self.pin_in_file("pkcs11.pin_file", file),
            (None, Some(variable)) => self.pin_in_variable("pkcs11.pin_env", variable),
            _ => self.refuse("pkcs11.pin_file", "set exactly one of pin_file and pin_env"),
        };
        Some(vec![TokenConfig::new(module, token?, pin?)])
    }

    fn by_uris(&mut self, hsm: &document::Pkcs11) -> Option<Vec<TokenConfig>> {
        for (key, is_set) in [
            ("module", hsm.module.is_some()),
            ("token", hsm.token.is_some()),
            ("serial", hsm.serial.is_some()),
            ("pin_file", hsm.pin_file.is_some()),
            ("pin_env", hsm.pin_env.is_some()),
        ] {
            if is_set {
                self.refuse::<()>(&format!("pkcs11.{key}"), "the uris say this");
            }
        }
        let tokens = hsm.uris.iter().enumerate().map(|(at, uri)| {
            let key = format!("pkcs11.uris.{at}");
            let Pkcs11Uri { module, token, pin } = match Pkcs11Uri::parse(uri) {
                Ok(read) => read,
                Err(error) => return self.refuse(&key, error),
            };
            let module = self.existing_file(&key, &module);
            let pin = match pin {
                PinSource::File(file) => self.pin_in_file(&key, &file),
                PinSource::Variable(variable) => self.pin_in_variable(&key, &variable),
            };
            Some(TokenConfig::new(module, token, pin?))
        });
        // Every one is looked at, so that all mistakes are told at once.
        let tokens: Vec<Option<TokenConfig>> = tokens.collect();
        tokens.into_iter().collect()
    }

    fn pin_in_file(&mut self, key: &str, file: &Path) -> Option<Zeroizing<String>> {
        let path = self.path(file);
        match files::secret_of(&path, &self.trusted) {
            Ok(pin) if pin.is_empty() => self.refuse(key, "holds no PIN"),
            Ok(pin) => Some(pin),
            Err(error) => self.refuse(key, format!("{error:#}")),
        }
    }

    fn pin_in_variable(&mut self, key: &str, variable: &str) -> Option<Zeroizing<String>> {
        let Ok(raw) = std::env::var(variable).map(Zeroizing::new) else {
            // Its name may be a PIN that stands in the wrong place.
            return self
                .refuse(key, "names a variable that is not set; it takes a name, not the PIN");
        };
        let pin = Zeroizing::new(raw.trim_end_matches(['\r', '\n']).to_owned());
        if pin.is_empty() { self.refuse(key, "holds no PIN") } else { Some(pin) }
    }
}
