//! One notice: how it is written, and how it gets out, through the same guarded client
//! that plugins call with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::clock::Timestamp;
use crate::config::{AlertFormat, AlertTarget, AlertsConfig, EndpointGrant};
use crate::plugin::egress::{Blob, Egress, Fetch, Fetcher as _, HeaderValue, Network};
use crate::plugin::secrets::Secrets;
use crate::store::AlertRow;

/// The grant's name, which problems mention.
const ENDPOINT: &str = "alerts";
/// From the look-up to the end of the answer.
const WITHIN: Duration = Duration::from_secs(10);

/// What a notice says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Something is wrong.
    Raised,
    /// It is right again.
    Resolved,
}

/// Brings notices to where they go.
pub(super) struct Messenger {
    egress: Egress,
    target: AlertTarget,
    format: AlertFormat,
    host_name: Arc<str>,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
        }
    }
}

impl Messenger {
    pub(super) fn new(config: &AlertsConfig, network: &Network, host_name: &Arc<str>) -> Self {
        let grant = EndpointGrant {
            origin: config.target.origin.clone(),
            secrets: BTreeSet::new(),
            private: config.target.private,
        };
        let grants = BTreeMap::from([(ENDPOINT.to_owned(), grant)]);
        let secrets = Arc::new(Secrets::new(&BTreeMap::new()));
        Self {
            egress: Egress::new(&grants, secrets, network),
            target: config.target.clone(),
            format: config.format,
            host_name: Arc::clone(host_name),
        }
    }

    pub(super) fn is_for(&self, config: &AlertsConfig) -> bool {
        self.target == config.target && self.format == config.format
    }

    /// Sends, and waits for a 2xx.
    pub(super) async fn send(
        &self,
        row: &AlertRow,
        state: State,
        now: Timestamp,
    ) -> Result<(), String> {
        let body = match self.format {
            AlertFormat::Json => json!({
                "alert": row.kind,
                "state": state.as_str(),
                "subject": row.subject,
                "message": row.message,
                "since": row.raised_at,
                "at": now,
                "host": &*self.host_name,
            }),
            AlertFormat::Slack => json!({ "text": text(row, state) }),
        };
        let json = HeaderValue::Plain(Blob(b"application/json".to_vec()));
        let fetch = Fetch {
            endpoint: ENDPOINT.to_owned(),
            path: self.target.path.clone(),
            method: "POST".to_owned(),
            headers: vec![("content-type".to_owned(), json)],
            body: Some(Blob(body.to_string().into_bytes())),
            timeout: Some(WITHIN),
            idempotency_header: None,
        };
        match self.egress.fetch(&fetch, "", WITHIN).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => Err(format!("the answer is {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// As Slack reads it, which takes three characters for marks of its own.
fn text(row: &AlertRow, state: State) -> String {
    let (mark, what) = match state {
        State::Raised => (":red_circle:", row.message.clone()),
        State::Resolved => (
            ":large_green_circle:",
            format!("over: {} {}", row.kind, row.subject),
        ),
    };
    let text = format!("{mark} Hookbay: {what}");
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
