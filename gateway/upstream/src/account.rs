//! Registers the ACME account at an upstream (RFC 8555 §7.3), and keeps it in the store.

use chancery_store::{Commit, CommitError, Key, Record, Store};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::client::BoundedClient;
use crate::{UpstreamConfig, UpstreamError};

/// The account as it is stored. It holds a private key: the store must be a sealed one.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    /// The directory that the account is registered with.
    directory: String,
    credentials: AccountCredentials,
}

/// The account at this upstream: the stored one, or a new one that is stored before it is used.
pub(crate) async fn open(
    config: &UpstreamConfig,
    store: &dyn Store,
) -> Result<Account, UpstreamError> {
    let key = Key::new(format!("_/upstream/account/{}", config.name)).map_err(CommitError::from)?;
    let found = store.get(&key).await?;
    if let Some(account) = found.as_ref().map(|record| read(record, config)).transpose()?.flatten()
    {
        return restore(config, account).await;
    }
    let (account, credentials) = register(config).await?;
    let stored = StoredAccount { directory: config.directory.clone(), credentials };
    let bytes = Zeroizing::new(
        serde_json::to_vec(&stored).map_err(|_| UpstreamError::DamagedAccount(key.to_string()))?,
    );
    let commit = match found {
        Some(record) => Commit::new().check_version(key.clone(), record.version),
        None => Commit::new().check_absent(key.clone()),
    };
    match store.commit(commit.put(key.clone(), bytes.to_vec())).await {
        Ok(_) => Ok(account),
        // Another process of this installation was quicker: use its account. Ours stays behind at
        // the other CA, unused.
        Err(CommitError::Conflict { .. }) => {
            let record = store.get(&key).await?;
            match record.as_ref().map(|record| read(record, config)).transpose()?.flatten() {
                Some(account) => restore(config, account).await,
                None => Err(UpstreamError::DamagedAccount(key.to_string())),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The stored account, if it is one with the configured directory.
fn read(record: &Record, config: &UpstreamConfig) -> Result<Option<StoredAccount>, UpstreamError> {
    let account: StoredAccount = serde_json::from_slice(&record.value)
        .map_err(|_| UpstreamError::DamagedAccount(record.key.to_string()))?;
    Ok((account.directory == config.directory).then_some(account))
}

async fn restore(
    config: &UpstreamConfig,
    account: StoredAccount,
) -> Result<Account, UpstreamError> {
    let client = Box::new(BoundedClient::new(config)?);
    Ok(Account::builder_with_http(client).from_credentials(account.credentials).await?)
}

/// Registers a new account (RFC 8555 §7.3). Naming an upstream in the configuration is the
/// operator's agreement to its terms.
async fn register(config: &UpstreamConfig) -> Result<(Account, AccountCredentials), UpstreamError> {
    let contact: Vec<&str> = config.contact.iter().map(String::as_str).collect();
    let account = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = config
        .external_account
        .as_ref()
        .map(|external| ExternalAccountKey::new(external.key_id.clone(), &external.mac_key));
    let client = Box::new(BoundedClient::new(config)?);
    let created = Account::builder_with_http(client)
        .create(&account, config.directory.clone(), external.as_ref())
        .await?;
    tracing::info!(upstream = config.name, account = created.0.id(), "registered an account");
    Ok(created)
}
