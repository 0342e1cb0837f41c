//! A receiver for whatever is posted: where the plugin `forward` forwards to.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::http::{Answer, Request};
use crate::service::{Section, Service};

/// Requests that are kept.
const KEPT_MAX: usize = 1_000;

/// Takes every request to `/sink` and below, and keeps it as it came.
#[derive(Debug, Default)]
pub struct Sink {
    received: VecDeque<Request>,
}

impl Sink {
    /// What has been received, first to last.
    pub fn received(&self) -> impl Iterator<Item = &Request> {
        self.received.iter()
    }
}

impl Service for Sink {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn takes(&self, path: &str) -> bool {
        path == "/sink" || path.starts_with("/sink/")
    }

    fn answer(&mut self, request: &Request, _now: SystemTime) -> Answer {
        if self.received.len() == KEPT_MAX {
            self.received.pop_front();
        }
        self.received.push_back(request.clone());
        let note = format!("{} bytes", request.body.len());
        Answer::text(200, "received\n").with_note(note)
    }

    fn refusal(&self, status: u16) -> Answer {
        Answer::text(status, "the stand-in was told to refuse this\n")
    }

    fn sections(&self) -> Vec<Section> {
        let row = |request: &Request| {
            let headers: Vec<String> = request
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            vec![
                format!("{} {}", request.method, request.path),
                headers.join("\n"),
                String::from_utf8_lossy(&request.body).into_owned(),
            ]
        };
        vec![Section {
            title: "Forwarded requests".to_owned(),
            columns: ["Request", "Headers", "Body"].map(str::to_owned).to_vec(),
            rows: self.received.iter().rev().map(row).collect(),
        }]
    }
}
