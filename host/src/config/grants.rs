//! What a plugin may reach and use: `http` and `secrets` of `[plugins.NAME]`.
//!
//! A grant is read into types that cannot be wrong: an origin is a scheme, a host and a port
//! and nothing else, and an endpoint names only secrets that are there. Whether an address
//! behind a host may be reached is not decided here but at each connection
//! (`plugin/egress`), because a name's addresses change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

use super::reader::Table;
use super::secret::{self, Secret};

/// Longest name of an endpoint or a secret.
const NAME_MAX: usize = 64;
/// Shortest secret of a plugin, in bytes: a shorter one would be found, and hidden, in
/// answers that do not hold it.
const SECRET_MIN: usize = 8;
/// Longest secret of a plugin, in bytes: every answer is searched for it.
const SECRET_MAX: usize = 8 << 10;

/// Where the calls of one endpoint go, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointGrant {
    /// Scheme, host and port, the same for each call.
    pub origin: HttpOrigin,
    /// Names of the secrets that the plugin may send there.
    pub secrets: BTreeSet<String>,
    /// Whether addresses that are not public may be connected to.
    pub private: bool,
}

/// Scheme, host and port of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOrigin {
    is_https: bool,
    /// A name in ASCII (IDNA) or an address, in whatever form it was written.
    host: Host<String>,
    port: u16,
}

/// Why a text is not an origin; none says the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// No URL at all.
    #[error("is not an address ({0})")]
    NotAddress(url::ParseError),
    /// More than scheme, host and port, or another scheme.
    #[error(
        "must be `https://HOST` or `https://HOST:PORT` (or `http:`), without path, query, user \
         and password"
    )]
    NotOrigin,
}

/// What `[plugins.NAME]` grants.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) endpoints: BTreeMap<String, EndpointGrant>,
    pub(super) secrets: BTreeMap<String, Secret>,
}

impl HttpOrigin {
    /// Whether calls are encrypted.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The name or address of the server.
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The port, also where it is the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stands between scheme and path: the host, and the port unless it is the scheme's.
    pub fn authority(&self) -> String {
        match (self.is_https, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for HttpOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let url = Url::parse(text).map_err(OriginError::NotAddress)?;
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(OriginError::NotOrigin),
        };
        // The parser forgets an empty user, as in `https://@host`.
        let is_bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && !text.contains(['@', '\\']);
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) if is_bare => Ok(Self {
                is_https,
                host: host.to_owned(),
                port,
            }),
            (_, _) => Err(OriginError::NotOrigin),
        }
    }
}

/// Reads `http` and `secrets` of a plugin's table and notes their problems.
pub(super) fn read(table: &mut Table<'_>) -> Granted {
    let mut granted = Granted::default();
    // A secret that could not be read is known all the same: one problem, not two.
    let mut named = BTreeSet::new();
    if let Some(secrets) = table.table("secrets") {
        let path = secrets.path_of("");
        let reading = secrets.reading();
        for (name, value) in secrets.into_rest() {
            let key = format!("{path}.{name}");
            if let Err(problem) = check_grant_name(&name) {
                reading.problem(&key, problem);
            }
            if let Some(secret) = secret::secret(&key, value, reading) {
                match checked_length(&secret) {
                    Ok(()) => {
                        granted.secrets.insert(name.clone(), secret);
                    }
                    Err(problem) => reading.problem(&key, problem),
                }
            }
            named.insert(name);
        }
    }
    for (name, endpoint) in table.tables("http") {
        if let Err(problem) = check_grant_name(&name) {
            endpoint.problem("", problem);
        }
        if let Some(endpoint) = read_endpoint(endpoint, &named) {
            granted.endpoints.insert(name, endpoint);
        }
    }
    granted
}

fn read_endpoint(mut table: Table<'_>, named: &BTreeSet<String>) -> Option<EndpointGrant> {
    let private = table.boolean("private").unwrap_or(false);
    let origin = match table.string("origin") {
        Some(text) => table.noted("origin", text.parse::<HttpOrigin>()),
        None => {
            table.problem("origin", "is missing");
            None
        }
    };
    if origin.as_ref().is_some_and(|origin| !origin.is_https) && !private {
        table.problem(
            "origin",
            "must be `https`; plain `http` needs `private = true`",
        );
    }
    let secrets: BTreeSet<String> = table.strings("secrets").into_iter().collect();
    for name in secrets.difference(named) {
        table.problem(
            "secrets",
            format_args!("there is no secret `{name}` under the plugin's `secrets`"),
        );
    }
    table.finish();
    Some(EndpointGrant {
        origin: origin?,
        secrets,
        private,
    })
}

/// Checks the name of an endpoint or a secret, which stands in metrics, in headers of recorded
/// calls and in `[secret NAME]`.
///
/// # Errors
/// What a name is.
pub fn check_grant_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "must be named with 1 to {NAME_MAX} of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`"
    ))
}

fn checked_length(secret: &Secret) -> Result<(), String> {
    if (SECRET_MIN..=SECRET_MAX).contains(&secret.expose().len()) {
        return Ok(());
    }
    Err(format!(
        "a plugin's secret has {SECRET_MIN} to {SECRET_MAX} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::{HttpOrigin, OriginError};

    #[test]
    fn origins_are_read_in_one_form() {
        for (text, expected) in [
            ("https://api.notion.com", "https://api.notion.com"),
            ("https://api.notion.com/", "https://api.notion.com"),
            ("HTTPS://API.Notion.com:443", "https://api.notion.com"),
            ("https://h:8443", "https://h:8443"),
            ("http://h:80", "http://h"),
            ("http://h:443", "http://h:443"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://2130706433", "https://127.0.0.1"),
            ("https://0x7f.1", "https://127.0.0.1"),
            ("https://[0:0::1]:1", "https://[::1]:1"),
        ] {
            let origin: HttpOrigin = text.parse().unwrap();
            assert_eq!(origin.to_string(), expected, "{text}");
            let again: HttpOrigin = origin.to_string().parse().unwrap();
            assert_eq!(again, origin, "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "https://h/v1",
            "https://h/?a",
            "https://h?",
            "https://h#",
            "https://user@h",
            "https://user:hunter2@h",
            "https://@h",
            "https:\\\\h",
            "ftp://h",
            "ws://h",
            "file:///etc/passwd",
            "data:,x",
        ] {
            let refused = text.parse::<HttpOrigin>();
            assert_eq!(refused, Err(OriginError::NotOrigin), "{text}");
        }
        for text in ["", "h", "https://", "https://h:99999", "https://256.1.1.1"] {
            let refused = text.parse::<HttpOrigin>();
            assert!(
                matches!(refused, Err(OriginError::NotAddress(_))),
                "{text}: {refused:?}"
            );
        }
    }
}
