//! The log as a file: what was tampered with is found, what a crash leaves is mended, and what could
//! not be written is not acknowledged.

#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod first_format;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod packed;
#[cfg(test)]
mod patrol;
#[cfg(test)]
mod random;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod writing;

#[cfg(test)]
mod setup {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use chancery_audit::{
        Audit, AuditConfig, AuditKey, Checks, Event, KnownMark, LogName, Mark, Marks, OpenError,
        PublicKey, Rotation, Verified, VerifyError,
    };
    use chancery_files::Trusted;
    use chancery_identity::{Clock, RequestContext, TenantId};
    use jiff::Timestamp;
    use zeroize::Zeroizing;

    pub(crate) fn key_bytes() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(vec![7; 32])
    }

    pub(crate) fn key() -> AuditKey {
        AuditKey::new(&key_bytes()).unwrap()
    }

    pub(crate) fn name() -> LogName {
        "gw.example/audit".parse().unwrap()
    }

    pub(crate) fn public_key() -> PublicKey {
        PublicKey::of(name(), &key())
    }

    /// Where the mark of a log is, in place of a sealed store: beside the log, so that it goes with the test's
    /// temporary directory.
    pub(crate) fn store_of(log: &Path) -> PathBuf {
        log.with_file_name("store.mark")
    }

    pub(crate) fn mark_of(log: &Path) -> Mark {
        Mark::decode(&std::fs::read(store_of(log)).unwrap()).unwrap()
    }

    /// What a gateway's store says: before the first start, there is a mark of nothing.
    pub(crate) fn marks(log: &Path) -> Marks {
        let store = store_of(log);
        let known = match std::fs::read(&store) {
            Ok(mark) => KnownMark::At(Mark::decode(&mark).unwrap()),
            Err(_) => KnownMark::At(Mark::start()),
        };
        let write = Arc::new(move |mark: Mark| {
            let draft = store.with_extension("new");
            let stored = std::fs::write(&draft, mark.encode())
                .and_then(|()| std::fs::rename(&draft, &store))
                .map_err(|error| error.to_string());
            Box::pin(std::future::ready(stored)) as _
        });
        Marks { known, write }
    }

    pub(crate) fn config(path: &Path) -> AuditConfig {
        AuditConfig {
            trusted: Trusted::process(),
            path: path.to_owned(),
            key: key_bytes(),
            name: name(),
            marks: marks(path),
            rotation: Rotation::default(),
            checkpoints: Duration::from_mins(5),
        }
    }

    pub(crate) async fn open(path: &Path) -> Result<Audit, OpenError> {
        Audit::open(config(path), Clock::manual(Timestamp::UNIX_EPOCH)).await
    }

    /// Checks one file with the audit key.
    pub(crate) fn verify_with_key(log: &Path) -> Result<Verified, VerifyError> {
        let key = key();
        let checks = Checks { key: Some(&key), ..Checks::default() };
        chancery_audit::verify(&[log.to_owned()], &checks)
    }

    /// Checks one file without anything.
    pub(crate) fn verify_bare(log: &Path) -> Result<Verified, VerifyError> {
        chancery_audit::verify(&[log.to_owned()], &Checks::default())
    }

    pub(crate) fn event(resource: impl Into<String>) -> Event {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        Event::new(&context, "secrets.read", resource).succeeded()
    }

    /// Writes `count` lines for the resources `0`, `1`, … and closes the log.
    pub(crate) async fn write(path: &Path, count: usize) {
        let audit = open(path).await.unwrap();
        for n in 0..count {
            audit.record(event(n.to_string())).await.unwrap();
        }
        audit.close().await;
    }

    pub(crate) fn head_of(log: &Path) -> PathBuf {
        log.with_extension("jsonl.head")
    }

    pub(crate) fn lines(log: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(log).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    pub(crate) fn values(log: &Path) -> Vec<serde_json::Value> {
        lines(log).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn operations(log: &Path) -> Vec<String> {
        let text = |value: &serde_json::Value| value["operation"].as_str().unwrap().to_owned();
        values(log).iter().map(text).collect()
    }

    /// Of the lines that are not about the log itself.
    pub(crate) fn resources(log: &Path) -> Vec<String> {
        let of_others =
            |value: &serde_json::Value| !value["operation"].as_str().unwrap().starts_with("audit.");
        let text = |value: serde_json::Value| value["resource"].as_str().unwrap().to_owned();
        values(log).into_iter().filter(of_others).map(text).collect()
    }
}
