//! The composition root: what is started, in order, and stopped in reverse.
//!
//! Store, plugins, dispatch, the door, the two addresses. The bound listeners and
//! the clock are arguments, so that tests run the whole host on port 0 and own
//! time.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};

use crate::clock::Clock;
use crate::config::Config;
use crate::dispatch::upkeep::Heartbeat;
use crate::dispatch::{
    Alerts, Controls, Dispatcher, LeaseHolds, Operations, Policy, Presence, Retention, SharedBoard,
    Shelf, Wakeup, neighbours, upkeep,
};
use crate::ingest::{BatcherTask, Fetch, Fetched, Hints, QuarantineTask, Sources, learnt, pauses};
use crate::metrics::Metrics;
use crate::plugin::egress::Network;
use crate::plugin::{Directory, EngineError, PluginHost, Rescan};
use crate::store::{Settings, Store, StoreError};
use crate::traces::export::{self, Exporter};

mod addresses;
mod bounds;
mod certificates;
mod data_dir;
mod outside;
pub(crate) mod permissions;
mod reload;
mod stage;
pub(crate) mod verifiers;
mod warnings;

pub use bounds::Bounds;

use certificates::Certificates;
use data_dir::DataDir;
use outside::Outside;
use reload::Reload;
use stage::Stage;

/// What a scan may find before it waits for us.
const FOUND: usize = 16;

/// Why the host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Plugins cannot be run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The data directory cannot be used.
    #[error("cannot use data directory `{path}`: {error}")]
    DataDir {
        /// The directory.
        path: String,
        /// What stands in the way.
        error: std::io::Error,
    },
}

/// The two addresses, bound.
pub struct Listeners {
    /// For webhooks.
    pub public: TcpListener,
    /// For operators.
    pub admin: TcpListener,
}

/// What is around the host.
pub struct Surroundings {
    /// What plugins reach.
    pub network: Network,
    /// What the door fetches from the internet.
    pub fetch: Arc<dyn Fetch>,
    /// What strangers may take of it.
    pub bounds: Bounds,
}

impl Default for Surroundings {
    fn default() -> Self {
        let network = Network::system();
        Self {
            fetch: Arc::new(Outside(network.clone())),
            network,
            bounds: Bounds::default(),
        }
    }
}

/// A host that runs.
pub struct App {
    /// What everything writes to.
    pub store: Store,
    config: Arc<Config>,
    /// Rung to have the configuration read again.
    reload: Arc<Notify>,
    addresses: Stage,
    batcher: BatcherTask,
    quarantine: QuarantineTask,
    dispatch: Stage,
    upkeep: Stage,
    presence: Stage,
    /// Nobody else's as long as we run.
    _data_dir: DataDir,
}

impl App {
    /// Starts everything; returns when webhooks are received.
    ///
    /// # Errors
    /// [`StartError`], with nothing left running.
    pub async fn start(
        config: Config,
        listeners: Listeners,
        clock: Clock,
    ) -> Result<Self, StartError> {
        Self::start_in(config, listeners, clock, Surroundings::default()).await
    }

    /// The same in other surroundings.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn start_in(
        config: Config,
        listeners: Listeners,
        clock: Clock,
        surroundings: Surroundings,
    ) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let (store, data_dir) = open(&config, clock).await?;
        // Every host of one database goes by that database's clock.
        let clock = store.clock();
        let cache_dir = config.data_dir.join("cache");
        let host = PluginHost::start(config.maxima, clock.clone(), Some(&cache_dir))?;
        let host = host.trusting(config.trusted_keys.clone());
        let reload = Arc::<Notify>::default();
        let (in_force, follows) = watch::channel(Arc::clone(&config));
        let host_name = Arc::<str>::from(host_name());
        let (traces, exporter) = export::of(
            config.otlp.as_ref(),
            &clock,
            &surroundings.network,
            &host_name,
        );
        let shared = Shared {
            config: Arc::clone(&config),
            follows,
            sources: Arc::new(Sources::new(&config)),
            store: store.clone(),
            host: Arc::new(host),
            board: SharedBoard::default(),
            wakeup: Arc::default(),
            metrics: Arc::new(Metrics::new().tracing(traces)),
            network: surroundings.network,
            bounds: surroundings.bounds,
            hints: Arc::default(),
            fetched: Arc::new(Fetched::new(surroundings.fetch, clock.clone())),
            clock,
            host_name,
            registry_changed: Arc::default(),
            operation_begun: Arc::default(),
        };
        pauses::read(&shared.store, &shared.sources).await?;
        learnt::read(&shared.store, &shared.sources).await?;
        let (presence, plugins) = shared.start_presence().await?;
        let certificates = Certificates::of(&config);
        let reloading = Reload::new(
            in_force,
            Arc::clone(&shared.sources),
            certificates.clone(),
            Arc::clone(&reload),
        );
        let (upkeep, lease) = shared.start_upkeep(reloading, exporter);
        let dispatch = shared.start_dispatch(lease);
        let (intake, (batcher, quarantine)) = shared.start_intake();
        let listeners = (listeners, certificates);
        let addresses = shared.serve(listeners, intake, plugins, data_dir.token.clone());
        Ok(Self {
            store,
            config,
            reload,
            addresses,
            batcher,
            quarantine,
            dispatch,
            upkeep,
            presence,
            _data_dir: data_dir,
        })
    }

    /// What it was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Has the configuration read again now.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Stops in reverse: takes nothing more, stores what it took, lets attempts
    /// end within the grace, and closes the database.
    pub async fn stop(self) {
        self.addresses.end().await;
        self.batcher.end().await;
        self.quarantine.end().await;
        self.dispatch.end().await;
        self.upkeep.end().await;
        self.presence.end().await;
        self.store.close().await;
    }
}

/// Opens what the host keeps things in, and ends what the start before this one left.
async fn open(config: &Config, clock: Clock) -> Result<(Store, DataDir), StartError> {
    let store = Store::open(&Settings::of(config), clock).await?;
    let data_dir = match DataDir::prepare(config) {
        Ok(data_dir) => data_dir,
        Err(error) => {
            store.close().await;
            return Err(error);
        }
    };
    warnings::say(config, &store).await?;
    if let Some(epoch) = data_dir.replace_epoch(store.epoch())? {
        // The start before this one is over: nobody need wait for its lease.
        store.end_lease(epoch).await?;
    }
    Ok((store, data_dir))
}

/// What the parts of the host share.
struct Shared {
    /// What it was started with.
    config: Arc<Config>,
    /// What is in force now.
    follows: watch::Receiver<Arc<Config>>,
    sources: Arc<Sources>,
    store: Store,
    host: Arc<PluginHost>,
    board: SharedBoard,
    wakeup: Arc<Wakeup>,
    metrics: Arc<Metrics>,
    network: Network,
    bounds: Bounds,
    hints: Arc<Hints>,
    fetched: Arc<Fetched>,
    clock: Clock,
    host_name: Arc<str>,
    /// Rung when an operator or another host has changed the registry.
    registry_changed: Arc<Notify>,
    /// Rung when an operator has begun an operation.
    operation_begun: Arc<Notify>,
}

impl Shared {
    /// Which plugins are here: the directory's scans, and what becomes of them.
    async fn start_presence(&self) -> Result<(Stage, (Rescan, Controls)), StoreError> {
        let directory = Directory::new(
            &self.config.plugins_dir,
            self.config.trusted_keys.are_required(),
        );
        let rescan = directory.rescan();
        let (controls, queue) = Controls::new();
        let presence = Presence {
            config: self.follows.clone(),
            store: self.store.clone(),
            host: Arc::clone(&self.host),
            board: Arc::clone(&self.board),
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            wakeup: Arc::clone(&self.wakeup),
            registry_changed: Arc::clone(&self.registry_changed),
            shelf: Shelf::new(&self.config.data_dir),
            rescan: rescan.clone(),
        };
        presence.read_registry().await?;
        let (found, finds) = mpsc::channel(FOUND);
        let stage = Stage::of(|stop| {
            let stopped = stop.clone();
            let watch = async move {
                tokio::select! { () = directory.run(found) => {}, () = stop.cancelled() => {} }
            };
            vec![
                tokio::spawn(presence.run(finds, queue, stopped)),
                tokio::spawn(watch),
            ]
        });
        Ok((stage, (rescan, controls)))
    }

    fn start_dispatch(&self, lease: LeaseHolds) -> Stage {
        let dispatcher = Dispatcher {
            store: self.store.clone(),
            host: Arc::clone(&self.host),
            board: Arc::clone(&self.board),
            wakeup: Arc::clone(&self.wakeup),
            metrics: Arc::clone(&self.metrics),
            network: self.network.clone(),
            clock: self.clock.clone(),
            host_name: Arc::clone(&self.host_name),
            slots: self.config.maxima.concurrent_runs,
            grace: self.config.shutdown_grace,
            lease,
        };
        Stage::of(|stop| vec![tokio::spawn(dispatcher.run(stop))])
    }

    /// Tells somebody when something is wrong.
    fn alerts(&self) -> Alerts {
        Alerts {
            store: self.store.clone(),
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            config: self.follows.clone(),
            network: self.network.clone(),
            host_name: Arc::clone(&self.host_name),
        }
    }

    fn start_upkeep(&self, reload: Reload, exporter: Option<Exporter>) -> (Stage, LeaseHolds) {
        let (heartbeat, lease) = Heartbeat::new(
            self.store.clone(),
            Arc::clone(&self.board),
            Arc::clone(&self.wakeup),
            Arc::clone(&self.host_name),
            self.config.lease,
        );
        let store = || self.store.clone();
        let wakeup = || Arc::clone(&self.wakeup);
        let sources = Arc::clone(&self.sources);
        let registry = Arc::clone(&self.registry_changed);
        let (metrics, clock) = (Arc::clone(&self.metrics), self.clock.clone());
        let operations = Operations::new(
            store(),
            Arc::clone(&self.board),
            wakeup(),
            Arc::clone(&self.operation_begun),
            Arc::new(self.release()),
            clock.clone(),
        );
        let policy = Policy::of(&self.config);
        let alerts = self.alerts();
        let stage = Stage::of(|stop| {
            let retention = Retention::new(store(), policy, wakeup(), stop.clone());
            let retention = retention.following(self.follows.clone());
            let exporting = exporter.map(|exporter| tokio::spawn(exporter.run(stop.clone())));
            let mut tasks = vec![
                tokio::spawn(reload.run(stop.clone())),
                tokio::spawn(heartbeat.run(stop.clone())),
                tokio::spawn(operations.run(stop.clone())),
                tokio::spawn(alerts.run(stop.clone())),
                tokio::spawn(retention.run()),
                tokio::spawn(upkeep::run(store(), metrics, clock, stop.clone())),
                tokio::spawn(learnt::follow(store(), Arc::clone(&sources), stop.clone())),
                tokio::spawn(pauses::follow(store(), sources, stop.clone())),
                tokio::spawn(neighbours::tell(store(), wakeup(), stop.clone())),
                tokio::spawn(neighbours::hear(store(), wakeup(), registry, stop)),
            ];
            tasks.extend(exporting);
            tasks
        });
        (stage, lease)
    }
}

/// This host's name, for people.
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
