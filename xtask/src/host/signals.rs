//! What a host's process can suffer short of its death: being frozen, a disk that is full.
//!
//! Signals and limits are set by the system's own programs, since std has neither.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Host;
use crate::announce::is_ready;
use crate::workspace;

impl Host {
    /// Freezes the process where it is (SIGSTOP).
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Lets no file of the process grow beyond `bytes`, or any as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let soft = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Command::new("prlimit");
        command.arg(format!("--pid={}", self.process()?));
        command.arg(format!("--fsize={soft}:unlimited"));
        workspace::run(&mut command)
    }

    /// The size of the largest file in its directory.
    pub(crate) fn largest_file_bytes(&self) -> Result<u64> {
        let mut largest = 0;
        for entry in fs::read_dir(&self.folder)? {
            largest = largest.max(entry?.metadata()?.len());
        }
        Ok(largest)
    }

    /// Waits until `/readyz` of the process, the same as before, says what is `expected`.
    pub(crate) fn wait_until_ready(&mut self, expected: bool, within: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            self.check_alive()?;
            if is_ready(self.addresses.public) == expected {
                return Ok(());
            }
            if started.elapsed() > within {
                let state = if expected { "not ready" } else { "still ready" };
                bail!("the host is {state} after {} s", within.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails when the process has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let log_file = self.log_file();
        let child = self.child.as_mut().context("the host was not started")?;
        if let Some(status) = child.try_wait()? {
            bail!("the host ended with {status}; see {}", log_file.display());
        }
        Ok(())
    }

    fn process(&self) -> Result<u32> {
        let child = self.child.as_ref().context("the host was not started")?;
        Ok(child.id())
    }

    fn signal(&self, name: &str) -> Result<()> {
        // The shell's own `kill`, as a minimal Debian has no other.
        let mut command = Command::new("sh");
        command.args(["-c", &format!("kill -{name} {}", self.process()?)]);
        workspace::run(command.stdin(Stdio::null()))
    }
}
