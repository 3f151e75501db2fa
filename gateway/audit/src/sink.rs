//! Destinations of audit lines other than the log's files: memory for tests, and standard output.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::line::Tip;

/// Where lines go. Called from one thread of its own, so it may block.
pub trait Sink: Send {
    /// Takes whole lines, the last of which is `tip`; when this returns they are as durable as this
    /// sink can make them.
    ///
    /// # Errors
    /// None of the lines was taken; the same sequence numbers will come again with other lines.
    fn append(&mut self, lines: &[u8], tip: &Tip) -> io::Result<()>;
}

/// Keeps lines in memory, for tests. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemorySink {
    written: Arc<Mutex<Vec<u8>>>,
    refusing: Arc<AtomicBool>,
}

impl MemorySink {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses every line from now on, as a full disk does, or accepts them again.
    pub fn refuse(&self, refuse: bool) {
        self.refusing.store(refuse, Ordering::SeqCst);
    }

    /// The bytes of the log.
    pub fn bytes(&self) -> Vec<u8> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.bytes()
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

impl Sink for MemorySink {
    fn append(&mut self, lines: &[u8], _tip: &Tip) -> io::Result<()> {
        if self.refusing.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }
}

/// Writes lines to standard output, for a log collector. They are only as durable as the reader of
/// the pipe makes them.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdoutSink;

impl Sink for StdoutSink {
    fn append(&mut self, lines: &[u8], _tip: &Tip) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(lines)?;
        out.flush()
    }
}
