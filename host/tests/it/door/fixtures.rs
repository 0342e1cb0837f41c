//! Requests that others have signed, with what each is to become: `fixtures/providers/door.py`
//! makes them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Folder, Host, standing};
use crate::http::Answer;

#[derive(Deserialize)]
pub(crate) struct Fixtures {
    /// When they were signed.
    pub(crate) now: i64,
    /// To whom.
    pub(crate) origin: String,
    pub(crate) secret: String,
    pub(crate) batches: Vec<Batches>,
    pub(crate) forms: Vec<Single>,
}

/// A provider that puts several events into a request.
#[derive(Deserialize)]
pub(crate) struct Batches {
    pub(crate) source: String,
    pub(crate) provider: String,
    pub(crate) secret: String,
    /// Two items.
    pub(crate) first: Batch,
    /// A new one, the first of before, and the new one again.
    pub(crate) mixed: Batch,
    /// One that is nothing of the provider's, and a new one.
    pub(crate) odd: Batch,
    /// Nothing.
    pub(crate) empty: Batch,
}

/// A request and its items.
#[derive(Deserialize)]
pub(crate) struct Batch {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) items: Vec<Item>,
}

#[derive(Deserialize)]
pub(crate) struct Item {
    pub(crate) body: String,
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
}

/// A request that is one event.
#[derive(Deserialize)]
pub(crate) struct Single {
    pub(crate) why: String,
    pub(crate) source: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    pub(crate) kind: String,
    pub(crate) id: Option<String>,
}

impl Fixtures {
    pub(crate) fn read() -> Self {
        serde_json::from_str(include_str!("../../fixtures/providers/door.json")).unwrap()
    }

    /// A host's folder at the time and the address of the fixtures, and the milliseconds that
    /// its clock shows.
    pub(crate) async fn folder(&self, sources: &str, plugins: &[&str]) -> (Folder, Arc<AtomicI64>) {
        let toml = format!("public_url = \"{}\"\n{sources}", self.origin);
        let mut folder = Folder::new(&toml, plugins).await;
        let now_ms = Arc::new(AtomicI64::new(self.now * 1000));
        folder.clock = standing(&now_ms);
        (folder, now_ms)
    }

    /// The sources of all batches, with these secrets.
    pub(crate) fn sources(&self, secret: impl Fn(&Batches) -> String) -> String {
        let table = |of: &Batches| {
            let (source, provider, secret) = (&of.source, &of.provider, secret(of));
            format!("[sources.{source}]\nprovider = \"{provider}\"\nsecret = \"{secret}\"\n")
        };
        self.batches.iter().map(table).collect()
    }
}

pub(crate) fn headers(of: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    of.iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

impl Batch {
    pub(crate) async fn send(&self, host: &Host, source: &str) -> Answer {
        host.send(source, &headers(&self.headers), self.body.clone())
            .await
    }

    /// Checks that events are the items.
    pub(crate) async fn is_stored_as(&self, host: &Host, source: &str, events: &[String]) {
        assert_eq!(events.len(), self.items.len(), "{source}");
        for (event, item) in events.iter().zip(&self.items) {
            let stored = host.get(&format!("events/{event}")).await;
            assert_eq!(stored["kind"], item.kind, "{source}: {stored}");
            assert_eq!(
                stored["delivery_id"].as_str(),
                item.id.as_deref(),
                "{source}"
            );
            assert_eq!(stored["source"], source);
            assert_eq!(stored["content_type"], "application/json", "{source}");
            assert_eq!(stored["handshake"], false, "{source}");
            let body = format!("/api/v1/events/{event}/body");
            let body = host.ask(Method::GET, &body, "").await;
            assert_eq!(body.text(), item.body, "{source}");
        }
    }
}

/// The events that an answer names.
pub(crate) fn events(answer: &Answer) -> Vec<String> {
    let told = answer.json();
    match &told["event_ids"] {
        Value::Null => vec![told["event_id"].as_str().unwrap().to_owned()],
        several => serde_json::from_value(several.clone()).unwrap(),
    }
}
