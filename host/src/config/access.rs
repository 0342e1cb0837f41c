//! How the command line reaches a running host's admin API.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Environment};

/// The token's file in `data_dir`.
pub(crate) const TOKEN_FILE: &str = "admin-token";

/// Address and credential of a host's admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAccess {
    /// Such as `http://127.0.0.1:8081`.
    pub url: String,
    /// The token itself, if the environment gives it.
    pub token: Option<String>,
    /// The file that holds it, otherwise.
    pub token_file: Option<PathBuf>,
}

impl AdminAccess {
    /// Command line first, then the environment, then what the local
    /// configuration says about a host that runs here.
    ///
    /// # Errors
    /// The configuration's problems, where it is needed.
    pub fn resolve(
        config: Option<&Path>,
        url: Option<String>,
        token_file: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let environment = Environment::of_process();
        let url = url.or_else(|| environment.get("HOOKBAY_ADMIN_URL").map(str::to_owned));
        let token = match &token_file {
            Some(_) => None,
            None => environment.get("HOOKBAY_ADMIN_TOKEN").map(str::to_owned),
        };
        if let (Some(url), true) = (&url, token.is_some() || token_file.is_some()) {
            return Ok(Self {
                url: url.clone(),
                token,
                token_file,
            });
        }
        let local = Config::load(config)?;
        let scheme = if local.admin_tls.is_some() {
            "https"
        } else {
            "http"
        };
        let own = url_of(scheme, local.admin_listen);
        let url = url.unwrap_or_else(|| own.clone());
        // The token of this machine's host is shown to this machine only.
        let is_here = names_this_machine(&url) || url == own;
        let token_file = match &token {
            Some(_) => None,
            None => token_file.or_else(|| is_here.then(|| local.token_file())),
        };
        Ok(Self {
            url,
            token,
            token_file,
        })
    }
}

/// Where programs of this user keep what they were doing (XDG Base Directory).
pub(crate) fn state_dir() -> Option<PathBuf> {
    let environment = Environment::of_process();
    let given = |name| environment.get(name).filter(|text| text.starts_with('/'));
    let state = given("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(Path::new(given("HOME")?).join(".local/state")));
    Some(state?.join("hookbay"))
}

/// Where a host that listens on an address is reached from here.
fn url_of(scheme: &str, listen: SocketAddr) -> String {
    let reached = match listen.ip() {
        IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    format!("{scheme}://{}", SocketAddr::new(reached, listen.port()))
}

/// Whether a URL's host is the loopback interface.
fn names_this_machine(url: &str) -> bool {
    let Ok(uri) = url.parse::<axum::http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_loopback_is_this_machine() {
        for (url, expected) in [
            ("http://127.0.0.1:8081", true),
            ("http://localhost", true),
            ("https://[::1]:1/x", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("https://hooks.example.com", false),
            ("http://user@10.0.0.1", false),
            ("nonsense", false),
        ] {
            assert_eq!(super::names_this_machine(url), expected, "{url}");
        }
    }
}
