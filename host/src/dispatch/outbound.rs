//! What the attempts of a plugin share of the outside: its connections and its secrets.
//!
//! They are made when the first attempt needs them and again when the plugin's grants have
//! changed; an attempt that is under way keeps those that it began with. What may be called
//! is decided in `plugin::egress`; here it is counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::config::PluginConfig;
use crate::metrics::Metrics;
use crate::name::PluginName;
use crate::plugin::egress::{Egress, Fetch, FetchError, Fetched, Fetcher, Network, status_label};
use crate::plugin::secrets::Secrets;

/// The outside of all plugins of this host.
pub(super) struct Outbound {
    network: Network,
    metrics: Arc<Metrics>,
    /// One for each plugin that has run.
    made: Mutex<HashMap<PluginName, Made>>,
}

/// What was made for one plugin, and for which grants.
struct Made {
    settings: Arc<PluginConfig>,
    fetcher: Arc<Counted>,
    secrets: Arc<Secrets>,
}

/// Counts the calls of one plugin.
struct Counted {
    egress: Egress,
    plugin: PluginName,
    metrics: Arc<Metrics>,
}

impl Outbound {
    pub(super) fn new(network: Network, metrics: Arc<Metrics>) -> Self {
        Self {
            network,
            metrics,
            made: Mutex::default(),
        }
    }

    /// What makes a plugin's calls, and the secrets that it may use.
    pub(super) fn of(
        &self,
        plugin: &PluginName,
        settings: &Arc<PluginConfig>,
    ) -> (Arc<dyn Fetcher>, Arc<Secrets>) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let found = made.get(plugin).filter(|made| made.is_for(settings));
        if let Some(found) = found {
            let fetcher: Arc<Counted> = Arc::clone(&found.fetcher);
            return (fetcher, Arc::clone(&found.secrets));
        }
        let secrets = Arc::new(Secrets::new(&settings.secrets));
        let fetcher = Arc::new(Counted {
            egress: Egress::new(&settings.http, Arc::clone(&secrets), &self.network),
            plugin: plugin.clone(),
            metrics: Arc::clone(&self.metrics),
        });
        let new = Made {
            settings: Arc::clone(settings),
            fetcher: Arc::clone(&fetcher),
            secrets: Arc::clone(&secrets),
        };
        made.insert(plugin.clone(), new);
        (fetcher, secrets)
    }
}

impl Made {
    /// Whether these settings grant the same.
    fn is_for(&self, settings: &Arc<PluginConfig>) -> bool {
        Arc::ptr_eq(&self.settings, settings)
            || (self.settings.http == settings.http && self.settings.secrets == settings.secrets)
    }
}

impl Fetcher for Counted {
    fn fetch<'a>(
        &'a self,
        fetch: &'a Fetch,
        idempotency_key: &'a str,
        most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let answer = self.egress.fetch(fetch, idempotency_key, most).await;
            let endpoint = self.egress.label(&fetch.endpoint);
            self.metrics
                .egress_requested(&self.plugin, endpoint, &status_label(&answer));
            answer
        })
    }
}
