//! A shell that owns a server: it starts it, stops it and removes its directory.
//!
//! The shell ends the server when its standard input ends. That input is a pipe whose other
//! end, the lifeline, this process alone holds, so the kernel closes it however this process
//! ends: no server outlives it, not even after SIGKILL. Nothing here knows what the server
//! is; the scripts do.
//!
//! PostgreSQL and PgBouncer refuse to run as root. For root, the shell runs as the user
//! `postgres`, whom the packages of both create.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// The shell, and both ends of talking to it.
pub(super) struct Supervisor {
    child: Child,
    lifeline: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Supervisor {
    /// Starts `script`, with `arguments` as `$1` and on.
    pub(super) fn start(script: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = unprivileged("sh")?;
        command.args(["-c", script, "hookbay-supervisor"]);
        command.args(arguments);
        // A Ctrl-C at the terminal is for the foreground group. The shell must outlive it, to
        // stop the server and remove its directory.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start sh")?;
        let lifeline = child.stdin.take();
        let answers = child.stdout.take().context("sh has no standard output")?;
        Ok(Self {
            child,
            lifeline,
            answers: BufReader::new(answers),
        })
    }

    /// Gives the script a line.
    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        let lifeline = self.lifeline.as_mut().context("the lifeline is gone")?;
        writeln!(lifeline, "{line}").context("the server's supervisor has ended")
    }

    /// Waits for a line of the script.
    pub(super) fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("cannot read from the server's supervisor")?;
        if line.is_empty() {
            bail!("the server's supervisor has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Gives the lifeline away: whoever holds it last keeps the server running.
    pub(super) fn into_lifeline(mut self) -> Result<ChildStdin> {
        self.lifeline.take().context("the lifeline is gone")
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let Some(lifeline) = self.lifeline.take() else {
            return;
        };
        drop(lifeline);
        // Stopped and removed once the shell has ended. It fails only when it was reaped.
        let _is_reaped = self.child.wait().is_ok();
    }
}

/// Whether this process is root's.
pub(crate) fn is_root() -> Result<bool> {
    Ok(id(&["-u"])?.trim_ascii() == b"0")
}

fn id(arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("id").args(arguments).output();
    Ok(output.context("cannot run id")?.stdout)
}

/// Where a server's directory goes: `preferred` if there is such a folder, else the system's
/// temporary one. Never the checkout, into which the user `postgres` may not be let.
pub(super) fn parent_folder(preferred: Option<&str>) -> PathBuf {
    preferred
        .map(Path::new)
        .filter(|folder| folder.is_dir())
        .map_or_else(std::env::temp_dir, Path::to_owned)
}

/// `program` as a user that is not root, and without what the environment says to libpq.
pub(super) fn unprivileged(program: &str) -> Result<Command> {
    let mut command = if is_root()? {
        if id(&["-u", "postgres"])?.is_empty() {
            bail!("PostgreSQL does not run as root, and there is no user `postgres`: create one");
        }
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    without_libpq_variables(&mut command);
    Ok(command)
}

/// Takes `PGHOST`, `PGDATA` and the like from what `command` inherits.
pub(super) fn without_libpq_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    // The C locale: messages in English, and one that every machine has.
    command.env("LC_ALL", "C");
}
