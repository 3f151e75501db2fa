//! Notices changes of the policies' files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// If no file changes for this long, the change is complete.
const QUIET: Duration = Duration::from_millis(300);
/// After this long a set is read although files still change.
const LONGEST: Duration = Duration::from_secs(5);

/// The directory of policies, watched.
pub(crate) struct PolicyFiles {
    changed: Arc<Notify>,
    /// Stops watching when dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl PolicyFiles {
    /// Watches a directory and what is in it.
    ///
    /// # Errors
    /// The system cannot watch, or not one more directory: it watches a limited number.
    pub(crate) fn watch(directory: &Path) -> notify::Result<Self> {
        let changed = Arc::new(Notify::new());
        let noticed = changed.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error may mean that events were lost. The gateway itself causes the events of
            // reading.
            if event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                return;
            }
            noticed.notify_one();
        })?;
        watcher.watch(directory, RecursiveMode::Recursive)?;
        Ok(Self { changed, _watcher: Some(watcher) })
    }

    /// Watches nothing: [`settled`](Self::settled) never returns.
    pub(crate) fn unwatched() -> Self {
        Self { changed: Arc::default(), _watcher: None }
    }

    /// Returns when files have changed and the changes are complete.
    pub(crate) async fn settled(&self) {
        self.changed.notified().await;
        let since = Instant::now();
        while since.elapsed() < LONGEST
            && tokio::time::timeout(QUIET, self.changed.notified()).await.is_ok()
        {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn within_a_minute(settled: impl Future<Output = ()>) {
        tokio::time::timeout(Duration::from_mins(1), settled).await.expect("nothing was noticed");
    }

    #[tokio::test]
    async fn notices_files_that_come_change_and_go_also_in_folders_made_since() {
        let directory = tempfile::tempdir().unwrap();
        let files = PolicyFiles::watch(directory.path()).unwrap();
        let document = directory.path().join("a.toml");
        std::fs::write(&document, "1").unwrap();
        within_a_minute(files.settled()).await;
        std::fs::write(&document, "2").unwrap();
        within_a_minute(files.settled()).await;
        std::fs::create_dir(directory.path().join("plugins")).unwrap();
        within_a_minute(files.settled()).await;
        std::fs::write(directory.path().join("plugins/p.wasm"), "1").unwrap();
        within_a_minute(files.settled()).await;
        std::fs::remove_file(&document).unwrap();
        within_a_minute(files.settled()).await;
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let directory = tempfile::tempdir().unwrap();
        let document = directory.path().join("a.toml");
        std::fs::write(&document, "1").unwrap();
        let files = PolicyFiles::watch(directory.path()).unwrap();
        std::fs::read(&document).unwrap();
        // Any effect of the reading would be noticed before this write.
        std::fs::write(directory.path().join("b.toml"), "1").unwrap();
        within_a_minute(files.settled()).await;
        assert!(tokio::time::timeout(QUIET, files.settled()).await.is_err());
    }
}
