//! Every setting once: its name, unit, default and bound.
//!
//! A configuration is a TOML file, the environment laid over it, and the command
//! line over both. It is parsed into types that cannot be wrong, or refused with
//! one line per problem. The environment is read nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::Identity;
use crate::ingest::address::Networks;
use crate::ingest::scheme::Provider;
use crate::name::PluginName;
use crate::plugin::{PublicKey, TrustedKeys};

mod access;
mod alerts;
mod change;
mod credential;
mod database;
mod encryption;
mod environment;
mod filter;
mod grants;
mod origin;
mod otlp;
mod plugin;
pub mod provider;
mod public;
mod reader;
mod retention;
mod secret;
mod source;
mod tls;
pub(crate) mod units;

pub use access::AdminAccess;
pub(crate) use access::{TOKEN_FILE, state_dir};
pub use alerts::{AlertFormat, AlertTarget, AlertsConfig};
pub use change::Change;
pub use database::{Database, PoolConfig, PostgresUrl, PostgresUrlError};
pub use encryption::EncryptionKeys;
pub use environment::Environment;
pub use grants::{EndpointGrant, HttpOrigin, OriginError, check_grant_name};
pub use origin::{DEFAULT_FILE, Origin, Overrides, Read};
pub use otlp::OtlpConfig;
pub use plugin::{JournalPolicy, Limits, Maxima, PluginConfig};
pub use retention::Retention;
pub use secret::Secret;
pub use source::{Ack, SourceConfig};

use provider::OwnProviders;
use reader::{Reading, Table};
use source::Common;

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Public address: `/webhooks/*`, `/healthz`, `/readyz`.
    pub listen: SocketAddr,
    /// Private address: `/api/v1`, `/metrics`.
    pub admin_listen: SocketAddr,
    /// What the public address proves who it is with, over TLS.
    pub tls: Option<Identity>,
    /// The same of the private address.
    pub admin_tls: Option<Identity>,
    /// Where events and runs are kept.
    pub database: Database,
    /// Connections to a Postgres server.
    pub pool: PoolConfig,
    /// Whether connections to Postgres go through a pooler that hands them from
    /// client to client between transactions.
    pub pooler: bool,
    /// Whether a Postgres server that may lose what it committed (`fsync=off`) is
    /// taken all the same.
    pub allow_unsafe_database: bool,
    /// How long a silent host keeps its runs, 1 second to 10 minutes.
    pub lease: Duration,
    /// How long what was stored is kept.
    pub retention: Retention,
    /// How old an event may be whose runs have not finished, 1 hour to 3650 days;
    /// they then end `dead` with `expired`. Without it they wait for ever.
    pub max_pending_age: Option<Duration>,
    /// The directory that plugins are dropped into.
    pub plugins_dir: PathBuf,
    /// Digests, compile cache, admin token.
    pub data_dir: PathBuf,
    /// How long a stop waits for runs that execute.
    pub shutdown_grace: Duration,
    /// What plugins may have at most.
    pub maxima: Maxima,
    /// Whether the admin address may be reached from elsewhere without TLS.
    pub admin_insecure: bool,
    /// Whether `/metrics` answers without the token.
    pub metrics_open: bool,
    /// The admin token, if the environment gives one.
    pub admin_token: Option<Secret>,
    /// Who is told when something is wrong; none is nobody.
    pub alerts: Option<AlertsConfig>,
    /// The collector that spans are sent to.
    pub otlp: Option<OtlpConfig>,
    /// What stored requests are encrypted with.
    pub encryption: EncryptionKeys,
    /// Who must have signed a plugin; none is everybody.
    pub trusted_keys: TrustedKeys,
    /// The address of `listen` as senders know it, without a slash at its end.
    pub public_url: Option<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-For` are believed.
    pub trusted_proxies: Networks,
    /// Providers beside the catalogue, by name.
    pub providers: BTreeMap<String, Provider>,
    /// Inbound addresses.
    pub sources: Vec<SourceConfig>,
    /// What is set for plugins, by name.
    pub plugins: BTreeMap<PluginName, PluginConfig>,
    /// The files that secrets stand in.
    pub secret_files: BTreeSet<PathBuf>,
    /// Where it is from.
    pub origin: Origin,
}

/// What is wrong with a configuration: one line per problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Each names its key.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl Config {
    /// Reads the file (`hookbay.toml` here if it exists, where none is named)
    /// and this process's environment.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(file, &Overrides::default(), &Environment::of_process())
    }

    /// The same, with settings from the command line and a given environment.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load_with(
        file: Option<&Path>,
        overrides: &Overrides,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let origin = Origin {
            file: file.map(Path::to_owned),
            overrides: overrides.clone(),
            environment: environment.clone(),
        };
        origin.read().config
    }

    /// Reads the whole tree; what has a problem has its default instead, which
    /// is never used because the problem is noted.
    fn read(root: toml::Table, origin: &Origin, reading: &Reading<'_>) -> Self {
        let mut table = Table::new(String::new(), root, reading);
        let maxima = plugin::read_maxima(table.table("limits"));
        let retention = retention::read(table.table("retention"));
        let public_url = public::url(&mut table);
        let (own, providers) = OwnProviders::read(&mut table);
        let config = Self {
            listen: table
                .parse("listen")
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            admin_listen: table
                .parse("admin_listen")
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8081))),
            tls: tls::read(table.table("tls")),
            admin_tls: tls::read(table.table("admin_tls")),
            database: database::read(&mut table),
            pool: database::read_pool(table.table("pool")),
            pooler: table.boolean("pooler").unwrap_or(false),
            allow_unsafe_database: table.boolean("allow_unsafe_database").unwrap_or(false),
            lease: table
                .duration("lease", Duration::from_secs(1)..=Duration::from_mins(10))
                .unwrap_or(Duration::from_secs(15)),
            retention,
            max_pending_age: table.duration(
                "max_pending_age",
                retention::SHORTEST_KEPT..=retention::LONGEST_KEPT,
            ),
            plugins_dir: table
                .path("plugins_dir")
                .unwrap_or_else(|| reading.base.join("plugins.d")),
            data_dir: table
                .path("data_dir")
                .unwrap_or_else(|| reading.base.join("data")),
            shutdown_grace: table
                .duration("shutdown_grace", Duration::ZERO..=Duration::from_hours(1))
                .unwrap_or(Duration::from_secs(30)),
            maxima,
            admin_insecure: table.boolean("admin_insecure").unwrap_or(false),
            metrics_open: table.boolean("metrics_open").unwrap_or(false),
            admin_token: admin_token(&origin.environment, &table),
            alerts: alerts::read(table.table("alerts")),
            otlp: otlp::read(table.table("otlp")),
            encryption: encryption::read(table.table("encryption")),
            trusted_keys: trusted_keys(&mut table),
            trusted_proxies: public::trusted_proxies(&mut table),
            sources: sources(
                &mut table,
                &Common {
                    events_kept: retention.events,
                    own: &own,
                    public_url: public_url.as_deref().unwrap_or_default(),
                },
            ),
            public_url,
            providers,
            plugins: table
                .tables("plugins")
                .into_iter()
                .filter_map(|(name, table)| plugin::read(&name, table, &maxima))
                .collect(),
            secret_files: BTreeSet::new(),
            origin: origin.clone(),
        };
        config.check_admin_listen(&table);
        table.finish();
        config
    }

    /// The token does not cross a network in the clear unless that is wanted.
    fn check_admin_listen(&self, table: &Table<'_>) {
        let is_secure = self.admin_tls.is_some() || self.admin_insecure;
        if !self.admin_listen.ip().is_loopback() && !is_secure {
            let problem = format_args!(
                "`{}` can be reached from elsewhere, which needs `admin_tls` or `admin_insecure = true`",
                self.admin_listen
            );
            table.problem("admin_listen", problem);
        }
    }

    /// Where the admin token is kept that no environment gives.
    pub fn token_file(&self) -> PathBuf {
        self.data_dir.join(TOKEN_FILE)
    }

    /// What is set for a plugin, or what one has that is not mentioned.
    pub fn plugin(&self, name: &PluginName) -> PluginConfig {
        self.plugins
            .get(name)
            .cloned()
            .unwrap_or_else(|| PluginConfig::unmentioned(&self.maxima))
    }
}

impl ConfigError {
    fn one(problem: String) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

/// The admin token of the environment, without the line end of the file that it came from.
fn admin_token(environment: &Environment, table: &Table<'_>) -> Option<Secret> {
    const NAME: &str = "HOOKBAY_ADMIN_TOKEN";
    let token = environment.get(NAME)?.trim();
    if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        table.problem(
            NAME,
            "holds more than printable ASCII, which no request can carry",
        );
    }
    (!token.is_empty()).then(|| Secret::new(token))
}

fn trusted_keys(table: &mut Table<'_>) -> TrustedKeys {
    let keys = table.strings("trusted_keys");
    let path = |n: usize| format!("trusted_keys[{n}]");
    let read = keys.iter().enumerate();
    let read = read.filter_map(|(n, text)| table.noted(&path(n), text.parse::<PublicKey>()));
    TrustedKeys::new(read.collect())
}

fn sources(table: &mut Table<'_>, common: &Common<'_>) -> Vec<SourceConfig> {
    let read = |(name, table): (String, Table<'_>)| source::read(&name, table, common);
    let sources: Vec<SourceConfig> = table
        .tables("sources")
        .into_iter()
        .filter_map(read)
        .collect();
    let mut paths = BTreeSet::new();
    for source in &sources {
        if let Some(path) = source.path.as_deref().filter(|path| !paths.insert(*path)) {
            let key = format!("sources.{}.path", source.name);
            table
                .reading()
                .problem(&key, format_args!("another source has `{path}` too"));
        }
    }
    sources
}

#[cfg(test)]
mod tests;
