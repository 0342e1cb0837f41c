//! What a plugin gets on the bench: an event and a state, read from files.
//!
//! An event file is JSON of a fixed shape (`docs/writing-plugins.md`, Debugging). A file
//! without any of its keys `provider`, `body` and `body_base64` is a payload as a provider
//! sends it, and the options say the rest.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::event::{Event, EventId, Headers};
use crate::name::SourceName;
use crate::plugin::{Seen, StateReader};

/// What the command line says of the event; it wins over the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct EventArgs {
    /// The event's source [default: the event file's, else the provider's name]
    #[arg(long, value_name = "NAME")]
    pub(super) source: Option<String>,
    /// The event's provider [default: the event file's]
    #[arg(long, value_name = "NAME")]
    pub(super) provider: Option<String>,
    /// The event's kind, such as push or pull_request.opened [default: the event file's]
    #[arg(long, value_name = "KIND")]
    pub(super) kind: Option<String>,
}

/// The keys of an event file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EventFile {
    id: Option<String>,
    source: Option<String>,
    provider: Option<String>,
    kind: Option<String>,
    delivery_id: Option<String>,
    content_type: Option<String>,
    headers: BTreeMap<String, Values>,
    /// As it stands in the file, so that nothing is reordered or rounded.
    #[serde(deserialize_with = "present")]
    body: Option<Box<RawValue>>,
    body_base64: Option<String>,
}

/// A header's values: one, or several that were sent under the same name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    One(String),
    Several(Vec<String>),
}

impl Values {
    /// Each of them.
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

/// The keys by which an event file is told from a plain payload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Telling<'a> {
    #[serde(borrow, deserialize_with = "present")]
    provider: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    body: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    body_base64: Option<&'a RawValue>,
}

/// A `null` that stands there is a value too.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads an event from a file's bytes; it was received `now`.
///
/// # Errors
/// What is wrong or missing, and how to say it.
pub(super) fn event(bytes: &[u8], args: &EventArgs, now: Timestamp) -> Result<Event, String> {
    let (file, body) = split(bytes, args)?;
    let missing =
        |key: &str| format!("the event has no `{key}`: add it to the file or pass --{key}");
    let provider = args.provider.clone().or(file.provider);
    let provider = provider.ok_or_else(|| missing("provider"))?;
    let kind = args.kind.clone().or(file.kind);
    let kind = kind.ok_or_else(|| missing("kind"))?;
    let source = args.source.clone().or(file.source);
    let source = SourceName::of_events(source.as_deref().unwrap_or(&provider))
        .map_err(|error| format!("source: {error}"))?;
    let id = match &file.id {
        Some(id) => id
            .parse()
            .map_err(|_| format!("id: `{id}` is not a UUID; leave it out for a new one"))?,
        None => EventId::new(now),
    };
    let headers = headers(file.headers);
    Ok(Event {
        id,
        source,
        provider,
        kind,
        delivery_id: file.delivery_id,
        received_at: now,
        content_type: file
            .content_type
            .or_else(|| headers.text("content-type").map(str::to_owned)),
        headers,
        body,
        is_handshake: false,
    })
}

/// The file's keys and the event's body, be it in the file or the file itself.
fn split(bytes: &[u8], args: &EventArgs) -> Result<(EventFile, Bytes), String> {
    let is_told = args.provider.is_some() && args.kind.is_some();
    let is_json = match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(_) => true,
        Err(_) if is_told => false,
        Err(error) => {
            return Err(format!(
                "neither an event file nor a JSON payload: {error}; \
                 with --provider and --kind any file is a payload"
            ));
        }
    };
    // What is no object has no keys; serde would read a list as the fields in order.
    let telling = if bytes.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(bytes).unwrap_or_default()
    } else {
        Telling::default()
    };
    if telling.provider.is_none() && telling.body.is_none() && telling.body_base64.is_none() {
        let file = EventFile {
            content_type: is_json.then(|| "application/json".to_owned()),
            ..EventFile::default()
        };
        return Ok((file, Bytes::copy_from_slice(bytes)));
    }
    let mut file: EventFile = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let body = match (file.body.take(), file.body_base64.take()) {
        (Some(body), None) => body_of(&body)?,
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| format!("body_base64: {error}"))?,
        (None, None) => {
            return Err("the event file has neither `body` nor `body_base64`".to_owned());
        }
        (Some(_), Some(_)) => {
            return Err("the event file has both `body` and `body_base64`".to_owned());
        }
    };
    Ok((file, body.into()))
}

/// A string's own text; any other value as it is written.
fn body_of(body: &RawValue) -> Result<Vec<u8>, String> {
    if body.get().starts_with('"') {
        let text: String =
            serde_json::from_str(body.get()).map_err(|error| format!("body: {error}"))?;
        Ok(text.into_bytes())
    } else {
        Ok(body.get().as_bytes().to_vec())
    }
}

fn headers(from_file: BTreeMap<String, Values>) -> Headers {
    let mut pairs = Vec::new();
    for (name, values) in from_file {
        let name = name.to_ascii_lowercase();
        let values = values.as_slice().iter();
        pairs.extend(values.map(|value| (name.clone(), value.clone().into_bytes())));
    }
    Headers::new(pairs)
}

/// A plugin's state on the bench; nothing is ever written to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State(BTreeMap<String, String>);

impl State {
    /// Reads a JSON object of keys and texts.
    ///
    /// # Errors
    /// Where it is something else.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map(Self)
            .map_err(|error| format!("must be a JSON object of keys and texts: {error}"))
    }
}

impl StateReader for State {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Seen>, String>> {
        let found = self.0.get(key);
        ready(Ok(found.map(|value| (value.clone().into_bytes(), 1)))).boxed()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let keys = self.0.keys().filter(|key| key.starts_with(prefix)).cloned();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        ready(Ok(keys.take(limit).collect())).boxed()
    }
}

#[cfg(test)]
mod tests;
