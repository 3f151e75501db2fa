//! Whether the root key is there, and the one that the store is sealed with.

use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_seal::{Barrier, records_of_root};
use chancery_store::memory::MemoryStore;
use chancery_store::redb::peek;
use chancery_store::{Commit, OpenError, Store as _};

use super::tokens::Tokens;
use super::{Findings, Installation};
use crate::config::{Config, RootKeySource};
use crate::store::{existing, left_by_a_start, root_key, store_file};

pub(super) async fn look(
    config: &Config,
    tokens: &Tokens,
    found: &mut Findings<'_>,
) -> Result<Installation> {
    let (installation, records) = records(config, found).await?;
    let setting = match &config.root_key {
        RootKeySource::File(_) => "seal.root_key_file",
        RootKeySource::PassphraseFile(_) => "seal.passphrase_file",
        RootKeySource::Pkcs11Key(_) => "seal.pkcs11_key",
    };
    let token = match &config.root_key {
        RootKeySource::File(_) | RootKeySource::PassphraseFile(_) => None,
        // That was told.
        RootKeySource::Pkcs11Key(_) if tokens.is_empty() => return Ok(installation),
        RootKeySource::Pkcs11Key(name) => match (tokens.with(name), installation) {
            (Some(token), _) => Some(token.as_ref()),
            (None, Installation::New) => {
                found.note(format!(
                    "{setting}: `chancery init` makes the key `{name}` in the token"
                ));
                return Ok(installation);
            }
            (None, _) => {
                let problem = format!(
                    "no token holds the key `{name}`, and without it the store does not open"
                );
                found.fault(setting, problem);
                return Ok(installation);
            }
        },
    };
    // That of a new gateway is tried with a store that is thrown away.
    let records =
        if installation == Installation::New { Some(MemoryStore::new()) } else { records };
    let Some(records) = records else { return Ok(installation) };
    match root_key(config, token, &records).await {
        Err(error) => found.fault(setting, format!("{error:#}")),
        Ok(root) => {
            if let Err(error) = Barrier::open(Arc::new(records), root).await {
                found.fault(setting, error.to_string());
            }
        }
    }
    Ok(installation)
}

/// How far the gateway is, and the records of its store that the root key opens; none if they cannot be seen.
async fn records(
    config: &Config,
    found: &mut Findings<'_>,
) -> Result<(Installation, Option<MemoryStore>)> {
    let path = store_file(config);
    if !chancery_files::is_there(&path) {
        if left_by_a_start(config).is_none() {
            found.note(
                "there is no gateway in server.directory yet: `chancery init --config` begins it (if there should \
                 be one, the setting is wrong, or the disk is not mounted)",
            );
            return Ok((Installation::New, None));
        }
        if let Err(error) = existing(config) {
            found.fault("server.directory", error.to_string());
        }
        return Ok((Installation::Stopped, None));
    }
    if let Err(error) = config.trusted.file(&path) {
        found.fault("server.directory", error.to_string());
        return Ok((Installation::Stopped, None));
    }
    let keys = records_of_root()?;
    let peeked = tokio::task::spawn_blocking(move || peek(&path, &keys)).await?;
    let records = match peeked {
        Ok(records) => records,
        Err(OpenError::InUse { .. }) => {
            found.note("a gateway has the store open, so the root key is not tried on it");
            return Ok((Installation::Running, None));
        }
        Err(error @ OpenError::Unclosed { .. }) => {
            found.note(error.to_string());
            return Ok((Installation::Stopped, None));
        }
        Err(error) => {
            found.fault("server.directory", error.to_string());
            return Ok((Installation::Stopped, None));
        }
    };
    let copy = MemoryStore::new();
    let commit = records
        .into_iter()
        .fold(Commit::new(), |commit, record| commit.put(record.key, record.value));
    copy.commit(commit).await.context("the records of the seal")?;
    Ok((Installation::Stopped, Some(copy)))
}
