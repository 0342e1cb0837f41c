//! What answers a plugin's requests on the bench: a table in a file, and never a network.
//!
//! The first fixture that fits and is not used up answers. A request without one is denied,
//! by a text that names it and what fixtures there are. Every call of a plugin begins with
//! the whole table again, as it does with the same state.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::plugin::fixture::{Values, present};
use crate::plugin::Blob;
use crate::plugin::egress::{Fetch, FetchError, Fetched, Fetcher};

/// The fixtures of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Fixtures(Arc<[Fixture]>);

/// Which requests are answered, and how.
#[derive(Clone, Debug)]
struct Fixture {
    endpoint: String,
    method: String,
    /// With a query it is the whole path, without one it takes any query.
    path: String,
    /// None for as often as asked.
    times: Option<u32>,
    answer: Result<Fetched, FetchError>,
}

/// The keys of a fixture.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    endpoint: String,
    method: String,
    path: String,
    times: Option<u32>,
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    body: Option<String>,
    /// As it stands in the file.
    #[serde(default, deserialize_with = "present")]
    json: Option<Box<RawValue>>,
    body_base64: Option<String>,
    error: Option<ErrorWord>,
}

/// The contract's errors, as its WIT writes them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ErrorWord {
    Denied,
    Invalid,
    TooLarge,
    Timeout,
    Unavailable,
}

/// One request, and what it was answered.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) request: Fetch,
    pub(super) answer: Result<Fetched, FetchError>,
    /// Whether no fixture fitted.
    pub(super) is_unanswered: bool,
}

/// The fixtures during one call of a plugin.
pub(super) struct Answering {
    fixtures: Fixtures,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    /// How often each fixture has answered.
    n_answered: Vec<u32>,
    exchanges: Vec<Exchange>,
}

impl Fixtures {
    /// Reads a JSON list of fixtures.
    ///
    /// # Errors
    /// Which fixture is none, and why.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let list: Vec<Box<RawValue>> = serde_json::from_slice(bytes)
            .map_err(|error| format!("must be a JSON list of fixtures: {error}"))?;
        let fixture = |(index, text): (usize, &RawValue)| {
            serde_json::from_str::<Written>(text.get())
                .map_err(|error| error.to_string())
                .and_then(Fixture::try_from)
                .map_err(|problem| format!("fixture {}: {problem}", index + 1))
        };
        let texts = list.iter().map(|text| &**text);
        texts.enumerate().map(fixture).collect()
    }

    /// The whole table, for one call of a plugin.
    pub(super) fn answering(&self) -> Arc<Answering> {
        Arc::new(Answering {
            fixtures: self.clone(),
            so_far: Mutex::new(SoFar {
                n_answered: vec![0; self.0.len()],
                exchanges: Vec::new(),
            }),
        })
    }
}

impl FromIterator<Fixture> for Fixtures {
    fn from_iter<T: IntoIterator<Item = Fixture>>(fixtures: T) -> Self {
        Self(fixtures.into_iter().collect())
    }
}

impl TryFrom<Written> for Fixture {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        if !written.path.starts_with('/') {
            return Err(format!("path `{}` does not begin with `/`", written.path));
        }
        if written.times == Some(0) {
            return Err("times: it would never answer".to_owned());
        }
        let answer = match written.error {
            Some(word) => Err(error(word, &written)?),
            None => Ok(answer(&written)?),
        };
        Ok(Self {
            endpoint: written.endpoint,
            method: written.method,
            path: written.path,
            times: written.times,
            answer,
        })
    }
}

fn error(word: ErrorWord, written: &Written) -> Result<FetchError, String> {
    let has_answer = written.status.is_some()
        || !written.headers.is_empty()
        || written.body.is_some()
        || written.json.is_some()
        || written.body_base64.is_some();
    if has_answer {
        return Err("an `error` is instead of an answer, not beside one".to_owned());
    }
    let text = "a fixture says so".to_owned();
    Ok(match word {
        ErrorWord::Denied => FetchError::Denied(text),
        ErrorWord::Invalid => FetchError::Invalid(text),
        ErrorWord::TooLarge => FetchError::TooLarge(text),
        ErrorWord::Timeout => FetchError::Timeout(text),
        ErrorWord::Unavailable => FetchError::Unavailable(text),
    })
}

fn answer(written: &Written) -> Result<Fetched, String> {
    let status = written.status.unwrap_or(200);
    if !(200..=599).contains(&status) {
        return Err(format!("status {status}: expected 200 to 599"));
    }
    let mut headers = Vec::new();
    for (name, values) in &written.headers {
        // As a host hands them on.
        let name = name.to_ascii_lowercase();
        let values = values.as_slice().iter();
        headers.extend(values.map(|value| (name.clone(), Blob(value.clone().into_bytes()))));
    }
    let body = match (&written.body, &written.json, &written.body_base64) {
        (None, None, None) => Vec::new(),
        (Some(text), None, None) => text.clone().into_bytes(),
        (None, Some(json), None) => {
            if !headers.iter().any(|(name, _)| name == "content-type") {
                let json = Blob(b"application/json".to_vec());
                headers.push(("content-type".to_owned(), json));
            }
            json.get().as_bytes().to_vec()
        }
        (None, None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| format!("body_base64: {error}"))?,
        (_, _, _) => return Err("more than one of `body`, `json` and `body_base64`".to_owned()),
    };
    Ok(Fetched {
        status,
        headers,
        body: Blob(body),
    })
}

impl Fixture {
    fn fits(&self, fetch: &Fetch) -> bool {
        let path = match self.path.contains('?') {
            true => fetch.path.as_str(),
            false => fetch.path.split('?').next().unwrap_or_default(),
        };
        self.endpoint == fetch.endpoint && self.method == fetch.method && self.path == path
    }
}

impl fmt::Display for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.endpoint, self.path)
    }
}

impl Answering {
    /// What has been asked and answered.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.lock().exchanges.clone()
    }

    fn answer(&self, fetch: &Fetch) -> Result<Fetched, FetchError> {
        let mut so_far = self.lock();
        let is_left = |fixture: &Fixture, n: u32| fixture.times.is_none_or(|times| n < times);
        let fixtures = self.fixtures.0.iter().zip(&mut so_far.n_answered);
        let mut fitting =
            fixtures.filter(|(fixture, n)| fixture.fits(fetch) && is_left(fixture, **n));
        let found = fitting.next().map(|(fixture, n)| {
            *n = n.saturating_add(1);
            fixture.answer.clone()
        });
        let is_unanswered = found.is_none();
        let answer = found.unwrap_or_else(|| {
            Err(FetchError::Denied(
                self.nothing_answers(fetch, &so_far.n_answered),
            ))
        });
        so_far.exchanges.push(Exchange {
            request: fetch.clone(),
            answer: answer.clone(),
            is_unanswered,
        });
        answer
    }

    fn nothing_answers(&self, fetch: &Fetch, n_answered: &[u32]) -> String {
        let Fetch {
            endpoint,
            path,
            method,
            ..
        } = fetch;
        let fixtures = self.fixtures.0.iter().zip(n_answered);
        let there_are: Vec<String> = fixtures
            .map(|(fixture, n)| match fixture.times {
                Some(times) if *n >= times => format!("{fixture} (used up)"),
                Some(_) | None => fixture.to_string(),
            })
            .collect();
        let there_are = match there_are.len() {
            0 => "there are none, which --fixtures FILE brings".to_owned(),
            _ => format!("there are {}", there_are.join(", ")),
        };
        format!("no fixture answers {method} {endpoint} {path}; {there_are}")
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fetcher for Answering {
    fn fetch<'a>(
        &'a self,
        fetch: &'a Fetch,
        _idempotency_key: &'a str,
        _most: Duration,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        ready(self.answer(fetch)).boxed()
    }
}

#[cfg(test)]
mod tests;
