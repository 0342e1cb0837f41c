//! Which events an operation is over, and the runs that they get.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Event, EventId, Headers};
use crate::run::{NewRun, PluginId};
use crate::store::{EventFilter, EventRow, Store, StoreError};

use super::Board;

/// Events, and for whom they run.
pub(super) struct Selection {
    pub(super) filter: EventFilter,
    /// For this plugin, else for each whose trigger matches.
    pub(super) plugin: Option<PluginId>,
    /// Whether only events count that the plugin's triggers match, and of these
    /// only those without a run of it get one.
    pub(super) is_catch_up: bool,
    /// The last one that counts now.
    pub(super) until: EventId,
    /// Whether later ones will count.
    pub(super) is_open: bool,
}

impl Selection {
    /// What a replay is over.
    pub(super) fn replay(filter: &EventFilter, plugin: Option<PluginId>, until: &str) -> Self {
        let none = EventId::lower_bound(Timestamp::default());
        Self {
            filter: filter.clone(),
            plugin,
            is_catch_up: false,
            until: until.parse().unwrap_or(none),
            is_open: false,
        }
    }

    /// What a catch-up is over, once it is known up to when it goes; all events that
    /// were received before `seen` are stored.
    pub(super) fn catch_up(
        plugin: PluginId,
        since: Timestamp,
        until: &str,
        seen: Timestamp,
    ) -> Option<Self> {
        let until: EventId = until.parse().ok()?;
        let seen = EventId::lower_bound(seen);
        Some(Self {
            filter: EventFilter {
                since: Some(since),
                ..EventFilter::default()
            },
            plugin: Some(plugin),
            is_catch_up: true,
            until: until.min(seen),
            is_open: seen < until,
        })
    }
}

/// The runs that a stored event gets. Only an ordering key needs its body, and one
/// body at a time is held; an event that cannot be read gets none.
///
/// # Errors
/// [`StoreError::MissingKey`] of a catch-up: there is only one, and it misses nothing.
pub(super) async fn runs_of(
    store: &Store,
    board: &Arc<Board>,
    row: &EventRow,
    selection: &Selection,
) -> Result<Vec<NewRun>, StoreError> {
    let plugin = selection.plugin;
    let Some(bare) = bare(row) else {
        return Ok(Vec::new());
    };
    let is_ordered = board
        .triggers
        .plugins_for(&bare)
        .into_iter()
        .any(|(of, key)| key.is_some() && plugin.is_none_or(|wanted| wanted == of));
    if !is_ordered {
        return Ok(match plugin {
            Some(plugin) => vec![NewRun::unordered(plugin)],
            None => board.triggers.runs_for(&bare),
        });
    }
    match store.event_of_run(row.id).await {
        Ok(event) => new_runs(board, &event, plugin).await,
        Err(error @ StoreError::MissingKey(_)) if selection.is_catch_up => Err(error),
        Err(
            error @ (StoreError::Damaged(_) | StoreError::MissingKey(_) | StoreError::EventGone),
        ) => {
            tracing::warn!(event = %row.id, %error, "the event is passed over");
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// The runs of a replay: one for a plugin, or for each whose trigger matches.
/// Ordering keys are read out of the body, which may be large: not on the async
/// threads.
///
/// # Errors
/// [`StoreError::Unavailable`] if the host is stopping.
pub async fn new_runs(
    board: &Arc<Board>,
    event: &Arc<Event>,
    plugin: Option<PluginId>,
) -> Result<Vec<NewRun>, StoreError> {
    let (board, event) = (Arc::clone(board), Arc::clone(event));
    let new = tokio::task::spawn_blocking(move || match plugin {
        Some(plugin) => vec![board.triggers.run_for(&event, plugin)],
        None => board.triggers.runs_for(&event),
    });
    new.await
        .map_err(|_| StoreError::Unavailable("the host is stopping"))
}

/// Whether the triggers of a plugin match an event.
pub(super) fn wants(board: &Board, row: &EventRow, plugin: Option<PluginId>) -> bool {
    bare(row).is_some_and(|event| {
        let mut wanted = board.triggers.plugins_for(&event).into_iter();
        wanted.any(|(of, _)| Some(of) == plugin)
    })
}

/// An event without headers and body: what triggers need but for ordering keys.
fn bare(row: &EventRow) -> Option<Event> {
    Some(Event {
        id: row.id,
        source: row.source.parse().ok()?,
        provider: row.provider.clone(),
        kind: row.kind.clone(),
        delivery_id: None,
        received_at: row.received_at,
        content_type: None,
        headers: Headers::default(),
        body: Bytes::new(),
        is_handshake: row.is_handshake,
    })
}
