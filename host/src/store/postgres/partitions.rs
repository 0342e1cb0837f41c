//! Day partitions: one per day (UTC) of events, history and attempts, made ahead,
//! and dropped whole when retention is over.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::clock::Timestamp;
use crate::event::EventId;

use super::super::StoreError;

pub(super) const DAY_MS: i64 = 86_400_000;
/// Days for which there are partitions, today among them.
const AHEAD: i64 = 7;
/// A clock that was a little behind may still name yesterday.
const BEHIND: i64 = 1;

/// Makes the partitions around now that are not there yet.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<(), StoreError> {
    let today = now.millis().div_euclid(DAY_MS);
    let mut text = String::from(
        "begin; set local lock_timeout = '5s'; set local client_min_messages = warning; \
         select pg_advisory_xact_lock((x'686b0008'::bigint) << 32);",
    );
    for day in today - BEHIND..today + AHEAD {
        let (from, to) = (day * DAY_MS, (day + 1) * DAY_MS);
        let name = name_of(day);
        let id = |ms| {
            let bound = EventId::lower_bound(Timestamp::from_millis(ms));
            format!("'\\x{}'", hex::encode(bound.as_bytes()))
        };
        let storage = "(toast_tuple_target = 8000)";
        text.push_str(&format!(
            "create table if not exists events_{name} partition of events \
             for values from ({}) to ({}) with {storage}; \
             create table if not exists history_{name} partition of history for values from ({from}) to ({to}); \
             create table if not exists attempts_{name} partition of attempts for values from ({from}) to ({to});",
            id(from),
            id(to),
        ));
    }
    text.push_str("commit");
    let made = connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await;
    if let Err(error) = made {
        connection.execute("rollback").await?;
        return Err(error.into());
    }
    Ok(())
}

/// The day's name in a partition's: `20261123`.
pub(super) fn name_of(day: i64) -> String {
    let text = Timestamp::from_millis(day * DAY_MS).to_string();
    text.chars().filter(char::is_ascii_digit).take(8).collect()
}
