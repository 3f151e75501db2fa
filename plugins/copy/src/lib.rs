//! Copies the names of the request into a certificate and decides nothing. `make bench` runs it on
//! bare wasmtime: what crossing the sandbox's wall costs at least. Never bind it.

use chancery_guest::bindings::certificate::exports::chancery::policy::certificate::Guest;
use chancery_guest::certificate::{Decision, Request, Template};
use chancery_guest::{Description, SettingsError};

struct Copy;

impl Guest for Copy {
    fn describe() -> Description {
        Description {
            name: "copy".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            settings_schema: "{}".to_owned(),
        }
    }

    fn configure(_settings: String) -> Result<(), SettingsError> {
        Ok(())
    }

    fn evaluate(request: Request) -> Decision {
        Decision::Issue(Template {
            subject: vec![],
            names: request.names,
            key_usages: vec![],
            extended_key_usages: vec![],
            validity_seconds: 1,
            extensions: vec![],
            profile: "copy".to_owned(),
            issuer: None,
            properties: vec![],
        })
    }
}

chancery_guest::bindings::certificate::export!(Copy with_types_in chancery_guest::bindings::certificate);
