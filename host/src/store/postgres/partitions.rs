//! Day partitions: one per day (UTC) of events, history and attempts, made ahead,
//! and taken away whole when retention is over.
//!
//! Neither stops anybody. A new one is made on the side and attached, which needs no
//! lock that readers or writers have. An old one is detached concurrently: whoever
//! still reads it is waited for, and new statements do not see it any more. Whatever
//! is interrupted is found again by [`list`].

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use crate::clock::Timestamp;
use crate::event::EventId;

use super::super::StoreError;

pub(in super::super) const DAY_MS: i64 = 86_400_000;
/// Days for which there are partitions, today among them.
const AHEAD: i64 = 7;
/// A clock that was a little behind may still name yesterday.
const BEHIND: i64 = 1;

/// What has a partition per day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Parent {
    Events,
    History,
    Attempts,
}

/// One day of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Partition {
    pub(in super::super) parent: Parent,
    /// Days since 1970.
    pub(in super::super) day: i64,
    place: Place,
    /// With its indexes.
    pub(in super::super) bytes: i64,
}

/// How far a partition's removal has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Attached,
    /// A detach was interrupted.
    Leaving,
    /// A table of its own.
    Detached,
}

impl Parent {
    const ALL: [Self; 3] = [Self::Events, Self::History, Self::Attempts];

    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::History => "history",
            Self::Attempts => "attempts",
        }
    }
}

impl Partition {
    pub(in super::super) fn name(&self) -> String {
        format!("{}_{}", self.parent.as_str(), name_of(self.day))
    }

    /// The bounds of its keys, as SQL.
    fn bounds(&self) -> (String, String) {
        let bound = |day: i64| match self.parent {
            Parent::Events => {
                let id = EventId::lower_bound(Timestamp::from_millis(day * DAY_MS));
                format!("'\\x{}'", hex::encode(id.as_bytes()))
            }
            Parent::History | Parent::Attempts => (day * DAY_MS).to_string(),
        };
        (bound(self.day), bound(self.day + 1))
    }

    fn attach(&self) -> String {
        let (from, to) = self.bounds();
        let (parent, name) = (self.parent.as_str(), self.name());
        format!("alter table {parent} attach partition {name} for values from ({from}) to ({to});")
    }
}

/// Makes the partitions around now that are not there yet.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<(), StoreError> {
    let made = async {
        connection
            .execute(
                "begin; set local lock_timeout = '5s'; set local client_min_messages = warning; \
                 select pg_advisory_xact_lock((x'686b0008'::bigint) << 32)",
            )
            .await?;
        let there = list(connection).await?;
        let today = now.millis().div_euclid(DAY_MS);
        let mut text = String::new();
        for day in today - BEHIND..today + AHEAD {
            for parent in Parent::ALL {
                let is_there = |one: &Partition| one.day == day && one.parent == parent;
                if there.iter().any(is_there) {
                    continue;
                }
                let partition = Partition {
                    parent,
                    day,
                    place: Place::Attached,
                    bytes: 0,
                };
                let storage = match parent {
                    Parent::Events => " with (toast_tuple_target = 8000)",
                    Parent::History | Parent::Attempts => "",
                };
                let (name, like) = (partition.name(), parent.as_str());
                write!(
                    text,
                    "create table {name} (like {like} including all){storage}; "
                )
                // Writing to a string cannot fail.
                .unwrap_or_default();
                text.push_str(&partition.attach());
            }
        }
        text.push_str("commit");
        connection
            .execute(sqlx::raw_sql(AssertSqlSafe(text)))
            .await?;
        Ok(())
    }
    .await;
    if made.is_err() {
        connection.execute("rollback").await?;
    }
    made
}

/// All partitions, oldest first, and those whose removal was interrupted.
pub(in super::super) async fn list(
    connection: &mut PgConnection,
) -> Result<Vec<Partition>, StoreError> {
    let text = "select p.relname::text as parent, c.relname::text as name, \
         case when i.inhdetachpending then 1 else 0 end as place, pg_total_relation_size(c.oid) as bytes \
         from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent \
         where i.inhparent in (to_regclass('events'), to_regclass('history'), to_regclass('attempts')) \
         union all select split_part(c.relname, '_', 1), c.relname::text, 2, pg_total_relation_size(c.oid) \
         from pg_class c where c.relnamespace = (select oid from pg_namespace where nspname = current_schema()) \
         and c.relkind = 'r' and not c.relispartition and c.relname ~ '^(events|history|attempts)_[0-9]{8}$'";
    let mut partitions = Vec::new();
    for row in connection.fetch_all(sqlx::raw_sql(text)).await? {
        let (parent, name): (&str, &str) = (row.try_get("parent")?, row.try_get("name")?);
        let parent = Parent::ALL.into_iter().find(|one| one.as_str() == parent);
        let day = name.rsplit_once('_').and_then(|(_, day)| day_of(day));
        let (Some(parent), Some(day)) = (parent, day) else {
            continue;
        };
        partitions.push(Partition {
            parent,
            day,
            place: match row.try_get::<i32, _>("place")? {
                0 => Place::Attached,
                1 => Place::Leaving,
                _ => Place::Detached,
            },
            // Of a table that was dropped meanwhile there is none.
            bytes: row.try_get::<Option<i64>, _>("bytes")?.unwrap_or(0),
        });
    }
    partitions.sort_unstable_by_key(|one| (one.day, one.parent));
    Ok(partitions)
}

/// Takes a partition away; whether it is gone. It stays while something in it is
/// needed, and for now if somebody holds it.
pub(in super::super) async fn remove(
    connection: &mut PgConnection,
    partition: &Partition,
    is_pooled: bool,
) -> Result<bool, StoreError> {
    match try_remove(connection, partition, is_pooled).await {
        Err(StoreError::Database(sqlx::Error::Database(error))) if is_for_later(&*error) => {
            tracing::debug!(partition = partition.name(), %error, "a day is removed later");
            if is_pooled {
                // What was refused is open still.
                connection.execute("rollback").await?;
            }
            Ok(false)
        }
        done => done,
    }
}

async fn try_remove(
    connection: &mut PgConnection,
    partition: &Partition,
    is_pooled: bool,
) -> Result<bool, StoreError> {
    let (parent, name) = (partition.parent.as_str(), partition.name());
    let limited = |text: String| {
        if is_pooled {
            // Settings of a session are not ours behind a pooler, nor can it detach
            // concurrently there.
            format!("begin; set local lock_timeout = '1s'; {text}; commit")
        } else {
            text
        }
    };
    if partition.place == Place::Attached && is_needed(connection, partition).await? {
        return Ok(false);
    }
    if !is_pooled {
        connection.execute("set lock_timeout = '2s'").await?;
    }
    let how = match partition.place {
        Place::Detached => None,
        Place::Leaving => Some("finalize"),
        Place::Attached if is_pooled => Some(""),
        Place::Attached => Some("concurrently"),
    };
    if let Some(how) = how {
        let detach = limited(format!(
            "alter table {parent} detach partition {name} {how}"
        ));
        run(connection, detach).await?;
    }
    // A run may have been started of one of its events before it was out of reach.
    if partition.parent == Parent::Events && is_needed(connection, partition).await? {
        run(connection, limited(partition.attach())).await?;
        return Ok(false);
    }
    run(connection, limited(format!("drop table if exists {name}"))).await?;
    Ok(true)
}

/// Whether runs need it: live ones their events, blocked ordering keys the dead run
/// that blocks them.
async fn is_needed(
    connection: &mut PgConnection,
    partition: &Partition,
) -> Result<bool, StoreError> {
    let (from, to) = partition.bounds();
    let text = match partition.parent {
        Parent::Events => format!(
            "select exists (select 1 from runs where event_id >= {from} and event_id < {to}) as needed"
        ),
        Parent::History => format!(
            "select exists (select 1 from order_blocks b join {} h on h.run_id = b.run_id) as needed",
            partition.name()
        ),
        Parent::Attempts => return Ok(false),
    };
    let row = connection
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(text)))
        .await?;
    Ok(row.try_get("needed")?)
}

async fn run(connection: &mut PgConnection, text: String) -> Result<(), StoreError> {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(text)))
        .await?;
    Ok(())
}

/// Whether somebody holds the table, or another host was faster.
fn is_for_later(error: &dyn sqlx::error::DatabaseError) -> bool {
    matches!(
        error.code().as_deref(),
        // lock_not_available, query_canceled, deadlock_detected, undefined_table,
        // object_not_in_prerequisite_state
        Some("55P03" | "57014" | "40P01" | "42P01" | "55000")
    )
}

/// The day's name in a partition's: `20261123`.
fn name_of(day: i64) -> String {
    let text = Timestamp::from_millis(day * DAY_MS).to_string();
    text.chars().filter(char::is_ascii_digit).take(8).collect()
}

/// The day of that name.
fn day_of(name: &str) -> Option<i64> {
    let (year, rest) = name.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let start = Timestamp::parse(&format!("{year}-{month}-{day}T00:00:00Z"))?;
    Some(start.millis().div_euclid(DAY_MS))
}

#[cfg(test)]
mod tests {
    use super::{day_of, name_of};

    #[test]
    fn days_have_names() {
        for (day, name) in [(0, "19700101"), (20_780, "20261123"), (11_016, "20000229")] {
            assert_eq!(name_of(day), name);
            assert_eq!(day_of(name), Some(day));
        }
        assert_eq!(day_of("20261345"), None);
        assert_eq!(day_of("2026"), None);
    }
}
