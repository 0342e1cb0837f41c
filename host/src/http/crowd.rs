//! Who is connected: how many at once, of all addresses and of one.
//!
//! One sender that opens connections and says nothing must not leave the others none. A
//! proxy that is trusted speaks for many, so that only the bound of all holds for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ingest::address::one_host;

/// How many connections an address takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// From everywhere.
    pub all: usize,
    /// From one host: an IPv4 address, or the /64 that one IPv6 host has to itself.
    pub of_one_host: usize,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            all: 10_000,
            of_one_host: 1000,
        }
    }
}

/// Counts connections; clones count together.
#[derive(Clone)]
pub struct Crowd {
    connections: Connections,
    is_spared: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Default)]
struct Counted {
    all: usize,
    /// Whether the log has heard that there is no place left, since there was one.
    is_full: bool,
    of_hosts: HashMap<IpAddr, OfHost>,
}

#[derive(Default)]
struct OfHost {
    connections: usize,
    is_told: bool,
}

/// The place of a connection, which it gives back when it is dropped.
pub(super) struct Place {
    crowd: Crowd,
    /// None where only the bound of all holds.
    host: Option<IpAddr>,
}

impl Crowd {
    /// Nobody yet. `is_spared` says of which addresses any number may come.
    pub fn new(
        connections: Connections,
        is_spared: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            connections,
            is_spared: Arc::new(is_spared),
            counted: Arc::default(),
        }
    }

    /// A place for a connection, if there is one left.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let host = (!(self.is_spared)(peer)).then(|| one_host(peer));
        let mut counted = self.counted();
        if counted.all >= self.connections.all {
            if !std::mem::replace(&mut counted.is_full, true) {
                let limit = self.connections.all;
                tracing::warn!(limit, "too many connections; more are closed at once");
            }
            return None;
        }
        if let Some(host) = host {
            let limit = self.connections.of_one_host;
            let of_host = counted.of_hosts.entry(host).or_default();
            if of_host.connections >= limit {
                if !std::mem::replace(&mut of_host.is_told, true) {
                    tracing::warn!(%peer, limit, "too many connections of one host; more are closed at once");
                }
                return None;
            }
            of_host.connections += 1;
        }
        counted.all += 1;
        Some(Place {
            crowd: self.clone(),
            host,
        })
    }

    fn leave(&self, host: Option<IpAddr>) {
        let mut counted = self.counted();
        counted.all = counted.all.saturating_sub(1);
        counted.is_full &= counted.all > self.connections.all / 2;
        let Some(host) = host else { return };
        if let Some(of_host) = counted.of_hosts.get_mut(&host) {
            of_host.connections = of_host.connections.saturating_sub(1);
            if of_host.connections == 0 {
                counted.of_hosts.remove(&host);
            }
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.leave(self.host);
    }
}

#[cfg(test)]
mod tests {
    use super::{Connections, Crowd, Place};

    fn enter(crowd: &Crowd, peer: &str) -> Option<Place> {
        crowd.enter(peer.parse().unwrap())
    }

    #[test]
    fn one_host_leaves_places_to_others() {
        let connections = Connections {
            all: 5,
            of_one_host: 2,
        };
        let spared = "10.0.0.1".parse::<std::net::IpAddr>().unwrap();
        let crowd = Crowd::new(connections, move |peer| peer == spared);
        let first = enter(&crowd, "192.0.2.1").unwrap();
        let second = enter(&crowd, "::ffff:192.0.2.1").unwrap();
        assert!(enter(&crowd, "192.0.2.1").is_none());
        drop(first);
        let third = enter(&crowd, "192.0.2.1").unwrap();
        assert!(enter(&crowd, "192.0.2.1").is_none());
        // One host has a /64.
        let v6 = [
            enter(&crowd, "2001:db8::1"),
            enter(&crowd, "2001:db8::ffff:0:0:1"),
        ];
        assert!(v6.iter().all(Option::is_some) && enter(&crowd, "2001:db8::2").is_none());
        drop(v6);
        let proxied: Vec<_> = (0..3).filter_map(|_| enter(&crowd, "10.0.0.1")).collect();
        assert_eq!(proxied.len(), 3, "a proxy speaks for many");
        for peer in ["10.0.0.1", "192.0.2.9"] {
            assert!(enter(&crowd, peer).is_none(), "all places are taken");
        }
        drop(proxied);
        assert!(enter(&crowd, "192.0.2.9").is_some());
        // Who is gone is forgotten.
        drop((second, third));
        assert!(crowd.counted().of_hosts.is_empty());
    }
}
