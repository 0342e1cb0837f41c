//! The admin API from a terminal: one client, its options, and its errors.
//!
//! It talks only to the address that it was given: no proxy from the environment, no
//! redirects. Where the address and the token come from when no option names them is
//! [`crate::config::AdminAccess`]'s to say; what the answers look like is for the commands.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CommandError;
use crate::config::AdminAccess;

mod error;
mod long;

pub(crate) use error::ClientError;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for a whole answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait for an answer that takes its time.
const LONG_TIMEOUT: Duration = Duration::from_hours(24);

/// How long a connection without a request is kept: shorter than anybody waits before another
/// try, which may then reach another of the hosts behind the address.
const IDLE_TIMEOUT: Duration = Duration::from_millis(300);

/// The largest JSON answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A query parameter; without a value it is left out.
pub(crate) type Parameter<'a> = (&'static str, Option<&'a str>);

/// How to reach a running host: the options that every admin command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct AdminArgs {
    /// The host's admin address [default: HOOKBAY_ADMIN_URL, else the configuration's]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// A file that holds the admin token [default: HOOKBAY_ADMIN_TOKEN, else the one in data_dir]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Print the API's JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A client for `/api/v1` of one host.
#[derive(Debug)]
pub(crate) struct AdminClient {
    http: reqwest::Client,
    base: Url,
    token_origin: String,
}

/// The members of `application/problem+json` that are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemJson {
    title: Option<String>,
    detail: Option<String>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    /// What is on it, newest first.
    pub(crate) items: Vec<T>,
    /// Where the next one begins; none on the last.
    #[serde(default)]
    pub(crate) next_cursor: Option<String>,
}

impl AdminClient {
    /// The client for the host that the options, the environment or the configuration name.
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`CommandError::Config`] if the configuration is needed and bad; else
    /// [`CommandError::Failed`] with a [`ClientError`] of the address, the token or the set-up.
    pub(crate) fn new(config_path: Option<&Path>, args: &AdminArgs) -> Result<Self, CommandError> {
        let access = AdminAccess::resolve(config_path, args.url.clone(), args.token_file.clone())?;
        let base = parse_base(&access.url)?;
        let (token, token_origin) = find_token(&access, args.token_file.as_deref())?;
        let http = build_http(&base, token.as_deref(), &token_origin)?;
        Ok(Self {
            http,
            base,
            token_origin,
        })
    }

    /// `GET /api/v1/{path}` with those parameters that have a value.
    ///
    /// # Errors
    /// Any [`ClientError`] of reaching, refusing and reading.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: &[Parameter<'_>],
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, path, parameters);
        self.read_json(self.ask(request).await?).await
    }

    /// `POST /api/v1/{path}` with a JSON body; an empty answer reads as null.
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub(crate) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path, &[]).json(body);
        self.read_json(self.ask(request).await?).await
    }

    /// `DELETE /api/v1/{path}`.
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub(crate) async fn delete_json(
        &self,
        path: &[&str],
        parameters: &[Parameter<'_>],
    ) -> Result<Value, ClientError> {
        let request = self.request(Method::DELETE, path, parameters);
        self.read_json(self.ask(request).await?).await
    }

    /// `GET /api/v1/{path}`, its bytes still to come: [`Self::next_chunk`].
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub(crate) async fn get_bytes(&self, path: &[&str]) -> Result<Response, ClientError> {
        self.ask(self.request(Method::GET, path, &[])).await
    }

    /// `POST /api/v1/{path}` for bytes that may be long in coming: [`Self::next_chunk`].
    ///
    /// # Errors
    /// As [`Self::get_json`].
    pub(crate) async fn post_for_bytes(&self, path: &[&str]) -> Result<Response, ClientError> {
        let request = self.request(Method::POST, path, &[]);
        self.ask(request.timeout(LONG_TIMEOUT)).await
    }

    /// The host's address.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The next bytes of an answer; none at its end.
    ///
    /// # Errors
    /// [`ClientError::Interrupted`].
    pub(crate) async fn next_chunk(
        &self,
        response: &mut Response,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, ClientError> {
        response
            .chunk()
            .await
            .map_err(|error| self.interrupted(&error))
    }

    /// An answer as the type that it should be of.
    ///
    /// # Errors
    /// [`ClientError::NotJson`].
    pub(crate) fn typed<T: DeserializeOwned>(&self, answer: Value) -> Result<T, ClientError> {
        serde_json::from_value(answer).map_err(|error| self.not_json(&error))
    }

    /// What every way of asking begins with.
    fn request(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[Parameter<'_>],
    ) -> reqwest::RequestBuilder {
        self.http.request(method, self.address(path, parameters))
    }

    /// Every segment is percent-encoded, so that no id can change the path.
    fn address(&self, path: &[&str], parameters: &[Parameter<'_>]) -> Url {
        let mut address = self.base.clone();
        address
            .path_segments_mut()
            .expect("an http address has a path")
            .pop_if_empty()
            .extend(["api", "v1"].iter().chain(path));
        for (name, value) in parameters {
            if let Some(value) = value {
                address.query_pairs_mut().append_pair(name, value);
            }
        }
        address
    }

    /// Sends; gives the answer back only if it is a success.
    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                let reason = root_cause(&error);
                ClientError::Unreachable {
                    url: self.base.to_string(),
                    reason,
                }
            } else {
                self.interrupted(&error)
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::UNAUTHORIZED {
            let (url, token_origin) = (self.base.to_string(), self.token_origin.clone());
            return Err(ClientError::Unauthorized { url, token_origin });
        }
        let body = self.read(response).await?;
        Err(match serde_json::from_slice(&body) {
            Ok(ProblemJson {
                title: Some(title),
                detail,
            }) => ClientError::Problem {
                status,
                title,
                detail: detail.unwrap_or_default(),
            },
            Ok(ProblemJson { title: None, .. }) | Err(_) => ClientError::Refused {
                url: self.base.to_string(),
                status,
            },
        })
    }

    async fn read_json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let body = self.read(response).await?;
        let json = if body.is_empty() {
            b"null".as_slice()
        } else {
            &body
        };
        serde_json::from_slice(json).map_err(|error| self.not_json(&error))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.next_chunk(&mut response).await? {
            if body.len() + chunk.as_ref().len() > ANSWER_BYTES_MAX {
                let reason = format!("more than {} MiB", ANSWER_BYTES_MAX >> 20);
                return Err(ClientError::NotJson {
                    url: self.base.to_string(),
                    reason,
                });
            }
            body.extend_from_slice(chunk.as_ref());
        }
        Ok(body)
    }

    fn interrupted(&self, error: &reqwest::Error) -> ClientError {
        let reason = if error.is_timeout() {
            format!("not within {} s", REQUEST_TIMEOUT.as_secs())
        } else {
            root_cause(error)
        };
        ClientError::Interrupted {
            url: self.base.to_string(),
            reason,
        }
    }

    fn not_json(&self, error: &serde_json::Error) -> ClientError {
        ClientError::NotJson {
            url: self.base.to_string(),
            reason: error.to_string(),
        }
    }
}

/// An id or name as it may stand in a path. The dots would climb out of it.
///
/// # Errors
/// The text is empty, `.` or `..`.
pub(crate) fn path_segment(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("expected an id or a name".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// The text as an address of HTTP, if it is one.
pub(super) fn http_url(text: &str) -> Option<Url> {
    let is_usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    Url::parse(text).ok().filter(is_usable)
}

fn parse_base(url: &str) -> Result<Url, ClientError> {
    let mut base = http_url(url).ok_or_else(|| ClientError::Address {
        url: url.to_owned(),
    })?;
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

/// The token and where it comes from. An explicit file wins; the default file may be absent,
/// since a host that never ran has not made it.
fn find_token(
    access: &AdminAccess,
    explicit: Option<&Path>,
) -> Result<(Option<String>, String), ClientError> {
    let (file, is_explicit) = match (explicit, &access.token, &access.token_file) {
        (Some(file), _, _) => (file, true),
        (None, Some(token), _) => {
            return Ok((
                Some(token.trim().to_owned()),
                "from HOOKBAY_ADMIN_TOKEN".to_owned(),
            ));
        }
        (None, None, Some(file)) => (file.as_path(), false),
        (None, None, None) => return Ok((None, no_token("none was given"))),
    };
    match std::fs::read_to_string(file) {
        Ok(token) => Ok((
            Some(token.trim().to_owned()),
            format!("from {}", file.display()),
        )),
        Err(error) if !is_explicit && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((None, no_token(&format!("there is no {}", file.display()))))
        }
        Err(error) => Err(ClientError::Token {
            origin: file.display().to_string(),
            reason: error.to_string(),
        }),
    }
}

fn no_token(why: &str) -> String {
    format!("{why}; pass --token-file or set HOOKBAY_ADMIN_TOKEN")
}

fn build_http(
    base: &Url,
    token: Option<&str>,
    origin: &str,
) -> Result<reqwest::Client, ClientError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            let reason = "it holds characters that no header can carry".to_owned();
            ClientError::Token {
                origin: origin.to_owned(),
                reason,
            }
        })?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    http_builder(base)
        .default_headers(headers)
        .build()
        .map_err(|error| ClientError::Setup(root_cause(&error)))
}

/// A client for one address and no other, with its timeouts.
pub(super) fn http_builder(address: &Url) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("hookbay/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy();
    if address.scheme() == "http" {
        // Looking for the system's CA certificates fails on a machine that has none.
        builder.tls_certs_only([])
    } else {
        builder
    }
}

/// The innermost error, which names the cause; reqwest's own only says that a request failed.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
