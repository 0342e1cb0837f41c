//! From a host to the addresses that may be connected to.
//!
//! One answer of the resolver is filtered and what is left is handed to the connector, which
//! connects to nothing else: a resolver that says something else a moment later is not asked.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use url::Host;

use super::address::{Reach, reach};

/// Most look-ups at once: each holds a thread, also when nobody waits for it any more.
const LOOKUPS_MAX: usize = 64;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Finds the addresses of a name: the system does, and tests that lie.
pub trait Resolve: Send + Sync {
    /// All addresses of a name, best first.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Asks the operating system, as other programs on this machine do.
#[derive(Debug)]
pub struct SystemResolver {
    lookups: Arc<Semaphore>,
}

/// What the operator has granted of addresses.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// Whether addresses that are not public may be connected to.
    pub(super) private: bool,
}

/// Why there is no address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("`{host}` is at {address}, {reason}")]
    Denied {
        host: String,
        address: IpAddr,
        reason: &'static str,
    },
    #[error("`{host}` cannot be resolved: {reason}")]
    Unresolved { host: String, reason: String },
}

impl SystemResolver {
    /// With its own bound of look-ups at once.
    pub fn new() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let permit = Arc::clone(&self.lookups)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let name = name.to_owned();
            let look_up = move || {
                let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 0));
                // The permit goes with the thread: whoever stops waiting does not free it.
                drop(permit);
                found.map(|found| found.map(|address| address.ip()).collect())
            };
            tokio::task::spawn_blocking(look_up).await?
        })
    }
}

/// The addresses that may be connected to, at least one.
///
/// # Errors
/// [`ResolveError::Denied`] if there are only others.
pub(super) async fn approved(
    target: &Target,
    resolver: &dyn Resolve,
) -> Result<Vec<IpAddr>, ResolveError> {
    let found = match &target.host {
        Host::Ipv4(address) => vec![IpAddr::V4(*address)],
        Host::Ipv6(address) => vec![IpAddr::V6(*address)],
        Host::Domain(name) => {
            resolver
                .resolve(name)
                .await
                .map_err(|error| ResolveError::Unresolved {
                    host: name.clone(),
                    reason: error.to_string(),
                })?
        }
    };
    approve(target, found)
}

/// Leaves those addresses of a host that may be connected to.
fn approve(target: &Target, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, ResolveError> {
    let mut refused = None;
    let mut approved = Vec::new();
    for address in found {
        match refusal(target, address) {
            None if approved.len() < ADDRESSES_MAX => approved.push(address),
            None => {}
            Some(reason) => refused = Some((address, reason)),
        }
    }
    if !approved.is_empty() {
        return Ok(approved);
    }
    let host = target.host.to_string();
    Err(match refused {
        Some((address, reason)) => ResolveError::Denied {
            host,
            address,
            reason,
        },
        None => ResolveError::Unresolved {
            host,
            reason: "it has no addresses".to_owned(),
        },
    })
}

/// Why an address may not be connected to.
fn refusal(target: &Target, address: IpAddr) -> Option<&'static str> {
    let is_named = matches!(target.host, Host::Domain(_));
    match (reach(address), target.private) {
        (Reach::Public, _) | (Reach::Private, true) => None,
        (Reach::Private, false) => Some("which is not public and needs `private = true`"),
        // Who writes this very address into a grant means it; a name may lie.
        (Reach::Metadata, true) if !is_named => None,
        (Reach::Metadata, _) => Some("where a cloud serves credentials to its machines"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{ResolveError, Target, approve};
    use crate::config::HttpOrigin;

    fn target(origin: &str, private: bool) -> Target {
        let origin: HttpOrigin = origin.parse().unwrap();
        Target {
            host: origin.host().clone(),
            port: origin.port(),
            private,
        }
    }

    /// What is left of the addresses; nothing if all were denied.
    fn left(origin: &str, private: bool, found: &[&str]) -> String {
        let found: Vec<IpAddr> = found.iter().map(|text| text.parse().unwrap()).collect();
        match approve(&target(origin, private), found) {
            Ok(approved) => {
                let approved: Vec<String> = approved.iter().map(ToString::to_string).collect();
                approved.join(" ")
            }
            Err(ResolveError::Denied { .. }) => String::new(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn only_what_is_granted_is_left() {
        let (public, private, metadata) = ("1.1.1.1", "10.0.0.1", "169.254.169.254");
        for (grant, found, expected) in [
            (false, vec![public], public),
            (false, vec![private], ""),
            (false, vec![metadata], ""),
            (false, vec![private, public, metadata, "::1"], public),
            (false, vec!["::ffff:1.1.1.1", "64:ff9b::1"], ""),
            (true, vec![private], private),
            (true, vec![public, private], "1.1.1.1 10.0.0.1"),
            (true, vec![metadata], ""),
            (true, vec![metadata, private], private),
            (true, vec!["168.63.129.16"], ""),
            (true, vec!["::ffff:169.254.169.254"], ""),
        ] {
            assert_eq!(left("https://h", grant, &found), expected, "{found:?}");
        }
        let many: Vec<String> = (1..=20).map(|n| format!("1.1.1.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(left("https://h", false, &many).split(' ').count(), 8);
    }

    #[test]
    fn a_literal_may_be_metadata_where_it_is_the_grant_itself() {
        let metadata = "169.254.169.254";
        let origin = "http://169.254.169.254";
        assert_eq!(left(origin, true, &[metadata]), metadata);
        assert_eq!(left(origin, false, &[metadata]), "");
        assert_eq!(left("http://metadata.internal", true, &[metadata]), "");
    }

    #[test]
    fn a_refusal_says_where_the_host_is() {
        let denied = approve(
            &target("https://h", false),
            vec!["127.0.0.1".parse().unwrap()],
        );
        assert_eq!(
            denied.unwrap_err().to_string(),
            "`h` is at 127.0.0.1, which is not public and needs `private = true`"
        );
        let none = approve(&target("https://h", false), Vec::new()).unwrap_err();
        assert_eq!(
            none.to_string(),
            "`h` cannot be resolved: it has no addresses"
        );
    }
}
