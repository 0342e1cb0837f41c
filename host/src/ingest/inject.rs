//! An operator's own event: through the same path as a sender's from where that is
//! proven, and marked.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;

use crate::config::units::readable_size;
use crate::event::EventId;
use crate::json;
use crate::store::Ingested;

use super::admit::Received;
use super::contents::{self, Contents, Events};
use super::refusal::Refusal;
use super::{Arrived, Door, Source};

/// The header that says whose token an event was injected with.
pub const INJECTED_BY: &str = "hookbay-injected-by";

/// What an operator says of an event, instead of its provider.
#[derive(Debug, Default)]
pub struct Injection {
    /// Its kind; without it, what its provider would read.
    pub kind: Option<String>,
    /// Its delivery id; likewise.
    pub delivery_id: Option<String>,
    /// Whose token it is injected with.
    pub by: String,
}

/// Why an event cannot be injected.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// It has more bytes than the source allows.
    #[error("the body is larger than the {0} that the source allows")]
    TooLarge(String),
    /// It is not what its source takes.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be stored now.
    #[error("{0}")]
    Unavailable(String),
}

/// Stores an operator's event; its id, or the first one's that it repeats.
///
/// # Errors
/// [`InjectError`] if nothing was stored.
pub async fn inject(
    door: &Door,
    source: &Arc<Source>,
    request: Request<Body>,
    injection: Injection,
    remote: IpAddr,
) -> Result<(EventId, Ingested), InjectError> {
    let (mut head, body) = request.into_parts();
    // The operator's own credentials are no part of the event.
    for name in ["authorization", "cookie", INJECTED_BY] {
        head.headers.remove(name);
    }
    if let Ok(by) = injection.by.parse() {
        head.headers.insert(INJECTED_BY, by);
    }
    let limit = source.config.max_body;
    let body = door.budget.read(body, &head.headers, limit).await?;
    let arrived = Arrived::new(source, &head, body, door.clock.now(), remote);
    let by = Arc::clone(source);
    let read = move || contents(&by, &arrived, injection).map(|contents| (arrived, contents));
    let read = tokio::task::spawn_blocking(read).await;
    let stopping = |_| InjectError::Unavailable("the host is stopping".to_owned());
    let (arrived, contents) = read.map_err(stopping)??;
    let (received, part) = Received::of(arrived);
    let board = door.board.load_full();
    let (new, about) = received.into_events(&board, source, contents);
    let ingested = door.batcher.store(new, part).await?;
    match (ingested.first(), about.ids.first()) {
        (Some(Ingested::Duplicate(first)), _) => Ok((*first, Ingested::Duplicate(*first))),
        (Some(ingested), Some(id)) => Ok((*id, *ingested)),
        _ => Err(InjectError::Unavailable("it has no answer".to_owned())),
    }
}

/// One event, of which the operator's word counts first. A kind that the operator gives is
/// wanted, whatever the source's filter says of the one that is read.
fn contents(
    source: &Source,
    arrived: &Arrived,
    injection: Injection,
) -> Result<Contents, InjectError> {
    let request = arrived.request();
    if source.config.provider.is_json {
        let body = contents::plain(&request, source.config.max_body)?;
        let checked = json::check(&body);
        checked.map_err(|error| InjectError::Wrong(format!("the body is not JSON: {error}")))?;
    }
    let mut contents = contents::unproven(source, &source.keys(), &request, Events::Whole);
    for item in &mut contents.items {
        if let Some(kind) = &injection.kind {
            item.kind.clone_from(kind);
            item.is_wanted = true;
        }
        if injection.delivery_id.is_some() {
            item.delivery_id.clone_from(&injection.delivery_id);
        }
    }
    Ok(contents)
}

impl From<Refusal> for InjectError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge { limit, .. } | Refusal::InflatesTooLarge { limit, .. } => {
                Self::TooLarge(readable_size(limit))
            }
            Refusal::Overloaded(_) | Refusal::StoreAway => Self::Unavailable(refusal.to_string()),
            refusal => Self::Wrong(refusal.to_string()),
        }
    }
}
