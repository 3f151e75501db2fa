//! Copies the names of the request into a certificate and decides nothing. `make bench` runs it on
//! bare wasmtime: what crossing the sandbox's wall costs at least. Never bind it.

use chancery_guest::bindings::certificate::exports::chancery::policy::certificate::Guest;
use chancery_guest::certificate::{Denial, Request, SettingsError, Template};

struct Copy;

impl Guest for Copy {
    fn configure(_settings: String) -> Result<(), SettingsError> {
        Ok(())
    }

    fn evaluate(request: Request) -> Result<Template, Denial> {
        Ok(Template {
            common_name: None,
            names: request.names,
            key_usages: vec![],
            extended_key_usages: vec![],
            validity_seconds: 1,
            profile: "copy".to_owned(),
            issuer: None,
            properties: vec![],
        })
    }
}

chancery_guest::bindings::certificate::export!(Copy with_types_in chancery_guest::bindings::certificate);
