//! The two addresses, and what stands behind them: the door, quarantine, the admin API.

use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::admin::{Access, Admin, Searches, Streams};
use crate::config::Secret;
use crate::dispatch::{Controls, Shelf};
use crate::http::{Crowd, Patience, Public, Seen, admin_routes, headers, public_routes, serve};
use crate::ingest::{
    Batcher, BatcherTask, Budget, Door, Failures, Learnt, Quarantine, QuarantineTask, Release,
};
use crate::plugin::Rescan;

use super::certificates::Certificates;
use super::stage::Stage;
use super::verifiers::ActiveVerifiers;
use super::{Listeners, Shared};

/// Where requests go.
pub(super) type Intake = (Batcher, Quarantine);

impl Shared {
    /// What becomes of requests: events, or what is set aside.
    pub(super) fn start_intake(&self) -> (Intake, (BatcherTask, QuarantineTask)) {
        let (batcher, storing) = Batcher::start(self.store.clone(), Arc::clone(&self.wakeup));
        let (quarantine, keeping) = Quarantine::start(
            self.store.clone(),
            self.follows.clone(),
            Arc::clone(&self.hints),
            Arc::clone(&self.metrics),
        );
        ((batcher, quarantine), (storing, keeping))
    }

    pub(super) fn release(&self) -> Release {
        Release {
            store: self.store.clone(),
            sources: Arc::clone(&self.sources),
            board: Arc::clone(&self.board),
            wakeup: Arc::clone(&self.wakeup),
            hints: Arc::clone(&self.hints),
            fetched: Arc::clone(&self.fetched),
            verifiers: self.verifiers(),
            clock: self.clock.clone(),
        }
    }

    fn verifiers(&self) -> Arc<ActiveVerifiers> {
        Arc::new(ActiveVerifiers {
            board: Arc::clone(&self.board),
            host: Arc::clone(&self.host),
        })
    }

    /// Both addresses.
    pub(super) fn serve(
        &self,
        (listeners, certificates): (Listeners, Certificates),
        (batcher, quarantine): Intake,
        plugins: (Rescan, Controls),
        token: Secret,
    ) -> Stage {
        let door = Arc::new(Door {
            sources: Arc::clone(&self.sources),
            batcher,
            board: Arc::clone(&self.board),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock.clone(),
            budget: Budget::new(self.bounds.bodies_bytes, self.bounds.body_within),
            failures: Failures::default(),
            quarantine,
            verifiers: self.verifiers(),
            fetched: Arc::clone(&self.fetched),
            learnt: Learnt::new(self.store.clone()),
        });
        let public = Public {
            door: Arc::clone(&door),
            store: self.store.clone(),
            board: Arc::clone(&self.board),
        };
        let Certificates {
            public: tls,
            admin: admin_tls,
        } = certificates;
        let seen = Seen {
            public_url: self.config.public_url.clone().unwrap_or_else(|| {
                let address = listeners.public.local_addr().unwrap_or(self.config.listen);
                format!("http://{address}")
            }),
            is_tls: admin_tls.is_some(),
        };
        let public = headers::public(public_routes(Arc::new(public)), tls.is_some());
        Stage::of(|stop| {
            let admin = self.admin(door, plugins, token, public.clone(), stop.clone());
            let admin = admin_routes(Arc::new(admin), seen);
            let admin = headers::private(admin, admin_tls.is_some());
            let (public_crowd, admin_crowd) = (self.crowd(), self.crowd());
            vec![
                tokio::spawn(serve(
                    listeners.public,
                    public,
                    tls,
                    public_crowd,
                    stop.clone(),
                )),
                tokio::spawn(serve(listeners.admin, admin, admin_tls, admin_crowd, stop)),
            ]
        })
    }

    /// Who may be connected to one of them.
    fn crowd(&self) -> (Crowd, Patience) {
        let sources = Arc::clone(&self.sources);
        let is_spared = move |peer| sources.trusts(peer);
        let crowd = Crowd::new(self.bounds.connections, is_spared);
        (crowd, self.bounds.patience)
    }

    /// What the admin API answers with.
    fn admin(
        &self,
        door: Arc<Door>,
        (rescan, controls): (Rescan, Controls),
        token: Secret,
        public: Router,
        stop: CancellationToken,
    ) -> Admin {
        Admin {
            store: self.store.clone(),
            board: Arc::clone(&self.board),
            sources: Arc::clone(&self.sources),
            metrics: Arc::clone(&self.metrics),
            wakeup: Arc::clone(&self.wakeup),
            registry_changed: Arc::clone(&self.registry_changed),
            operation_begun: Arc::clone(&self.operation_begun),
            release: self.release(),
            config: self.follows.clone(),
            rescan,
            controls,
            shelf: Shelf::new(&self.config.data_dir),
            access: Access::new(token, self.store.clone(), self.clock.clone()),
            clock: self.clock.clone(),
            metrics_open: self.config.metrics_open,
            host_name: Arc::clone(&self.host_name),
            data_dir: self.config.data_dir.clone(),
            backup_turn: Arc::default(),
            door,
            streams: Streams::new(stop),
            searches: Searches::default(),
            public,
        }
    }
}
