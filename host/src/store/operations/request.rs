//! What an operation is to do, as it is kept: another host, of a later version too,
//! reads it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::run::{PluginId, RunState};

use super::super::sql::sql;
use super::super::tx::Tx;
use super::super::{EventFilter, QuarantineFilter, RunFilter, StoreError};
use super::Position;

/// What is to be done, to what.
#[derive(Clone, Debug)]
pub enum Request {
    /// New runs for the events that fit and are stored now; `before` and `limit` of
    /// the filter do not count.
    Replay {
        /// Which events.
        filter: EventFilter,
        /// For this plugin, else for each whose trigger matches.
        plugin: Option<PluginId>,
    },
    /// Another attempt for the runs that fit: dead or cancelled ones, or ones that
    /// wait. Of the filter `id`, `before`, `limit` and `blocked` do not count.
    Retry {
        /// Which runs.
        filter: RunFilter,
    },
    /// Events of the requests that were set aside, fit, and are genuine now; `before` and
    /// `limit` of the filter do not count.
    Release {
        /// Which requests.
        filter: QuarantineFilter,
        /// Whether those too that nothing proves.
        is_forced: bool,
    },
    /// Runs of a new plugin for the events that were there before it.
    CatchUp {
        /// The plugin's name: it may have no number yet.
        plugin: String,
        /// How old an event may be.
        since: Timestamp,
    },
    /// The end of a plugin that was forgotten: its unfinished runs are cancelled, what
    /// it kept is deleted.
    Forget {
        /// The plugin.
        plugin: PluginId,
    },
}

/// [`Request`] as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum KeptRequest {
    Replay {
        source: Option<String>,
        kind: Option<String>,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
        plugin: Option<i64>,
    },
    Retry {
        plugin: Option<i64>,
        state: String,
        event: Option<String>,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
    },
    Release {
        source: Option<String>,
        reason: Option<String>,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
        forced: bool,
    },
    CatchUp {
        plugin: String,
        since_ms: i64,
    },
    Forget {
        plugin: i64,
    },
}

/// Where an operation begins, and up to what it goes: what is stored now.
pub(super) async fn first_position(tx: &mut Tx, request: &Request) -> Result<Position, StoreError> {
    let until = match request {
        Request::Replay { .. } => newest(tx, "events").await?.to_string(),
        Request::Release { .. } => newest(tx, "quarantine").await?.to_string(),
        Request::Retry { .. } => {
            let newest = sql(
                "select run_id from (select * from (select run_id from runs order by run_id desc limit 1) l \
                 union all select * from (select run_id from history order by run_id desc limit 1) f) n \
                 order by run_id desc limit 1",
            );
            let row = tx.fetch_optional(newest).await?;
            row.map_or(Ok(0), |row| row.int("run_id"))?.to_string()
        }
        // Until it is known everywhere, which it is not before it begins.
        Request::CatchUp { .. } => String::new(),
        // Whatever the plugin has left.
        Request::Forget { .. } => String::new(),
    };
    Ok(Position {
        after: String::new(),
        until,
    })
}

/// The newest id in a table; where there is none, one before all.
async fn newest(tx: &mut Tx, table: &'static str) -> Result<EventId, StoreError> {
    let newest = sql(format!("select id from {table} order by id desc limit 1"));
    let row = tx.fetch_optional(newest).await?;
    let newest = row.map(|row| row.bytes("id")).transpose()?;
    let newest = newest.as_deref().and_then(EventId::from_bytes);
    Ok(newest.unwrap_or(EventId::lower_bound(Timestamp::default())))
}

impl Request {
    /// The word for it.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Replay { .. } => "replay",
            Self::Retry { .. } => "retry",
            Self::Release { .. } => "release",
            Self::CatchUp { .. } => "catch_up",
            Self::Forget { .. } => "forget",
        }
    }

    /// The key under which the catch-up of a plugin of this name is begun once.
    pub fn catch_up_key(name: &str) -> String {
        format!("catch_up:{name}")
    }
}

impl KeptRequest {
    pub(super) fn of(request: &Request) -> Self {
        let ms = |time: Option<Timestamp>| time.map(Timestamp::millis);
        match request {
            Request::Replay { filter, plugin } => Self::Replay {
                source: filter.source.clone(),
                kind: filter.kind.as_ref().map(ToString::to_string),
                since_ms: ms(filter.since),
                until_ms: ms(filter.until),
                plugin: plugin.map(|plugin| plugin.0),
            },
            Request::Retry { filter } => Self::Retry {
                plugin: filter.plugin.map(|plugin| plugin.0),
                state: filter.state.unwrap_or(RunState::Dead).as_str().to_owned(),
                event: filter.event.as_ref().map(ToString::to_string),
                since_ms: ms(filter.since),
                until_ms: ms(filter.until),
            },
            Request::Release { filter, is_forced } => Self::Release {
                source: filter.source.clone(),
                reason: filter.reason.clone(),
                since_ms: ms(filter.since),
                until_ms: ms(filter.until),
                forced: *is_forced,
            },
            Request::CatchUp { plugin, since } => Self::CatchUp {
                plugin: plugin.clone(),
                since_ms: since.millis(),
            },
            Request::Forget { plugin } => Self::Forget { plugin: plugin.0 },
        }
    }

    /// None if it is not one that this version knows.
    pub(super) fn read(text: &str) -> Option<Request> {
        let time = |ms: Option<i64>| ms.map(Timestamp::from_millis);
        Some(match serde_json::from_str(text).ok()? {
            Self::Replay {
                source,
                kind,
                since_ms,
                until_ms,
                plugin,
            } => Request::Replay {
                filter: EventFilter {
                    source,
                    kind: kind.map(|kind| kind.parse()).transpose().ok()?,
                    since: time(since_ms),
                    until: time(until_ms),
                    ..EventFilter::default()
                },
                plugin: plugin.map(PluginId),
            },
            Self::Retry {
                plugin,
                state,
                event,
                since_ms,
                until_ms,
            } => Request::Retry {
                filter: RunFilter {
                    plugin: plugin.map(PluginId),
                    state: Some(RunState::parse(&state)?),
                    event: event.map(|event| event.parse()).transpose().ok()?,
                    since: time(since_ms),
                    until: time(until_ms),
                    ..RunFilter::default()
                },
            },
            Self::Release {
                source,
                reason,
                since_ms,
                until_ms,
                forced,
            } => Request::Release {
                filter: QuarantineFilter {
                    source,
                    reason,
                    since: time(since_ms),
                    until: time(until_ms),
                    ..QuarantineFilter::default()
                },
                is_forced: forced,
            },
            Self::CatchUp { plugin, since_ms } => Request::CatchUp {
                plugin,
                since: Timestamp::from_millis(since_ms),
            },
            Self::Forget { plugin } => Request::Forget {
                plugin: PluginId(plugin),
            },
        })
    }
}
