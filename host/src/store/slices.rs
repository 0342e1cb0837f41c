//! Slices of operations: which items come next, and one transaction that does them.
//!
//! What comes next is looked for outside of it, a bounded number of rows of an index
//! at a time however few of them fit. [`advance`] is what keeps a slice from being
//! done twice.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::event::EventId;
use crate::run::{NewRun, OrderKey, PluginId, RunId, RunState};

use super::operations::{OwnOperation, Position, advance};
use super::rows::{Kind, ManyRows};
use super::sql::{Builder, Dialect, Row, sql};
use super::tx::Tx;
use super::{Retried, RunFilter, Store, StoreError, order, retention, steer};

/// A finished or waiting run that an operation may try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retriable {
    /// The run.
    pub run: RunId,
    plugin: PluginId,
    order: Option<OrderKey>,
}

/// What comes next of an operation over runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriablePage {
    /// The runs that fit, in the order in which they were stored.
    pub runs: Vec<Retriable>,
    /// The last run that was looked at; none at the end.
    pub looked_to: Option<RunId>,
}

/// The statements of slices.
pub(super) struct Statements {
    about: ManyRows,
    has_run: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            about: ManyRows::new(
                "with wanted (id) as (",
                &[Kind::Bytes],
                ") select e.id, source, provider, kind, received_ms, delivery_id, content_type, size_bytes, \
                 is_handshake, dedup_conflict, no_run_reason, is_forced \
                 from wanted w cross join events e on e.id = w.id",
            ),
            has_run: ManyRows::new(
                "with wanted (event_id, plugin_id) as (",
                &[Kind::Bytes, Kind::Int],
                ") select r.event_id, r.plugin_id from wanted w cross join runs r \
                 on r.event_id = w.event_id and r.plugin_id = w.plugin_id \
                 union all select h.event_id, h.plugin_id from wanted w cross join history h \
                 on h.event_id = w.event_id and h.plugin_id = w.plugin_id",
            ),
        }
    }

    /// Events by their ids.
    pub(super) fn about(&self) -> &ManyRows {
        &self.about
    }

    /// Leaves out the runs of events that have one of the same plugin.
    async fn without_known(
        &self,
        tx: &mut Tx,
        runs: Vec<(EventId, NewRun)>,
    ) -> Result<Vec<(EventId, NewRun)>, StoreError> {
        let rows = runs
            .iter()
            .map(|(event, run)| [event.as_bytes().into(), run.plugin.0.into()]);
        let mut known = HashSet::new();
        for row in self.has_run.with(rows).fetch_all(tx).await? {
            known.insert((row.bytes("event_id")?, row.int("plugin_id")?));
        }
        let is_new = |(event, run): &(EventId, NewRun)| {
            !known.contains(&(event.as_bytes().to_vec(), run.plugin.0))
        };
        Ok(runs.into_iter().filter(is_new).collect())
    }
}

impl Store {
    /// The next runs that may be tried again and fit a filter, which names their
    /// state, behind one and up to another; looks at so many.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn retriable_between(
        &self,
        filter: &RunFilter,
        after: RunId,
        until: RunId,
        looks: usize,
    ) -> Result<RetriablePage, StoreError> {
        let columns = "run_id, event_id, plugin_id, order_key, created_ms";
        let mut query = match filter.state {
            Some(RunState::Waiting) => Builder::new(&format!(
                "select {columns}, state, due_ms from runs where true"
            )),
            state => {
                let state = state.unwrap_or(RunState::Dead);
                // In the words of the indexes that serve it.
                let mut query = Builder::new(&format!(
                    "select {columns} from history where state <> 'succeeded'"
                ));
                query.push(" and state = ").bind(state.as_str());
                if let Some(plugin) = filter.plugin {
                    query.push(" and plugin_id = ").bind(plugin.0);
                }
                query
            }
        };
        query.push(" and run_id > ").bind(after.0);
        query.push(" and run_id <= ").bind(until.0);
        query.push(" order by run_id limit ").bind(rows_of(looks));
        let rows = self.readers().fetch_all(query.build()).await?;
        let mut page = RetriablePage {
            runs: Vec::new(),
            looked_to: None,
        };
        for row in &rows {
            if self.fits(row, filter)? {
                page.runs.push(Retriable::read(row)?);
            }
        }
        if rows.len() == looks {
            page.looked_to = rows
                .last()
                .map(|row| row.int("run_id"))
                .transpose()?
                .map(RunId);
        }
        Ok(page)
    }

    /// What the index does not say of a run.
    fn fits(&self, row: &Row, filter: &RunFilter) -> Result<bool, StoreError> {
        let plugin = PluginId(row.int("plugin_id")?);
        let created_at = row.time("created_ms")?;
        let event = row.bytes("event_id")?;
        let is_state = filter.state != Some(RunState::Waiting)
            || row.int("state")? == 0
                && row.time("due_ms")? > self.now()
                && !filter.blocked.contains(&plugin);
        Ok(is_state
            && filter.plugin.is_none_or(|wanted| wanted == plugin)
            && filter
                .event
                .is_none_or(|wanted| *wanted.as_bytes() == event)
            && filter.since.is_none_or(|since| created_at >= since)
            && filter.until.is_none_or(|until| created_at < until))
    }

    /// Moves an operation on and starts new runs with it, for `done` items; false if
    /// the slice is not this host's to do.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn replay_slice(
        &self,
        of: &OwnOperation,
        to: Option<Position>,
        done: usize,
        runs: Vec<(EventId, NewRun)>,
        is_only_first: bool,
    ) -> Result<bool, StoreError> {
        let (epoch, statements) = (self.epoch(), Arc::clone(&self.0.statements));
        let of = of.clone();
        self.write(move |tx| {
            let (statements, of, to) = (Arc::clone(&statements), of.clone(), to.clone());
            let mut runs = runs.clone();
            Box::pin(async move {
                let keys = runs
                    .iter()
                    .filter_map(|(_, run)| Some((run.plugin, run.order?)));
                order::lock(tx, keys, std::iter::empty()).await?;
                if !advance(tx, epoch, &of, to.as_ref(), done).await? {
                    return Ok(false);
                }
                if is_only_first {
                    runs = statements.slices.without_known(tx, runs).await?;
                }
                let runs = of_plugins_that_are_known(tx, runs).await?;
                let runs = there(tx, runs).await?;
                statements.start_runs(tx, &runs).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Moves an operation on and tries runs again with it; whose they are, or none if
    /// the slice is not this host's to do. A run that has changed since it was looked
    /// at is left as it is.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn retry_slice(
        &self,
        of: &OwnOperation,
        to: Option<Position>,
        runs: Vec<Retriable>,
        state: RunState,
    ) -> Result<Option<Vec<PluginId>>, StoreError> {
        let (epoch, statements) = (self.epoch(), Arc::clone(&self.0.statements));
        let of = of.clone();
        self.write(move |tx| {
            let (statements, of, to) = (Arc::clone(&statements), of.clone(), to.clone());
            let mut runs = runs.clone();
            Box::pin(async move {
                let keys = runs.iter().filter_map(|one| Some((one.plugin, one.order?)));
                order::lock(tx, keys, std::iter::empty()).await?;
                if !advance(tx, epoch, &of, to.as_ref(), runs.len()).await? {
                    return Ok(None);
                }
                // Each counts for its plugin: the counts in the order in which others that end
                // runs take them.
                runs.sort_by_key(|one| one.plugin);
                let mut plugins = Vec::new();
                for one in &runs {
                    let retried = match state {
                        RunState::Waiting => steer::hasten(tx, one.run).await?,
                        _ => statements.revive(tx, epoch, one.run).await?,
                    };
                    if let Retried::Due(plugin) = retried {
                        plugins.push(plugin);
                    }
                }
                plugins.sort_unstable();
                plugins.dedup();
                Ok(Some(plugins))
            })
        })
        .await
    }
}

impl Retriable {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let key = row.bytes_or_none("order_key")?;
        Ok(Self {
            run: RunId(row.int("run_id")?),
            plugin: PluginId(row.int("plugin_id")?),
            order: key.as_deref().and_then(OrderKey::from_bytes),
        })
    }
}

fn rows_of(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// Of runs to be started those whose plugin is not forgotten, and is not until the end of the
/// transaction: nobody would end a run of one that is.
async fn of_plugins_that_are_known(
    tx: &mut Tx,
    mut runs: Vec<(EventId, NewRun)>,
) -> Result<Vec<(EventId, NewRun)>, StoreError> {
    let share = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " for share",
    };
    let plugins: BTreeSet<PluginId> = runs.iter().map(|(_, run)| run.plugin).collect();
    for plugin in plugins {
        let gone = sql(format!(
            "select forgotten_ms from plugins where plugin_id = $1{share}"
        ));
        let row = tx.fetch_optional(gone.bind(plugin.0)).await?;
        let forgotten = row.map(|row| row.int_or_none("forgotten_ms")).transpose()?;
        if !matches!(forgotten, Some(None)) {
            runs.retain(|(_, run)| run.plugin != plugin);
        }
    }
    Ok(runs)
}

/// Of runs to be started, oldest event first, those whose event is still there, and
/// stays until the end of the transaction.
async fn there(
    tx: &mut Tx,
    runs: Vec<(EventId, NewRun)>,
) -> Result<Vec<(EventId, NewRun)>, StoreError> {
    let mut held: Vec<(EventId, NewRun)> = Vec::with_capacity(runs.len());
    let mut gone = None;
    for (event, run) in runs {
        let is_known = held.last().is_some_and(|(last, _)| *last == event);
        if gone != Some(event) && (is_known || retention::hold(tx, event.as_bytes()).await?) {
            held.push((event, run));
        } else {
            gone = Some(event);
        }
    }
    Ok(held)
}
