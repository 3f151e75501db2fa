//! A task, and what is known of its runs.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use chancery_identity::Clock;
use chancery_records::Fence;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::pause::{Until, jittered};

/// The shortest pause between two runs.
const LEAST: Duration = Duration::from_secs(1);

/// What a run ends with: when the next one is due, if that is not after the usual time.
pub(super) type Done = Result<Option<Timestamp>>;

type Work = Arc<dyn Fn(Fence) -> Pin<Box<dyn Future<Output = Done> + Send>> + Send + Sync>;

/// Something that is done again and again.
pub(super) struct Task {
    name: Cow<'static, str>,
    scope: Scope,
    every: Duration,
    longest: Duration,
    asked: Arc<Notify>,
    work: Work,
    known: Mutex<Known>,
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// Each gateway.
    Gateway,
    /// One of the gateways on the store.
    Installation,
}

/// What is known of its runs at this gateway.
#[derive(Debug, Default)]
struct Known {
    last: Option<Run>,
    /// Since when it is running.
    running: Option<Timestamp>,
    /// None for at once.
    next: Option<Timestamp>,
    /// Whether this gateway does it now.
    here: bool,
}

#[derive(Debug)]
struct Run {
    began: Timestamp,
    ended: Timestamp,
    error: Option<String>,
}

/// What operators are told of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    name: String,
    scope: Scope,
    /// Whether this gateway does it now. Of the gateways on a store one does the tasks of the installation.
    pub(super) here: bool,
    running: bool,
    last_run: Option<Timestamp>,
    last_end: Option<Timestamp>,
    pub(super) last_error: Option<String>,
    next_run: Option<Timestamp>,
}

impl Task {
    /// A task of each gateway.
    pub(super) fn of_gateway<F>(
        name: impl Into<Cow<'static, str>>,
        every: Duration,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Done> + Send + 'static,
    {
        Self::new(name.into(), Scope::Gateway, every, Arc::new(move |_| Box::pin(work())))
    }

    /// A task of the installation. Its commits have to check the fence.
    pub(super) fn of_installation<F>(
        name: &'static str,
        every: Duration,
        work: impl Fn(Fence) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Done> + Send + 'static,
    {
        let work: Work = Arc::new(move |fence| Box::pin(work(fence)));
        Self::new(name.into(), Scope::Installation, every, work)
    }

    fn new(name: Cow<'static, str>, scope: Scope, every: Duration, work: Work) -> Self {
        // Beyond it something hangs: most take less than a second.
        let longest = Duration::from_mins(10);
        let task = Self {
            name,
            scope,
            every,
            longest,
            asked: Arc::default(),
            work,
            known: Mutex::default(),
        };
        for outcome in ["done", "failed"] {
            task.count(outcome, 0);
        }
        task
    }

    /// The same, stopped when a run takes longer than this.
    pub(super) fn at_longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// The same, first done then and not at once.
    pub(super) fn beginning(self, at: Timestamp) -> Self {
        self.known().next = Some(at);
        self
    }

    /// The same, done when somebody asks for it too.
    pub(super) fn when_asked(self, asked: Arc<Notify>) -> Self {
        Self { asked, ..self }
    }

    pub(super) fn scope(&self) -> Scope {
        self.scope
    }

    pub(super) fn report(&self) -> Report {
        let known = self.known();
        let last = known.last.as_ref();
        Report {
            name: self.name.to_string(),
            scope: self.scope,
            here: known.here,
            running: known.running.is_some(),
            last_run: known.running.or(last.map(|run| run.began)),
            last_end: last.map(|run| run.ended),
            last_error: last.and_then(|run| run.error.clone()),
            next_run: known.next.filter(|_| known.here),
        }
    }

    /// Does it whenever it is due, until this is dropped.
    pub(super) async fn keep_doing(self: Arc<Self>, clock: Clock, fence: Fence) {
        let _here = Here::new(&self);
        loop {
            let next = self.known().next;
            if let Some(next) = next {
                tokio::select! {
                    () = Until::at(&clock, next).wait(&clock) => {}
                    () = self.asked.notified() => {}
                }
            }
            self.run(&clock, fence.clone()).await;
        }
    }

    async fn run(&self, clock: &Clock, fence: Fence) {
        let began = clock.now();
        self.known().running = Some(began);
        // A task of its own, so that a panic ends this run and not the task. It ends with this future.
        let mut work = JoinSet::new();
        let begin = self.work.clone();
        work.spawn(async move { begin(fence).await });
        let done = match tokio::time::timeout(self.longest, work.join_next()).await {
            Ok(Some(Ok(done))) => done,
            Ok(Some(Err(_)) | None) => Err(anyhow!("it panicked: see the log")),
            Err(_) => {
                Err(anyhow!("it took longer than {} s and was stopped", self.longest.as_secs()))
            }
        };
        let usual = Until::after(clock, jittered(self.every)).at;
        let (next, error) = match done {
            Ok(next) => (next.unwrap_or(usual), None),
            Err(error) => (usual, Some(format!("{error:#}"))),
        };
        let ended = clock.now();
        // Whatever a run says, the task does not spin.
        let next = next.max(ended + LEAST);
        match &error {
            None => self.succeeded(ended),
            Some(error) => {
                self.count("failed", 1);
                tracing::error!(task = %self.name, error, "background work failed");
            }
        }
        let mut known = self.known();
        known.running = None;
        known.last = Some(Run { began, ended, error });
        known.next = Some(next);
    }

    #[expect(clippy::cast_precision_loss, reason = "it is a time of this century")]
    fn succeeded(&self, at: Timestamp) {
        self.count("done", 1);
        let task = self.name.to_string();
        metrics::gauge!("chancery_task_last_success_timestamp_seconds", "task" => task)
            .set(at.as_second() as f64);
    }

    fn count(&self, outcome: &'static str, by: u64) {
        let task = self.name.to_string();
        metrics::counter!("chancery_task_runs_total", "task" => task, "outcome" => outcome)
            .increment(by);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That a task is done at this gateway; over when dropped.
struct Here<'a>(&'a Task);

impl<'a> Here<'a> {
    fn new(task: &'a Task) -> Self {
        task.known().here = true;
        Self(task)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.here = false;
        known.running = None;
        // It may have been interrupted, and another gateway may have had it for long.
        known.next = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// A task that counts its runs and ends each as `done` says.
    fn task(done: fn(usize) -> Done) -> (Arc<Task>, Arc<AtomicUsize>) {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let task = Task::of_gateway("test", MINUTE, move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move { done(run) }
        });
        (Arc::new(task), runs)
    }

    fn begin(task: &Arc<Task>, clock: &Clock) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(task.clone().keep_doing(clock.clone(), Fence::none()));
        tasks
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_done_at_once_and_then_each_time_and_one_that_fails_goes_on() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (task, runs) = task(|run| match run {
            1 => Err(anyhow!("the store is away")),
            2 => panic!("a fault"),
            _ => Ok(None),
        });
        let tasks = begin(&task, &clock);
        let errors = [None, Some("the store is away"), Some("it panicked: see the log"), None];
        for (run, error) in errors.into_iter().enumerate() {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(runs.load(Ordering::SeqCst), run + 1);
            let report = task.report();
            assert_eq!(report.last_error.as_deref(), error);
            assert!(report.here && !report.running && report.next_run.is_some());
            clock.advance(MINUTE * 2);
        }
        drop(tasks);
        tokio::time::sleep(MINUTE).await;
        assert!(!task.report().here);
        assert_eq!(task.report().next_run, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_panics_before_it_waits_for_anything_ends_and_the_task_goes_on() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let task = Arc::new(Task::of_gateway("test", MINUTE, move || {
            assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "a fault");
            std::future::ready(Ok(None))
        }));
        let _tasks = begin(&task, &clock);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(task.report().last_error.as_deref(), Some("it panicked: see the log"));
        clock.advance(MINUTE * 2);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert!(task.report().here && task.report().last_error.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_hangs_is_stopped() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let task = Task::of_gateway("test", MINUTE, std::future::pending).at_longest(MINUTE);
        let task = Arc::new(task);
        let _tasks = begin(&task, &clock);
        tokio::time::sleep(MINUTE / 2).await;
        assert!(task.report().running);
        tokio::time::sleep(MINUTE).await;
        let error = task.report().last_error.unwrap();
        assert_eq!(error, "it took longer than 60 s and was stopped");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_says_a_time_in_the_past_does_not_make_it_spin() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (task, runs) = task(|_| Ok(Some(Timestamp::UNIX_EPOCH)));
        let _tasks = begin(&task, &clock);
        tokio::time::sleep(MINUTE).await;
        assert!((30..=62).contains(&runs.load(Ordering::SeqCst)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_due_at_a_time_that_a_run_says_and_when_somebody_asks() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let (task, runs) = task(|run| {
            let minutes = [60, 600][usize::from(run > 0)];
            Ok(Some(Timestamp::UNIX_EPOCH + MINUTE * minutes))
        });
        let asked = Arc::new(Notify::new());
        let task = Arc::into_inner(task).unwrap().when_asked(asked.clone());
        let task = Arc::new(task.beginning(Timestamp::UNIX_EPOCH + MINUTE * 10));
        let _tasks = begin(&task, &clock);
        for (advance, runs_then) in [(9, 0), (1, 1), (49, 1), (1, 2)] {
            clock.advance(MINUTE * advance);
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(runs.load(Ordering::SeqCst), runs_then, "after {advance} more");
        }
        asked.notify_one();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
