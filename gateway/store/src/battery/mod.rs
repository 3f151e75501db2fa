//! The tests that every backend has to pass. Behind the `battery` feature.
//!
//! A backend's tests call [`conformance_battery!`](crate::conformance_battery) with an expression
//! that makes a fresh store; it expands to one test for each function below. New behaviour of the
//! seam is tested here, not in one backend.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests, in a library only so that several crates can run them"
)]

mod commits;
mod concurrency;
mod model;
mod reading;
mod values;
mod watching;

pub use commits::*;
pub use concurrency::*;
pub use model::*;
pub use reading::*;
pub use values::*;
pub use watching::*;

use crate::{Commit, Key, Store, Version};

/// Makes one test of each case of the [battery](crate::battery). The expression may await and gives
/// a pair: a fresh [`SharedStore`](crate::SharedStore), and whatever has to outlive it, such as a
/// temporary directory.
///
/// ```ignore
/// chancery_store::conformance_battery!((Arc::new(MemoryStore::new()), ()));
/// ```
#[macro_export]
macro_rules! conformance_battery {
    ($make:expr) => {
        $crate::conformance_battery!(@cases $make;
            reads_what_was_put
            an_overwritten_record_has_the_later_version
            a_deleted_record_is_gone
            scans_in_the_order_of_bytes
            scans_only_below_the_prefix
            scans_page_by_page
            scans_nothing_for_a_limit_of_zero
            a_scan_of_everything_finds_every_record
            a_paged_scan_goes_on_across_commits
            versions_rise_with_each_commit
            a_failed_check_stops_the_whole_commit
            check_absent_holds_only_without_a_record
            check_version_holds_only_for_that_version
            a_commit_without_writes_evaluates_its_checks
            the_same_key_can_be_checked_and_written
            many_keys_are_written_by_one_commit
            a_commit_that_is_too_large_is_refused_whole
            increments_under_contention_are_all_counted
            one_of_many_claims_wins
            readers_never_see_half_a_commit
            an_acknowledged_write_is_read_at_once
            values_of_all_sizes_come_back
            a_large_value_comes_back
            the_longest_key_works
            keys_of_any_bytes_work
            a_watch_reports_commits_in_order
            a_watch_reports_only_its_prefix_and_only_what_happened
            a_commit_is_in_the_watch_before_it_is_acknowledged
            a_watch_keeps_the_order_of_concurrent_commits
            a_watch_waits_for_the_next_change
            a_watch_gets_a_commit_at_once
            the_time_goes_on
            behaves_like_a_map
        );
    };
    (@cases $make:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (store, _kept): ($crate::SharedStore, _) = $make;
                $crate::battery::$case(store).await;
            }
        )*
    };
}

fn key(text: impl AsRef<str>) -> Key {
    Key::new(text.as_ref()).unwrap()
}

async fn put(store: &dyn Store, at: &str, value: &str) -> Version {
    store.commit(Commit::new().put(key(at), value.to_owned())).await.unwrap()
}

async fn value(store: &dyn Store, at: &str) -> Option<String> {
    let record = store.get(&key(at)).await.unwrap()?;
    Some(String::from_utf8(record.value.to_vec()).unwrap())
}

async fn keys(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(key);
    let found = store.scan(prefix.as_bytes(), after.as_ref(), limit).await.unwrap();
    let found: Vec<Key> = found.into_iter().map(|record| record.key).collect();
    let keys = store.keys(prefix.as_bytes(), after.as_ref(), limit).await.unwrap();
    assert_eq!(keys, found, "the keys are those of the records");
    found.iter().map(ToString::to_string).collect()
}
