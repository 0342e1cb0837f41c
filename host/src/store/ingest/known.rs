//! What a delivery is: new, a duplicate, or a known key with another body. Pure, on what the
//! database holds under its keys.

use std::collections::{HashMap, HashSet};

use crate::clock::Timestamp;
use crate::event::{DedupKey, EventId};
use crate::name::SourceName;

use super::super::StoreError;
use super::super::sql::Row;
use super::{Ingested, NewEvent};

/// The event of each distinct body.
type Bodies = Vec<([u8; 32], EventId)>;

/// What is known under each key of a source.
#[derive(Default)]
pub(in super::super) struct Known(HashMap<(SourceName, DedupKey), Bodies>);

/// What events are, in order, and which of them are to be stored.
pub(in super::super) struct Decided<'a> {
    pub(in super::super) answers: Vec<Ingested>,
    /// Those that are not there yet, and whether their key is known with another body.
    pub(in super::super) to_store: Vec<(&'a NewEvent, bool)>,
}

impl Known {
    /// Decides on events that are stored together, each against those before it.
    pub(in super::super) fn decide<'a>(&mut self, events: &[&'a NewEvent]) -> Decided<'a> {
        // Of a batch that is sent again since nobody knew whether it was committed.
        let stored_before: HashSet<EventId> =
            self.0.values().flatten().map(|(_, event)| *event).collect();
        let answers: Vec<Ingested> = events.iter().map(|new| self.classify(new)).collect();
        let decided = events.iter().copied().zip(&answers);
        let to_store = decided.filter_map(|(new, answer)| match answer {
            Ingested::New => Some((new, false)),
            Ingested::Conflict => Some((new, true)),
            Ingested::Duplicate(_) => None,
        });
        let to_store = to_store.filter(|(new, _)| !stored_before.contains(&new.id()));
        Decided {
            to_store: to_store.collect(),
            answers,
        }
    }

    /// Decides what a delivery is, and makes it known to those after it.
    pub(in super::super) fn classify(&mut self, new: &NewEvent) -> Ingested {
        let source = new.source();
        let mut is_conflict = false;
        for key in new.keys() {
            for (body, event) in self.0.get(&(source.clone(), key)).into_iter().flatten() {
                if *event == new.id() {
                    // A commit of which nobody knew whether it came to pass; it did.
                    return Ingested::New;
                }
                if body == new.body_sha256() {
                    return Ingested::Duplicate(*event);
                }
                is_conflict = true;
            }
        }
        for key in new.keys() {
            let bodies = self.0.entry((source.clone(), key)).or_default();
            bodies.push((*new.body_sha256(), new.id()));
        }
        if is_conflict {
            Ingested::Conflict
        } else {
            Ingested::New
        }
    }

    /// Whether one of the event's keys is known with its body, or with itself.
    pub(in super::super) fn has(&self, new: &NewEvent) -> bool {
        new.keys()
            .filter_map(|key| self.0.get(&(new.source().clone(), key)))
            .flatten()
            .any(|(body, event)| body == new.body_sha256() || *event == new.id())
    }
}

/// The keys of these events, each once, in order.
pub(in super::super) fn wanted_keys<'a>(events: &[&'a NewEvent]) -> Vec<(&'a str, DedupKey)> {
    let keys = events
        .iter()
        .flat_map(|new| new.keys().map(|key| (new.source().as_str(), key)));
    let mut wanted: Vec<_> = keys.collect();
    // A key that is there twice would be answered twice.
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// What is known at `now` under these keys, by rows of which some may be others'.
pub(in super::super) fn known(
    rows: &[Row],
    wanted: &[(&str, DedupKey)],
    now: Timestamp,
) -> Result<Known, StoreError> {
    let mut known = Known::default();
    for row in rows {
        if row.int("expires_ms")? <= now.millis() {
            continue;
        }
        let Some(key) = DedupKey::from_bytes(&row.bytes("key")?) else {
            continue;
        };
        let source = row.text("source")?;
        if wanted.binary_search(&(source.as_str(), key)).is_err() {
            continue;
        }
        let body = row.bytes("body_sha256")?.try_into();
        let event = EventId::from_bytes(&row.bytes("event_id")?);
        if let (Ok(source), Ok(body), Some(event)) = (source.parse(), body, event) {
            let bodies = known.0.entry((source, key)).or_default();
            bodies.push((body, event));
        }
    }
    Ok(known)
}
