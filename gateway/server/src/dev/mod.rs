//! `chancery dev`: a configuration made of defaults, and then the same path as `chancery serve`.
//!
//! Everything that is generated stays readable in the directory: `chancery.toml`, the policies and
//! their plugins, the root key, and in `dev/` the certificates of an administrator and a service.

mod identities;
mod policies;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chancery_files::Trusted;
use chancery_seal::RootKey;

use crate::cli::DevArgs;
use crate::config::Config;
use crate::files::{self, Readers};
use crate::ports::Addresses;
use crate::store::STORE_FILE;

pub(crate) use identities::DevIdentities;

/// The trust domain of generated identities.
const TRUST_DOMAIN: &str = "dev.chancery";

/// What is written in the directory, by this and by the gateway that runs in it. What is in `policies` is only
/// written where there are no policies yet (`policies.rs`).
const WRITTEN: [&str; 15] = [
    "audit",
    "audit/audit.jsonl",
    "audit/audit.jsonl.head",
    "chancery.toml",
    "compiled-policies",
    "dev",
    "dev/admin.key",
    "dev/admin.pem",
    "dev/app.key",
    "dev/app.pem",
    "dev/root.pem",
    "policy-history",
    "root.key",
    "root.pem",
    STORE_FILE,
];

/// Makes what is missing in the directory and gives the configuration to start with.
///
/// # Errors
/// If the directory cannot be written, others may write there, a symbolic link would lead what is written
/// elsewhere, or this binary was built without the default plugins.
pub(crate) fn prepare(args: &DevArgs) -> Result<Config> {
    let trusted = Trusted::process();
    trusted.no_link(&args.dir)?;
    let dir = trusted.make_directory(&args.dir)?;
    for name in WRITTEN {
        trusted.no_link(&dir.join(name))?;
    }
    let root_key = dir.join("root.key");
    if !root_key.exists() {
        ensure!(
            !chancery_files::is_there(&dir.join(STORE_FILE)),
            "{} holds a store but no root.key: without the key nothing in it can be opened; \
             restore the key, or start with another --dir",
            dir.display()
        );
        RootKey::create_file(&root_key).context("making the root key")?;
    }
    policies::write_defaults(&dir.join("policies"), &trusted)?;
    written(args, &dir)
}

/// Writes the configuration again with the ports that were bound: the system chooses a port where a flag says 0, and
/// readers of the file need the real one.
///
/// # Errors
/// If the directory cannot be written.
pub(crate) fn located(args: &DevArgs, config: &Config, bound: Addresses) -> Result<Config> {
    let Addresses { api, http, metrics } = bound;
    let args = DevArgs { listen: api, http, metrics, ..args.clone() };
    written(&args, &config.server.directory)
}

/// Writes the configuration that the flags stand for.
fn written(args: &DevArgs, dir: &Path) -> Result<Config> {
    let text = document(args, dir)?;
    let file = dir.join("chancery.toml");
    files::replace(&file, text.as_bytes(), Readers::Everybody)?;
    Ok(Config::parse(&file, &text)?)
}

/// The configuration that the flags stand for.
fn document(args: &DevArgs, dir: &Path) -> Result<String> {
    use toml::{Table, Value};

    let text = |path: &Path| Value::String(path.display().to_string());
    let table = |entries: Vec<(&str, Value)>| {
        Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let list = |items: &[&str]| {
        Value::Array(items.iter().map(|item| Value::String((*item).to_owned())).collect())
    };
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let own = args.listen.ip();
    if !own.is_unspecified() && !names.contains(&own.to_string()) {
        names.push(own.to_string());
    }
    let mut document = Table::new();
    document.insert(
        "server".to_owned(),
        table(vec![
            ("directory", text(dir)),
            ("listen", Value::String(args.listen.to_string())),
            ("http", Value::String(args.http.to_string())),
            ("metrics", Value::String(args.metrics.to_string())),
            ("names", list(&names.iter().map(String::as_str).collect::<Vec<_>>())),
            ("drain_seconds", Value::Integer(10)),
        ]),
    );
    document.insert("seal".to_owned(), table(vec![("root_key_file", text(&dir.join("root.key")))]));
    document.insert("policy".to_owned(), table(vec![("directory", text(&dir.join("policies")))]));
    let mut acme = vec![
        ("http01_port", Value::Integer(args.http01_port.into())),
        ("tls_alpn01_port", Value::Integer(args.tls_alpn01_port.into())),
        ("allowed_networks", list(&["127.0.0.0/8", "::1/128"])),
        (
            "profiles",
            table(vec![
                ("tls-server", Value::String("TLS servers: the default".to_owned())),
                ("tls-client", Value::String("TLS clients known by a DNS name".to_owned())),
            ]),
        ),
    ];
    if let Some(dns) = args.dns {
        acme.push(("dns", Value::String(dns.to_string())));
    }
    document.insert("acme".to_owned(), table(acme));
    document.insert(
        "tenants".to_owned(),
        Value::Array(vec![table(vec![
            ("id", Value::String("default".to_owned())),
            ("trust_domains", list(&[TRUST_DOMAIN])),
        ])]),
    );
    let mut ca = vec![("ocsp_hours", Value::Integer(24))];
    if let (Some(module), Some(token), Some(pin)) =
        (&args.pkcs11_module, &args.pkcs11_token, &args.pkcs11_pin_file)
    {
        document.insert(
            "pkcs11".to_owned(),
            table(vec![
                ("module", text(&absolute(module)?)),
                ("token", Value::String(token.clone())),
                ("pin_file", text(&absolute(pin)?)),
            ]),
        );
        ca.push(("keys", Value::String("pkcs11".to_owned())));
    }
    document.insert("ca".to_owned(), table(ca));
    let body = toml::to_string(&document).context("writing the configuration")?;
    Ok(format!(
        "# Written by `chancery dev` at each start from its flags. To keep changes, copy this file\n\
         # and run `chancery serve --config COPY`.\n\n{body}"
    ))
}

/// The configuration lies in the state directory, and relative paths in it start there.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot resolve {}", path.display()))
}
