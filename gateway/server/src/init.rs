//! `chancery init`: a new gateway.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use chancery_ca::Parent;

use crate::commands::say;
use crate::config::Config;
use crate::foundation::open_hsm;
use crate::store::{begin, store_file};

/// Makes the store of the gateway that the configuration describes.
pub(crate) async fn run(file: &Path) -> Result<ExitCode> {
    let config = Config::load(file)?;
    // Where it is remembered that a token has refused the PIN.
    config.trusted.make_directory(&config.server.directory)?;
    let hsm = open_hsm(&config)?;
    let begun = begin(&config, hsm.as_deref()).await;
    if let Some(hsm) = hsm {
        tokio::task::spawn_blocking(move || hsm.shutdown()).await?;
    }
    let store = store_file(&config);
    ensure!(begun?, "{}: there is a gateway already, and it is as it was", store.display());
    let config_file = file.display();
    let next = match config.ca.parent {
        Parent::OwnRoot => format!("`chancery serve --config {config_file}` makes its CA"),
        Parent::Elsewhere => format!(
            "`chancery ca request --config {config_file}` makes the request for the certificate of its CA"
        ),
    };
    say(&format!("{}: a new gateway begins; next: {next}", store.display()))?;
    Ok(ExitCode::SUCCESS)
}
