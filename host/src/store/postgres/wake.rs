//! What hosts tell each other: that runs were stored, that the registry changed.
//! Hints over LISTEN and NOTIFY; whoever misses one looks by itself.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::timeout;

use crate::config::PostgresUrl;
use crate::run::PluginId;

use super::super::sql::sql;
use super::super::{Store, StoreError};
use super::options;

const CHANNEL: &str = "hookbay";
const REGISTRY: &str = "registry";
/// After so long without a word it is asked whether there could be one.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// Something that another host said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// These plugins may have runs that are due.
    Runs(Vec<PluginId>),
    /// What is known of plugins has changed.
    Registry,
    /// The connection was lost for a while: anything may have been said.
    Anything,
}

/// Listens to the other hosts.
pub struct WakeListener(PgListener);

impl WakeListener {
    pub(super) async fn connect(url: &PostgresUrl) -> Result<Self, StoreError> {
        let options = options(url, false)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// The next thing that is said, our own words among them.
    ///
    /// # Errors
    /// [`StoreError`] while the database does not answer.
    pub async fn next(&mut self) -> Result<Wake, StoreError> {
        let said = loop {
            match timeout(QUIET_MAX, self.0.try_recv()).await {
                Ok(said) => break said?,
                Err(_) => self.ask().await?,
            }
        };
        let Some(said) = said else {
            return Ok(Wake::Anything);
        };
        if said.payload() == REGISTRY {
            return Ok(Wake::Registry);
        }
        let plugins = said.payload().split(',').filter_map(|id| id.parse().ok());
        Ok(Wake::Runs(plugins.map(PluginId).collect()))
    }

    /// Whether anything can be heard at all: a way that has gone silent never says so.
    async fn ask(&mut self) -> Result<(), StoreError> {
        let asked = timeout(QUIET_MAX, self.0.execute("select 1")).await;
        asked.map_err(|_| StoreError::Unavailable("it does not answer who listens"))??;
        Ok(())
    }
}

impl Store {
    /// Tells other hosts that these plugins may have runs that are due.
    ///
    /// # Errors
    /// [`StoreError`] if it was not said.
    pub async fn tell_runs(&self, plugins: &[PluginId]) -> Result<(), StoreError> {
        let ids: Vec<String> = plugins.iter().map(|plugin| plugin.0.to_string()).collect();
        // A payload has 8,000 bytes at most; whoever is left out looks by itself.
        self.tell(
            ids.iter()
                .take(400)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(","),
        )
        .await
    }

    /// Tells other hosts that the registry has changed.
    ///
    /// # Errors
    /// [`StoreError`] if it was not said.
    pub async fn tell_registry(&self) -> Result<(), StoreError> {
        self.tell(REGISTRY.to_owned()).await
    }

    async fn tell(&self, what: String) -> Result<(), StoreError> {
        let super::super::Engine::Postgres(engine) = &self.0.engine else {
            return Ok(());
        };
        let mut tx = engine.sessions.single().await?;
        tx.execute(sql("select pg_notify($1, $2)").bind(CHANNEL).bind(what))
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
