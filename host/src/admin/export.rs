//! `events/export`: stored events with their exact bodies, one JSON object a line.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::event::{Event, EventId};
use crate::store::{EventFilter, EventRow, StoreError};

use super::events::{EventAbout, EventQuery, about};
use super::page::Parameters;
use super::{Admin, AdminError};

/// Events whose rows are read at once; of bodies there is one in memory.
const PAGE: usize = 200;

/// A line: an event with headers and body.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedEvent)]
pub(super) struct LineJson {
    /// Why the event comes without headers and body: what is stored of it is damaged, or
    /// encrypted with a key that is missing. It stands first, so that such a line is told by
    /// how it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
    #[serde(flatten)]
    about: EventAbout,
    headers: Vec<(String, String)>,
    /// The body, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Else in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// Where an export is.
struct Export {
    admin: Arc<Admin>,
    filter: EventFilter,
    after: Option<EventId>,
    until: EventId,
    rows: VecDeque<EventRow>,
    is_end: bool,
}

/// `GET events/export?source=&kind=&since=&until=`: what is stored now, oldest first.
#[utoipa::path(
    get, path = "/api/v1/events/export", tag = "events",
    summary = "Gives stored events with their bodies, oldest first, one JSON object a line",
    params(EventQuery),
    responses((status = 200, description = "The events, NDJSON: a `LineJson` a line", body = String, content_type = "application/x-ndjson")),
)]
pub(super) async fn export(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Response<Body>, AdminError> {
    let filter = EventQuery::take(&mut parameters)?.into();
    parameters.finish()?;
    // What comes later is no part of it: an export has an end.
    let later = admin.clock.now().millis().saturating_add(1);
    let until = EventId::lower_bound(Timestamp::from_millis(later));
    let export = Export {
        admin,
        filter,
        after: None,
        until,
        rows: VecDeque::new(),
        is_end: false,
    };
    let lines = stream::try_unfold(export, |mut export| async {
        let line = export.next().await?;
        Ok::<_, std::io::Error>(line.map(|line| (line, export)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

impl Export {
    /// The next line; none at the end. An error cuts the answer off, so that nobody takes
    /// it for whole.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            let Some(row) = self.rows.pop_front() else {
                if self.is_end {
                    return Ok(None);
                }
                self.read().await?;
                continue;
            };
            let line = match self.admin.store.event(row.id).await {
                Ok(Some((row, event))) => line(row, &event),
                // One that was removed meanwhile is not there to be given.
                Ok(None) => continue,
                // It keeps nobody from those behind it.
                Err(problem @ (StoreError::Damaged(_) | StoreError::MissingKey(_))) => {
                    tracing::error!(event.id = %row.id, error = %problem, "an event cannot be read, and is exported without its request");
                    unreadable(row, &problem)
                }
                Err(error) => return Err(failed(error)),
            };
            let mut line = serde_json::to_vec(&line).map_err(failed)?;
            line.push(b'\n');
            return Ok(Some(line.into()));
        }
    }

    async fn read(&mut self) -> std::io::Result<()> {
        let store = &self.admin.store;
        let page = store.events_between(&self.filter, self.after, self.until, PAGE);
        let page = page.await.map_err(failed)?;
        self.is_end = page.is_end;
        self.after = page.looked_to.or(self.after);
        self.rows = page.events.into();
        Ok(())
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    tracing::error!(%error, "an export is cut off");
    std::io::Error::other(error)
}

fn line(row: EventRow, event: &Event) -> LineJson {
    let header = |(name, value): (&str, &[u8])| {
        (name.to_owned(), String::from_utf8_lossy(value).into_owned())
    };
    let (body, body_base64) = match std::str::from_utf8(&event.body) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&event.body))),
    };
    LineJson {
        damaged: None,
        headers: event.headers.visible().map(header).collect(),
        about: about(row),
        body,
        body_base64,
    }
}

fn unreadable(row: EventRow, problem: &StoreError) -> LineJson {
    LineJson {
        damaged: Some(problem.to_string()),
        headers: Vec::new(),
        about: about(row),
        body: None,
        body_base64: None,
    }
}
