//! Where the workspace and its artefacts are, and how cargo is called.
//!
//! Every cargo call goes through [`Workspace::cargo`]. The host is always built without `-p`
//! (the default members), so that wasmtime has the same features in every command and is
//! compiled once per profile.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Variables that `cargo run` sets for this program alone. Handed on to an inner cargo they
/// would look like a changed environment to build scripts that watch them (ring's does), and
/// half the host would be rebuilt after each switch between `cargo build` and `cargo xtask`.
const PACKAGE_VARIABLES: [&str; 6] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
];

/// The workspace as cargo sees it.
pub(crate) struct Workspace {
    /// Where the workspace's manifest is.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The crates under `plugins/`.
    pub(crate) plugins: Vec<String>,
    /// The crates under `host/tests/guests/`.
    pub(crate) test_guests: Vec<String>,
}

/// The two profiles in which the host is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// `target/debug`
    Debug,
    /// `target/release`
    Release,
}

impl Profile {
    /// The profile that the flag `--release` picks.
    pub(crate) fn from_flag(is_release: bool) -> Self {
        if is_release {
            Self::Release
        } else {
            Self::Debug
        }
    }

    /// The profile's folder in the target directory.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        let mut command = plain_cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        if let Some(own) = std::env::var_os("CARGO_MANIFEST_DIR") {
            command
                .arg("--manifest-path")
                .arg(Path::new(&own).join("Cargo.toml"));
        }
        let output = command.output().context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let metadata: Value =
            serde_json::from_slice(&output.stdout).context("cannot read cargo metadata")?;
        let folder = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("no {key}"))
        };
        let root = folder("workspace_root")?;
        Ok(Self {
            plugins: packages_under(&metadata, &root.join("plugins")),
            test_guests: packages_under(&metadata, &root.join("host/tests/guests")),
            target: folder("target_directory")?,
            root,
        })
    }

    /// A cargo call in the workspace's root, with the caller's own environment.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = plain_cargo();
        command.current_dir(&self.root);
        // A relative one means the caller's directory, not the root.
        if std::env::var_os("CARGO_TARGET_DIR").is_some() {
            command.env("CARGO_TARGET_DIR", &self.target);
        }
        command
    }

    /// Builds the host and this program.
    pub(crate) fn build_host(&self, profile: Profile) -> Result<()> {
        if !self.binary(profile, "hookbay").exists() {
            println!(
                "The first build compiles wasmtime: 6 to 10 minutes on two cores. Later ones take seconds."
            );
        }
        let mut command = self.cargo();
        command.arg("build");
        if profile == Profile::Release {
            command.arg("--release");
        }
        run(&mut command)
    }

    /// The path of a binary that cargo builds.
    pub(crate) fn binary(&self, profile: Profile, name: &str) -> PathBuf {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.target.join(profile.folder()).join(file)
    }

    /// Where [`crate::guests`] puts the plugins.
    pub(crate) fn plugin_files(&self) -> PathBuf {
        self.target.join("plugins")
    }

    /// Where [`crate::guests`] puts the guests of the host's tests.
    pub(crate) fn test_guest_files(&self) -> PathBuf {
        self.target.join("test-guests")
    }
}

/// Runs `command` with this program's own output, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed: {status}", shown(command));
}

/// A command for a program that is killed when this one ends, however it does, and to
/// which a file that may not grow is an error, as on a full disk, and no signal. The shell
/// and `setpriv` make way for it: it has the process that is started. Only the main thread
/// may start it: the system takes the end of the thread for the end.
pub(crate) fn dies_with_us(program: &Path) -> Command {
    const SCRIPT: &str = "trap '' XFSZ; command -v setpriv >/dev/null && \
        exec setpriv --pdeathsig KILL -- \"$0\" \"$@\"; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).arg(program);
    command
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![
        program
            .file_name()
            .unwrap_or(command.get_program())
            .display()
            .to_string(),
    ];
    words.extend(command.get_args().map(|word| word.display().to_string()));
    words.join(" ")
}

fn plain_cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if PACKAGE_VARIABLES
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
}

fn packages_under(metadata: &Value, folder: &Path) -> Vec<String> {
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut names: Vec<String> = packages
        .iter()
        .filter(|package| {
            let manifest = package["manifest_path"].as_str().unwrap_or_default();
            Path::new(manifest).starts_with(folder)
        })
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    names
}
