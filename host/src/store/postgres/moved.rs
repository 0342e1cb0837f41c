//! Notices that the tables were moved to another server, as by a dump, whose
//! transactions have lower numbers than those by which the stream is ordered.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use super::super::StoreError;

/// Lets positions go on above those that are there; waits for each lock at most so long.
pub(super) async fn go_on(
    connection: &mut PgConnection,
    patience: Duration,
) -> Result<(), StoreError> {
    let row = connection
        .fetch_one(sqlx::raw_sql(
            "select base, coalesce((select max(position) from events), 0) as newest, \
             pg_current_xact_id()::text::bigint as now from stream_base",
        ))
        .await?;
    let (base, newest, now): (i64, i64, i64) = (
        row.try_get("base")?,
        row.try_get("newest")?,
        row.try_get("now")?,
    );
    if newest < base + now {
        return Ok(());
    }
    let base = newest - now + 1;
    tracing::info!(
        "the database was moved here from another server; the stream of events goes on behind what it holds"
    );
    let text = format!(
        "begin; set local lock_timeout = {}; \
         alter table events alter column position set default (pg_current_xact_id()::text::bigint + {base}); \
         update stream_base set base = {base}; commit",
        patience.as_millis()
    );
    if let Err(error) = connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await {
        connection.execute("rollback").await?;
        return Err(error.into());
    }
    Ok(())
}
