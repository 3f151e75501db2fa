//! Reads and changes the settings of a key-value mount.

use chancery_access::Caller;
use chancery_identity::RequestContext;

use super::storage::{encode, load_config};
use super::{Kv, KvConfig, KvConfigUpdate, KvError, KvOperation};

impl Kv<'_> {
    /// The settings of the mount, for the caller's tenant.
    ///
    /// # Errors
    /// See [`KvError`].
    pub async fn read_config(
        &self,
        context: &RequestContext,
        caller: &Caller,
    ) -> Result<KvConfig, KvError> {
        let operation = KvOperation::ConfigRead;
        let may = self.ask(context, caller, operation, self.mount_resource()).await?;
        let result = self.config(&caller.identity().tenant).await;
        may.finish(result).await
    }

    /// Changes the settings of the mount, for the caller's tenant. What is stored stays as it is until
    /// it is written again.
    ///
    /// # Errors
    /// If a setting is out of range; nothing is changed then.
    pub async fn write_config(
        &self,
        context: &RequestContext,
        caller: &Caller,
        update: &KvConfigUpdate,
    ) -> Result<(), KvError> {
        let operation = KvOperation::ConfigUpdate;
        let may = self.ask(context, caller, operation, self.mount_resource()).await?;
        let result = self.updated_config(caller, update).await;
        may.finish(result).await
    }

    async fn updated_config(
        &self,
        caller: &Caller,
        update: &KvConfigUpdate,
    ) -> Result<(), KvError> {
        let key = self.layout(&caller.identity().tenant).config()?;
        for _ in Self::attempts() {
            let loaded = load_config(self.store(), &key).await?;
            let config = loaded.value.updated(update)?;
            if self.committed(loaded.commit().put(key.clone(), encode(&key, &config)?)).await? {
                return Ok(());
            }
        }
        Err(KvError::Contended)
    }
}
