//! The log as a file: what was tampered with is found, what a crash leaves is mended, and what could
//! not be written is not acknowledged.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod writing;

#[cfg(test)]
mod setup {
    use std::path::{Path, PathBuf};

    use chancery_audit::{Audit, AuditConfig, AuditKey, Event, OpenError};
    use chancery_identity::{Clock, RequestContext, TenantId};
    use jiff::Timestamp;
    use zeroize::Zeroizing;

    pub(crate) fn key_bytes() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(vec![7; 32])
    }

    pub(crate) fn key() -> AuditKey {
        AuditKey::new(&key_bytes()).unwrap()
    }

    pub(crate) fn open(path: &Path) -> Result<Audit, OpenError> {
        let config = AuditConfig { path: path.to_owned(), key: key_bytes() };
        Audit::open(config, Clock::manual(Timestamp::UNIX_EPOCH))
    }

    pub(crate) fn event(resource: impl Into<String>) -> Event {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        Event::new(&context, "secrets.read", resource).succeeded()
    }

    /// Writes `count` lines for the resources `0`, `1`, … and closes the log.
    pub(crate) async fn write(path: &Path, count: usize) {
        let audit = open(path).unwrap();
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

    pub(crate) fn resources(log: &Path) -> Vec<String> {
        let resource = |line: &String| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["resource"].as_str().unwrap().to_owned()
        };
        lines(log).iter().map(resource).collect()
    }
}
