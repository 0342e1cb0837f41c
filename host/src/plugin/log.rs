//! An attempt's log: what the guest writes through `log`, stdout and stderr,
//! in one list, bounded as one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::clock::Clock;
use crate::run::{LogLevel, LogLine};

use super::last_words::last_words;
use super::limits::{Exceeded, LOG_BYTES_MAX, LOG_LINE_WEIGHT, LOG_LINES_MAX};

/// The log of one attempt; clones share it.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: Vec<LogLine>,
    bytes: usize,
}

/// A guest's stdout or stderr: each line of it becomes a line of the log.
#[derive(Clone)]
pub(super) struct Stream {
    log: Log,
    clock: Clock,
    level: LogLevel,
    /// What has been written since the last newline.
    partial: Arc<Mutex<Vec<u8>>>,
}

impl Log {
    /// Adds a line.
    ///
    /// # Errors
    /// [`Exceeded`] if the log is full: a flood fails, it is not cut.
    pub(super) fn write(&self, line: LogLine) -> Result<(), Exceeded> {
        let mut lines = lock(&self.0);
        let fields = line.fields.iter();
        let fields: usize = fields
            .map(|(name, value)| name.len() + value.len() + LOG_LINE_WEIGHT)
            .sum();
        let weight = line.message.len() + fields;
        if lines.lines.len() >= LOG_LINES_MAX {
            return Err(Exceeded::output("the number of log lines", LOG_LINES_MAX));
        }
        if lines.bytes + weight > LOG_BYTES_MAX {
            return Err(Exceeded::output("the log, in bytes,", LOG_BYTES_MAX));
        }
        lines.bytes += weight;
        lines.lines.push(line);
        Ok(())
    }

    /// What the guest said last on stderr, if that was the last thing it did:
    /// the text of a panic or of an uncaught exception.
    pub(super) fn last_words(&self) -> Option<String> {
        let lines = lock(&self.0);
        let is_stderr = |line: &LogLine| line.level == LogLevel::Error && line.fields.is_empty();
        let other = lines.lines.iter().rposition(|line| !is_stderr(line));
        let said = &lines.lines[other.map_or(0, |at| at + 1)..];
        let said: Vec<&str> = said.iter().map(|line| line.message.as_str()).collect();
        last_words(&said)
    }

    /// All lines, leaving none.
    pub(super) fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut lock(&self.0).lines)
    }
}

impl Stream {
    pub(super) fn new(log: Log, clock: Clock, level: LogLevel) -> Self {
        Self {
            log,
            clock,
            level,
            partial: Arc::default(),
        }
    }

    /// Makes a line of what has no newline yet. An attempt that ends here has
    /// its outcome already, so a full log cuts it.
    pub(super) fn finish(&self) {
        let rest = std::mem::take(&mut *lock(&self.partial));
        if !rest.is_empty() {
            drop(self.line(&rest));
        }
    }

    fn line(&self, bytes: &[u8]) -> Result<(), Exceeded> {
        let message = String::from_utf8_lossy(bytes)
            .trim_end_matches('\r')
            .to_owned();
        self.log.write(LogLine {
            at: self.clock.now(),
            level: self.level,
            message,
            fields: Vec::new(),
        })
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this; guests here are linked to 0.2.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut partial = lock(&self.partial);
        partial.extend_from_slice(&bytes);
        while let Some(end) = partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = partial.drain(..=end).collect();
            self.line(&line[..end])
                .map_err(|exceeded| StreamError::Trap(exceeded.into()))?;
        }
        if partial.len() > LOG_BYTES_MAX {
            let exceeded = Exceeded::output("a line of output, in bytes,", LOG_BYTES_MAX);
            return Err(StreamError::Trap(exceeded.into()));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

/// The lock is never held across a panic that matters: lines are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
