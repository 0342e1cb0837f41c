//! A host process on a directory of its own, for measurements and fault campaigns.
//!
//! Its environment holds nothing that configures a Hookbay, its ports are free ones, and it
//! dies with the value that owns it.

mod signals;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::admin::{Admin, RunStates};
use crate::announce::is_ready;
use crate::config::{self, Addresses, Database};
use crate::load::Summary;
use crate::workspace::{self, Profile, Workspace};

const READY_WITHIN: Duration = Duration::from_secs(120);

/// The directory, and the process while it runs.
pub(crate) struct Host {
    program: PathBuf,
    load_program: PathBuf,
    folder: PathBuf,
    addresses: Addresses,
    child: Option<Child>,
}

/// How a load differs from 2,000 genuine pushes as fast as they are answered.
pub(crate) struct Load<'a> {
    /// How many deliveries.
    pub(crate) requests: u64,
    /// Over how many connections.
    pub(crate) concurrency: usize,
    /// Deliveries per second; 0 is as fast as they are answered.
    pub(crate) rate: u32,
    /// Where to write down what was acknowledged; deliveries are then retried, too.
    pub(crate) acked: Option<&'a Path>,
    /// Whether the signatures are of another secret, and each comes from another address.
    pub(crate) is_forged: bool,
}

impl Host {
    /// Prepares an empty directory below the target directory. Nothing runs yet.
    ///
    /// Hosts of different names share nothing but what `database` lets them share.
    pub(crate) fn prepare(
        workspace: &Workspace,
        profile: Profile,
        name: &str,
        database: &Database,
    ) -> Result<Self> {
        let folder = workspace.target.join("bench").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        // Both are held until both are known, so that they differ.
        let listeners = (
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        );
        let addresses = Addresses {
            public: listeners.0.local_addr()?,
            admin: listeners.1.local_addr()?,
        };
        let host = Self {
            program: workspace.binary(profile, "hookbay"),
            load_program: workspace.binary(profile, "xtask"),
            folder,
            addresses,
            child: None,
        };
        host.write_files(database, &config::random_secret()?)?;
        Ok(host)
    }

    /// Prepares another host, in an empty directory `name`, that is to take this one's
    /// addresses and secret: what a sender sees when one host is put in another's place.
    pub(crate) fn successor(
        &self,
        workspace: &Workspace,
        name: &str,
        database: &Database,
    ) -> Result<Self> {
        let host = Self {
            program: self.program.clone(),
            load_program: self.load_program.clone(),
            folder: workspace.target.join("bench").join(name),
            addresses: self.addresses,
            child: None,
        };
        host.write_files(database, &self.secret()?)?;
        Ok(host)
    }

    fn write_files(&self, database: &Database, secret: &str) -> Result<()> {
        config::write_private(
            &self.config_file(),
            &config::throw_away(self.addresses, database, secret),
        )?;
        config::write_private(&self.folder.join("secret"), secret)?;
        fs::create_dir_all(self.plugin_folder())
            .with_context(|| format!("cannot write to {}", self.folder.display()))
    }

    /// Adds tables to the configuration.
    pub(crate) fn configure(&self, tables: &str) -> Result<()> {
        let file = self.config_file();
        let opened = OpenOptions::new().append(true).open(&file);
        opened
            .and_then(|mut opened| opened.write_all(tables.as_bytes()))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Starts the process and waits until it is ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log_file = self.log_file();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_file)?;
        let mut command = workspace::dies_with_us(&self.program);
        command.arg("--config").arg(self.config_file()).arg("serve");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOOKBAY_") {
                command.env_remove(name);
            }
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let child = self.child.insert(child);
        let started = Instant::now();
        while !is_ready(self.addresses.public) {
            if let Some(status) = child.try_wait()? {
                bail!("the host ended with {status}; see {}", log_file.display());
            }
            if started.elapsed() > READY_WITHIN {
                bail!(
                    "the host is not ready after {} s; see {}",
                    READY_WITHIN.as_secs(),
                    log_file.display()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the process with SIGKILL, where one runs, and reaps it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("cannot kill the host")?;
            child.wait().context("cannot reap the host")?;
        }
        Ok(())
    }

    /// Removes the directory. Left where it is, it shows what went wrong.
    pub(crate) fn remove(self) -> Result<()> {
        let folder = self.folder.clone();
        drop(self);
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
    }

    /// Starts the load generator, as a process of its own.
    pub(crate) fn start_load(&self, load: &Load<'_>) -> Result<RunningLoad> {
        let mut command = workspace::dies_with_us(&self.load_program);
        command
            .args(["load", "--json", "--url"])
            .arg(format!("http://{}/webhooks/github", self.addresses.public))
            .arg("--secret-file")
            .arg(self.folder.join("secret"))
            .arg("--requests")
            .arg(load.requests.to_string())
            .arg("--concurrency")
            .arg(load.concurrency.to_string())
            .arg("--rate")
            .arg(load.rate.to_string());
        if let Some(file) = load.acked {
            command.arg("--retry").arg("--acked").arg(file);
        }
        if load.is_forged {
            command.arg("--forged");
        }
        command.stdout(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.load_program.display()))?;
        Ok(RunningLoad(Some(child)))
    }

    /// Waits until no run of `plugin` is unfinished and at least `expected` have succeeded.
    pub(crate) fn wait_until_drained(
        &self,
        plugin: &str,
        expected: u64,
        within: Duration,
    ) -> Result<RunStates> {
        let mut admin = self.admin()?;
        let started = Instant::now();
        loop {
            let states = admin.run_states(plugin)?;
            if states.unfinished() == 0 && states.of("succeeded") + states.of("dead") >= expected {
                return Ok(states);
            }
            if started.elapsed() > within {
                bail!(
                    "not drained after {} s: {states}; expected {expected} runs of {plugin}",
                    within.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A client of the running process's admin API.
    pub(crate) fn admin(&self) -> Result<Admin> {
        Admin::new(self.addresses.admin, &self.token_file())
    }

    /// The secret of its source.
    pub(crate) fn secret(&self) -> Result<String> {
        let file = self.folder.join("secret");
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.join("hookbay.toml")
    }

    /// Where the process listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The process's directory.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it looks for plugins.
    pub(crate) fn plugin_folder(&self) -> PathBuf {
        self.folder.join("plugins.d")
    }

    /// The file of its admin token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.join("data/admin-token")
    }

    /// Its log.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.folder.join("host.log")
    }

    /// Seconds of CPU used so far, and the largest resident size in MiB; zeros where the
    /// system does not say.
    pub(crate) fn resources(&self) -> (f64, u64) {
        let Some(child) = &self.child else {
            return (0.0, 0);
        };
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        // The name before the bracket may hold spaces; user and system time are the 12th and
        // 13th field behind it, in ticks of 10 ms on every Linux that Rust supports.
        let fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let ticks: u32 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u32>().ok())
            .sum();
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let largest_kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        (f64::from(ticks) / 100.0, largest_kib / 1024)
    }

    /// Bytes that it has made the system write to its disk; zero where that is not said.
    pub(crate) fn written_bytes(&self) -> u64 {
        let Some(child) = &self.child else {
            return 0;
        };
        let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes:"));
        written
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}

/// A load generator at work; killed when dropped.
pub(crate) struct RunningLoad(Option<Child>);

impl RunningLoad {
    /// Waits for its end and reads its summary, which is short enough for a pipe to hold.
    pub(crate) fn finish(mut self, within: Duration) -> Result<Summary> {
        let started = Instant::now();
        let mut child = self
            .0
            .take()
            .context("the load generator was already waited for")?;
        while child
            .try_wait()
            .context("cannot wait for the load generator")?
            .is_none()
        {
            if started.elapsed() > within {
                self.0 = Some(child);
                bail!(
                    "the load generator has not ended within {} s",
                    within.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child
            .wait_with_output()
            .context("cannot read from the load generator")?;
        Summary::from_json(&String::from_utf8_lossy(&output.stdout))
    }
}

impl Drop for RunningLoad {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Both fail only when it has already ended.
            let _is_killed = child.kill().is_ok();
            let _is_reaped = child.wait().is_ok();
        }
    }
}

/// How many deliveries `file` holds so far.
pub(crate) fn acked_count(file: &Path) -> u64 {
    let mut text = Vec::new();
    let read =
        File::open(file).and_then(|mut opened| std::io::Read::read_to_end(&mut opened, &mut text));
    if read.is_err() {
        return 0;
    }
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}
