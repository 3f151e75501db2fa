//! What is said on standard output once requests are served.

use crate::dev::DevIdentities;
use crate::ports::Addresses;

/// The one line of `--ready-json`. Other tools rely on every one of these names.
#[derive(serde::Serialize)]
pub(crate) struct Ready {
    api: String,
    http: String,
    metrics: String,
    acme_directory: String,
    root: String,
    admin_cert: String,
    admin_key: String,
    app_cert: String,
    app_key: String,
}

impl Ready {
    pub(crate) fn new(addresses: Addresses, files: &DevIdentities) -> Self {
        let Addresses { api, http, metrics } = addresses;
        let show = |path: &std::path::Path| path.display().to_string();
        Self {
            api: format!("https://{api}"),
            http: format!("http://{http}"),
            metrics: format!("http://{metrics}"),
            acme_directory: format!("https://{api}/acme/directory"),
            root: show(&files.root),
            admin_cert: show(&files.admin_cert),
            admin_key: show(&files.admin_key),
            app_cert: show(&files.app_cert),
            app_key: show(&files.app_key),
        }
    }

    /// The same for people.
    pub(crate) fn for_people(&self) -> String {
        format!(
            "Chancery is ready.\n\
             \x20 ACME directory   {}\n\
             \x20 secrets (mTLS)   {}/v1/secret/data/...\n\
             \x20 plain port       {}  (CRL, issuers, /health)\n\
             \x20 monitoring       {}/metrics\n\
             \x20 trust            {}\n\
             \x20 administrator    {} + {}\n\
             \x20 service          {} + {}\n\
             Stop with Ctrl-C; the next start continues with the same state.",
            self.acme_directory,
            self.api,
            self.http,
            self.metrics,
            self.root,
            self.admin_cert,
            self.admin_key,
            self.app_cert,
            self.app_key
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_exactly_the_keys_that_tools_rely_on_in_one_line() {
        let files = DevIdentities::in_directory(std::path::Path::new("/d"));
        let [api, http, metrics] =
            ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"].map(|text| text.parse().unwrap());
        let ready = Ready::new(Addresses { api, http, metrics }, &files);
        let line = serde_json::to_string(&ready).unwrap();
        assert_eq!(
            line,
            r#"{"api":"https://127.0.0.1:1","http":"http://127.0.0.1:2","metrics":"http://127.0.0.1:3","acme_directory":"https://127.0.0.1:1/acme/directory","root":"/d/dev/root.pem","admin_cert":"/d/dev/admin.pem","admin_key":"/d/dev/admin.key","app_cert":"/d/dev/app.pem","app_key":"/d/dev/app.key"}"#
        );
    }
}
