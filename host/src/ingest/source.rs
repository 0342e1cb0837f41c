//! The sources: inbound addresses, found by name or path.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use axum::http::HeaderMap;

use crate::clock::Timestamp;
use crate::config::{Config, Secret, SourceConfig};
use crate::store::{LearntRow, MatchRow};

use super::address::Networks;
use super::forwarded;
use super::refusal::Refusal;
use super::scheme::key::{Credential, Keyring};

/// One inbound address, and what has been seen of it since the start.
pub struct Source {
    /// What the operator set.
    pub config: SourceConfig,
    /// By what each secret is recognised, and when it last matched, in milliseconds since
    /// 1970; 0 is never.
    matched: Vec<Matched>,
    /// The secret that its sender has brought, if the configuration has none.
    learnt: ArcSwapOption<Learnt>,
    /// What its rate remembers.
    rate_tat_us: AtomicI64,
}

struct Matched {
    fingerprint: String,
    last_ms: AtomicI64,
}

/// A secret that a sender has brought.
pub struct Learnt {
    /// By what it is recognised.
    pub fingerprint: String,
    keys: Keyring,
    last_ms: AtomicI64,
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
        let matched = |secret: &Credential| Matched {
            fingerprint: secret.fingerprint(),
            last_ms: AtomicI64::new(0),
        };
        Self {
            matched: config.secrets.iter().map(matched).collect(),
            learnt: ArcSwapOption::empty(),
            rate_tat_us: AtomicI64::new(0),
            config,
        }
    }

    /// Whether its secret is the one that its sender brings.
    pub(super) fn learns(&self) -> bool {
        self.config.secrets.is_empty() && self.config.provider.learns()
    }

    /// The secret that its sender has brought.
    pub fn learnt(&self) -> Option<Arc<Learnt>> {
        self.learnt.load_full()
    }

    /// What its requests are proven by now.
    pub(super) fn keys(&self) -> Keyring {
        match &*self.learnt.load() {
            Some(learnt) => learnt.keys.clone(),
            None => self.config.keys.clone(),
        }
    }

    /// Whether the scheme can use a secret.
    pub(super) fn can_use(&self, secret: &Secret) -> bool {
        self.keyring(secret).is_some()
    }

    /// Takes over which secret its sender has brought, if any.
    pub(super) fn has_learnt(&self, row: Option<&LearntRow>) {
        let fingerprint = row.map(|row| row.secret.fingerprint());
        let known = self.learnt.load();
        if known.as_ref().map(|known| &known.fingerprint) == fingerprint.as_ref() {
            return;
        }
        let learnt = row.and_then(|row| {
            Some(Arc::new(Learnt {
                fingerprint: fingerprint?,
                keys: self.keyring(&row.secret)?,
                last_ms: AtomicI64::new(0),
            }))
        });
        self.learnt.store(learnt);
    }

    fn keyring(&self, secret: &Secret) -> Option<Keyring> {
        let credential = Credential::Text(secret.clone());
        Keyring::new(&self.config.provider.secret, &[credential]).ok()
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

    /// Counts a verified request against the source's rate.
    ///
    /// # Errors
    /// [`Refusal::OverRate`] says when the next one is taken.
    pub(super) fn take_turn(&self, now: Timestamp) -> Result<(), Refusal> {
        let Some(rate) = self.config.rate_limit else {
            return Ok(());
        };
        let mut tat_us = self.rate_tat_us.load(Ordering::Relaxed);
        loop {
            let allowance = rate.allow(tat_us, now, 1);
            if allowance.count == 0 {
                let wait = allowance.next_at.since(now);
                return Err(Refusal::OverRate { rate, wait });
            }
            let swapped = self.rate_tat_us.compare_exchange_weak(
                tat_us,
                allowance.tat_us,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return Ok(()),
                Err(others) => tat_us = others,
            }
        }
    }

    /// Notes which secret proved a request.
    pub(super) fn secret_matched(&self, secret: Option<usize>, now: Timestamp) {
        let learnt = self.learnt.load();
        let last_ms = match (&*learnt, secret) {
            (Some(learnt), Some(_)) => Some(&learnt.last_ms),
            (None, Some(position)) => self.matched.get(position).map(|one| &one.last_ms),
            (_, None) => None,
        };
        if let Some(last_ms) = last_ms {
            last_ms.fetch_max(now.millis(), Ordering::Relaxed);
        }
    }

    /// By what each of its secrets is recognised, in order, and when it last matched here.
    pub fn secrets(&self) -> Vec<(String, Option<Timestamp>)> {
        let read = |last_ms: &AtomicI64| match last_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Timestamp::from_millis(ms)),
        };
        let configured = self.matched.iter();
        let configured = configured.map(|one| (one.fingerprint.clone(), read(&one.last_ms)));
        let learnt = self.learnt();
        let learnt = learnt
            .iter()
            .map(|one| (one.fingerprint.clone(), read(&one.last_ms)));
        configured.chain(learnt).collect()
    }

    /// Those that have matched here.
    pub(super) fn matches(&self) -> Vec<MatchRow> {
        let source = self.config.name.as_str();
        let row = |(fingerprint, matched_at): (String, Option<Timestamp>)| {
            Some(MatchRow {
                source: source.to_owned(),
                fingerprint,
                matched_at: matched_at?,
            })
        };
        self.secrets().into_iter().filter_map(row).collect()
    }

    /// Goes on where the same secrets were before, under another configuration.
    fn carry_on(&self, before: &Self) {
        for one in &self.matched {
            let mut same = before.matched.iter();
            if let Some(was) = same.find(|was| was.fingerprint == one.fingerprint) {
                let last_ms = was.last_ms.load(Ordering::Relaxed);
                one.last_ms.fetch_max(last_ms, Ordering::Relaxed);
            }
        }
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
            let source = match known {
                Some(same) if same.config == *config => Arc::clone(same),
                known => {
                    let source = Source::new(config.clone());
                    if let Some(before) = known {
                        source.carry_on(before);
                    }
                    Arc::new(source)
                }
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

    /// Whether an address is a proxy's whose word counts.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.configured.load().trusted_proxies.contains(peer)
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
