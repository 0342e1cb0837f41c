//! The sources: inbound addresses, found by name or path.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;

use axum::http::HeaderMap;

use crate::clock::Timestamp;
use crate::config::{Config, SourceConfig};

use super::address::Networks;
use super::forwarded;

/// One inbound address, and what has been seen of it since the start.
pub struct Source {
    /// What the operator set.
    pub config: SourceConfig,
    /// When each secret last matched, in milliseconds since 1970; 0 is never.
    matched_ms: Vec<AtomicI64>,
}

/// All sources, as they are configured now.
#[derive(Default)]
pub struct Sources {
    configured: ArcSwap<Configured>,
    /// Those that an operator has paused, configured or not.
    paused: ArcSwap<HashSet<String>>,
}

#[derive(Default)]
struct Configured {
    by_name: HashMap<String, Arc<Source>>,
    by_path: HashMap<String, Arc<Source>>,
    /// Whose word on addresses counts.
    trusted_proxies: Networks,
}

impl Source {
    fn new(config: SourceConfig) -> Self {
        let matched_ms = config.secrets.iter().map(|_| AtomicI64::new(0)).collect();
        Self { config, matched_ms }
    }

    /// Whether anything can come by this method: events, or what comes before them.
    pub(super) fn takes(&self, method: &str) -> bool {
        let provider = &self.config.provider;
        let mut asked = provider
            .handshakes
            .iter()
            .flat_map(|handshake| &handshake.methods);
        provider.takes(method) || asked.any(|known| known == method)
    }

    /// The methods by which events come, with commas between.
    pub(super) fn methods(&self) -> String {
        self.config.provider.methods.join(", ")
    }

    /// Notes which secret proved a request.
    pub(super) fn secret_matched(&self, secret: Option<usize>, now: Timestamp) {
        if let Some(matched) = secret.and_then(|position| self.matched_ms.get(position)) {
            matched.store(now.millis(), Ordering::Relaxed);
        }
    }

    /// When each secret last matched.
    pub fn secrets_matched(&self) -> Vec<Option<Timestamp>> {
        let read = |matched: &AtomicI64| match matched.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Timestamp::from_millis(ms)),
        };
        self.matched_ms.iter().map(read).collect()
    }
}

impl Sources {
    /// The sources of a configuration.
    pub fn new(config: &Config) -> Self {
        let sources = Self::default();
        sources.replace(config);
        sources
    }

    /// Takes over a configuration. A source that has not changed goes on as it was;
    /// requests that are under way end as they began.
    pub fn replace(&self, config: &Config) {
        let before = self.configured.load();
        let mut now = Configured {
            trusted_proxies: config.trusted_proxies.clone(),
            ..Configured::default()
        };
        for config in &config.sources {
            let known = before.by_name.get(config.name.as_str());
            let source = match known.filter(|known| known.config == *config) {
                Some(same) => Arc::clone(same),
                None => Arc::new(Source::new(config.clone())),
            };
            if let Some(path) = &config.path {
                now.by_path.insert(path.clone(), Arc::clone(&source));
            }
            now.by_name.insert(config.name.to_string(), source);
        }
        self.configured.store(Arc::new(now));
    }

    /// The source that a request's path names.
    pub fn at(&self, path: &str) -> Option<Arc<Source>> {
        let configured = self.configured.load();
        let source = match path.strip_prefix("/webhooks/") {
            Some(name) => configured.by_name.get(name),
            None => configured.by_path.get(path),
        };
        source.cloned()
    }

    /// Whether the source takes nothing for now.
    pub fn is_paused(&self, source: &Source) -> bool {
        self.paused.load().contains(source.config.name.as_str())
    }

    /// Takes over which sources are paused.
    pub fn pause_only(&self, names: impl IntoIterator<Item = String>) {
        self.paused.store(Arc::new(names.into_iter().collect()));
    }

    /// The source of this name.
    pub fn named(&self, name: &str) -> Option<Arc<Source>> {
        self.configured.load().by_name.get(name).cloned()
    }

    /// The address that a request came from, given whom we spoke to.
    pub fn remote(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let configured = self.configured.load();
        let lines = |name| {
            headers
                .get_all(name)
                .into_iter()
                .map(|line| line.as_bytes())
        };
        let (forwarded, x_forwarded_for) = (lines("forwarded"), lines("x-forwarded-for"));
        let trusted = &configured.trusted_proxies;
        forwarded::client(peer, trusted, forwarded, x_forwarded_for)
    }

    /// All sources, by name.
    pub fn all(&self) -> Vec<Arc<Source>> {
        let mut all: Vec<Arc<Source>> = self.configured.load().by_name.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.config.name.cmp(&b.config.name));
        all
    }
}
