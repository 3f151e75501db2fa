//! The task that has the mark written, off the path of events, and tells the writer that time goes on.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::mark::{Mark, WriteMark};

/// How long lines wait for the mark at most, while the store is well.
const PAUSE: Duration = Duration::from_secs(1);
/// After how many lines the mark is written although the pause is not over.
const LINES: u64 = 5_000;

/// What the task is asked for.
pub(crate) enum Ask {
    /// To have the mark written now.
    Mark(oneshot::Sender<Result<(), String>>),
    /// The same, and to end.
    End(oneshot::Sender<Result<(), String>>),
}

/// Follows the log and has its mark written.
pub(crate) struct Keeper {
    write: WriteMark,
    position: watch::Receiver<Mark>,
    asked: mpsc::Receiver<Ask>,
    /// How many lines there were when the mark was last written.
    marked: u64,
}

impl Keeper {
    pub(crate) fn new(
        write: WriteMark,
        position: watch::Receiver<Mark>,
        asked: mpsc::Receiver<Ask>,
        marked: u64,
    ) -> Self {
        Self { write, position, asked, marked }
    }

    /// Until it is asked to end, or nobody is there any more who could.
    pub(crate) async fn run(mut self) {
        // `over`: the writer has ended, so the position moves no more.
        let (mut pending, mut failing, mut over) = (false, false, false);
        loop {
            let position = self.position.clone();
            let ask = tokio::select! {
                ask = self.asked.recv() => match ask {
                    Some(ask) => Some(ask),
                    None => return,
                },
                moved = self.position.changed(), if !pending && !over => {
                    // The writer ends before the task is asked to: its last lines are still to be marked.
                    over = moved.is_err();
                    pending = true;
                    continue;
                }
                () = tokio::time::sleep(PAUSE), if failing => None,
                () = due(self.marked, position), if pending && !failing => None,
            };
            let written = self.write().await;
            failing = written.is_err();
            pending = failing;
            match ask {
                None => {}
                Some(Ask::Mark(done)) => drop(done.send(written)),
                Some(Ask::End(done)) => {
                    let _ = done.send(written.clone());
                    return self.end(&written).await;
                }
            }
        }
    }

    /// Answers those who asked meanwhile. What stayed in the queue would be waited for without end, because
    /// the one who asks holds the queue open.
    async fn end(mut self, written: &Result<(), String>) {
        self.asked.close();
        while let Some(Ask::Mark(done) | Ask::End(done)) = self.asked.recv().await {
            let _ = done.send(written.clone());
        }
    }

    async fn write(&mut self) -> Result<(), String> {
        let mark = self.position.borrow_and_update().clone();
        let lines = mark.lines();
        if lines == self.marked {
            return Ok(());
        }
        let written = (self.write)(mark).await;
        match &written {
            Ok(()) => self.marked = lines,
            Err(error) => {
                metrics::counter!("chancery_audit_mark_failures_total").increment(1);
                tracing::error!(
                    error,
                    "the mark of the audit log could not be stored; trying again"
                );
            }
        }
        written
    }
}

/// Until the mark is due.
async fn due(marked: u64, mut position: watch::Receiver<Mark>) {
    let many = position.wait_for(|mark| mark.lines().saturating_sub(marked) >= LINES);
    // The time being over, or nobody there any more, are as good.
    let _ = tokio::time::timeout(PAUSE, many).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn at(lines: u64) -> Mark {
        let mut mark = Mark::start();
        mark.chain.tip.seq = lines;
        mark
    }

    /// A keeper with its store, which refuses `failures` times.
    fn keeper(failures: usize) -> (watch::Sender<Mark>, mpsc::Sender<Ask>, mpsc::Receiver<u64>) {
        let (position, follow) = watch::channel(Mark::start());
        let (asks, asked) = mpsc::channel(1);
        let (stored, stores) = mpsc::channel(100);
        let left = Arc::new(Mutex::new(failures));
        let write: WriteMark = Arc::new(move |mark| {
            let (stored, left) = (stored.clone(), left.clone());
            Box::pin(async move {
                let refuse = {
                    let mut left = left.lock().unwrap();
                    *left = left.saturating_sub(1);
                    *left > 0
                };
                if refuse {
                    return Err("away".to_owned());
                }
                stored.send(mark.lines()).await.map_err(|error| error.to_string())
            })
        });
        tokio::spawn(Keeper::new(write, follow, asked, 0).run());
        (position, asks, stores)
    }

    #[tokio::test(start_paused = true)]
    async fn the_mark_follows_the_log_within_a_second() {
        let (position, _asks, mut stores) = keeper(0);
        position.send_replace(at(1));
        position.send_replace(at(3));
        let started = tokio::time::Instant::now();
        assert_eq!(stores.recv().await, Some(3));
        assert!(started.elapsed() <= PAUSE * 2, "{:?}", started.elapsed());
        assert!(tokio::time::timeout(PAUSE * 60, stores.recv()).await.is_err(), "it wrote again");
    }

    #[tokio::test(start_paused = true)]
    async fn many_lines_are_not_waited_for() {
        let (position, _asks, mut stores) = keeper(0);
        let started = tokio::time::Instant::now();
        position.send_replace(at(LINES));
        assert_eq!(stores.recv().await, Some(LINES));
        assert!(started.elapsed() < PAUSE, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_again() {
        let (position, asks, mut stores) = keeper(4);
        position.send_replace(at(LINES * 2));
        assert_eq!(stores.recv().await, Some(LINES * 2));
        position.send_replace(at(LINES * 2 + 1));
        let (done, ended) = oneshot::channel();
        asks.send(Ask::End(done)).await.unwrap();
        assert_eq!(ended.await, Ok(Ok(())));
        assert_eq!(stores.recv().await, Some(LINES * 2 + 1));
        assert_eq!(stores.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_mark_is_stored_and_the_end_answered_after_the_writer_has_ended() {
        let (position, asks, mut stores) = keeper(0);
        position.send_replace(at(3));
        drop(position);
        assert_eq!(stores.recv().await, Some(3));
        tokio::time::sleep(PAUSE * 10).await;
        let (done, ended) = oneshot::channel();
        asks.send(Ask::End(done)).await.unwrap();
        assert_eq!(ended.await, Ok(Ok(())));
        assert!(asks.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_while_it_ends_are_answered() {
        let (position, follow) = watch::channel(Mark::start());
        let (asks, asked) = mpsc::channel(1);
        // So slow that the others have asked before the first has its answer.
        let write: WriteMark = Arc::new(|_| {
            Box::pin(async {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            })
        });
        tokio::spawn(Keeper::new(write, follow, asked, 0).run());
        position.send_replace(at(1));
        let ask = || async {
            let (done, ended) = oneshot::channel();
            // One that comes too late is told so at once.
            if asks.send(Ask::End(done)).await.is_ok() {
                assert_eq!(ended.await, Ok(Ok(())));
            }
        };
        let all = async { tokio::join!(ask(), ask(), ask()) };
        tokio::time::timeout(PAUSE * 60, all).await.expect("nobody waits without end");
    }
}
