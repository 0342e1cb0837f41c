//! Where a configuration is from: its file, the environment laid over it, the command
//! line over both. It can be read again from there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::reader::Reading;
use super::{Config, ConfigError, Environment};

/// The file that is read where the command line names none.
pub const DEFAULT_FILE: &str = "hookbay.toml";

/// Where a configuration is from, so that it can be read again.
#[derive(Clone, Default, PartialEq)]
pub struct Origin {
    pub(super) file: Option<PathBuf>,
    pub(super) overrides: Overrides,
    pub(super) environment: Environment,
}

/// A configuration that was read, or what is wrong with it.
pub struct Read {
    /// The configuration.
    pub config: Result<Config, ConfigError>,
    /// The files that it is in: its own, and those of its secrets, there or not.
    pub files: BTreeSet<PathBuf>,
}

/// Settings given on the command line, which win over file and environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
    /// `--database`.
    pub database: Option<String>,
    /// `--plugins`.
    pub plugins_dir: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
}

impl Origin {
    /// Reads the configuration as it is now.
    pub fn read(&self) -> Read {
        let files = RefCell::new(BTreeSet::from([self.named_file().to_owned()]));
        let config = self.read_noting(&files);
        Read {
            config,
            files: files.into_inner(),
        }
    }

    fn named_file(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    fn read_noting(&self, files: &RefCell<BTreeSet<PathBuf>>) -> Result<Config, ConfigError> {
        let (text, base) = read_file(self.file.as_deref())?;
        let mut problems = Vec::new();
        let mut root: toml::Table =
            toml::from_str(&text).map_err(|error| ConfigError::one(not_toml(&error, &text)))?;
        let from_environment = self.environment.overlay(&mut root, &mut problems);
        self.overrides.overlay(&mut root);
        let reading = Reading {
            base: &base,
            from_environment: &from_environment,
            variable: &|name| self.environment.get(name).map(str::to_owned),
            problems: problems.into(),
            files,
            secret_files: RefCell::default(),
            has_secrets: Cell::new(false),
        };
        let mut config = Config::read(root, self, &reading);
        config.secret_files = reading.secret_files.take();
        if reading.has_secrets.get() {
            config.secret_files.insert(self.named_file().to_owned());
        }
        let problems = reading.problems.into_inner();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { problems })
        }
    }
}

impl fmt::Debug for Origin {
    /// The environment holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.named_file().display())
    }
}

impl Overrides {
    fn overlay(&self, root: &mut toml::Table) {
        // Paths on the command line are relative to where the command runs.
        let here = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let path = |path: &PathBuf| here(path).to_string_lossy().into_owned();
        let settings = [
            ("listen", self.listen.clone()),
            ("admin_listen", self.admin_listen.clone()),
            ("database", self.database.as_deref().map(absolute_database)),
            ("plugins_dir", self.plugins_dir.as_ref().map(path)),
            ("data_dir", self.data_dir.as_ref().map(path)),
        ];
        for (key, value) in settings {
            if let Some(value) = value {
                root.insert(key.to_owned(), toml::Value::String(value));
            }
        }
    }
}

fn absolute_database(url: &str) -> String {
    match url.strip_prefix("sqlite://").map(std::path::absolute) {
        Some(Ok(path)) => format!("sqlite://{}", path.display()),
        _ => url.to_owned(),
    }
}

/// Where the text stops being TOML; not the line itself, which may hold a secret.
fn not_toml(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    format!("not TOML at line {line}: {}", error.message())
}

/// The text of the configuration and the folder its paths are relative to.
fn read_file(file: Option<&Path>) -> Result<(String, PathBuf), ConfigError> {
    let named = file.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(named) {
        Ok(text) => {
            let folder = named
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            Ok((text, folder.unwrap_or(Path::new(".")).to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {
            Ok((String::new(), PathBuf::from(".")))
        }
        Err(error) => Err(ConfigError::one(format!(
            "{}: cannot read: {error}",
            named.display()
        ))),
    }
}
