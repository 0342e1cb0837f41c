//! The admin API of a host on this machine, as far as the comparisons read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http::Connection;

mod visitor;

pub(crate) use visitor::Visitor;

/// A thousand items a page: ten million in all.
const PAGES_MAX: usize = 10_000;

/// A signed-in client.
pub(crate) struct Admin {
    address: SocketAddr,
    token: String,
    connection: Connection,
}

/// How many runs are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunStates(BTreeMap<String, u64>);

impl Admin {
    /// A client for `address` with the token in `token_file`.
    pub(crate) fn new(address: SocketAddr, token_file: &Path) -> Result<Self> {
        let token = fs::read_to_string(token_file)
            .with_context(|| format!("cannot read the admin token in {}", token_file.display()))?;
        Ok(Self {
            address,
            token: token.trim().to_owned(),
            connection: Connection::new(address),
        })
    }

    /// The JSON at `path`, which starts behind `/api/v1/`.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        let request = format!(
            "GET /api/v1/{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: application/json\r\n\r\n",
            self.address, self.token,
        );
        // An idle connection may have been closed by the host: one more try opens another.
        let mut attempt = self.exchange(&request);
        if attempt.is_err() {
            attempt = self.exchange(&request);
        }
        let (status, body) =
            attempt.with_context(|| format!("cannot get {path} from {}", self.address))?;
        if status != 200 {
            bail!(
                "GET {path} answered {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        serde_json::from_slice(&body).with_context(|| format!("GET {path} did not answer JSON"))
    }

    /// Asks for `path` to be done, which answers when it is.
    pub(crate) fn post(&mut self, path: &str) -> Result<()> {
        let request = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            self.address, self.token,
        );
        let (status, body) = self
            .exchange(&request)
            .with_context(|| format!("cannot post {path} to {}", self.address))?;
        if !(200..300).contains(&status) {
            let body = String::from_utf8_lossy(&body);
            bail!("POST {path} answered {status}: {body}");
        }
        Ok(())
    }

    /// All items of the list at `path`, page by page.
    pub(crate) fn items(&mut self, path: &str) -> Result<Vec<Value>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{joint}limit=1000");
        let mut page_path = first.clone();
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut page = self.get(&page_path)?;
            let Some(items) = page["items"].as_array_mut() else {
                bail!("GET {page_path} has no items");
            };
            all.append(items);
            match page["next_cursor"].as_str() {
                None => return Ok(all),
                Some(cursor) => page_path = format!("{first}&cursor={}", percent_encoded(cursor)),
            }
        }
        bail!("GET {path} has more than {PAGES_MAX} pages");
    }

    /// The states of `plugin`'s runs.
    pub(crate) fn run_states(&mut self, plugin: &str) -> Result<RunStates> {
        let answer = self.get(&format!("plugins/{plugin}"))?;
        let states = answer["runs"]
            .as_object()
            .with_context(|| format!("plugin {plugin} has no `runs`"))?;
        let count = |(state, n): (&String, &Value)| n.as_u64().map(|n| (state.clone(), n));
        Ok(RunStates(states.iter().filter_map(count).collect()))
    }

    /// The sum of `plugin`'s counters whose keys start with `pushes/`, as `github-push`
    /// keeps them.
    pub(crate) fn pushes_counted(&mut self, plugin: &str) -> Result<u64> {
        let mut sum = 0;
        for item in self.items(&format!("plugins/{plugin}/kv?prefix=pushes/"))? {
            let value = &item["value"];
            let n = value
                .as_u64()
                .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
            sum +=
                n.with_context(|| format!("the counter {} is not a number: {value}", item["key"]))?;
        }
        Ok(sum)
    }

    /// The same token as a visitor of the dashboard.
    pub(crate) fn visitor(&self) -> Result<Visitor> {
        Visitor::sign_in(self.address, &self.token)
    }

    fn exchange(&mut self, request: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let response = self.connection.exchange(request.as_bytes())?;
        Ok((response.status, response.body.to_vec()))
    }
}

impl RunStates {
    /// How many runs are in `state`.
    pub(crate) fn of(&self, state: &str) -> u64 {
        self.0.get(state).copied().unwrap_or_default()
    }

    /// How many runs the host still has to work on.
    pub(crate) fn unfinished(&self) -> u64 {
        ["ready", "running", "waiting", "blocked"]
            .iter()
            .map(|state| self.of(state))
            .sum()
    }
}

impl std::fmt::Display for RunStates {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(state, n)| format!("{n} {state}"))
            .collect();
        formatter.write_str(&words.join(", "))
    }
}

pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded
}
