//! Brings the tables up to date: all that is missing in one transaction, under a
//! lock that ends with it.
//!
//! Not sqlx's own runner, whose lock belongs to a session: behind a pooler in
//! transaction mode there is none.

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use super::super::StoreError;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("../migrations/postgres");

/// Applies what is missing; waits for each lock at most so long.
///
/// # Errors
/// [`StoreError::Migrate`] if the tables are newer than this program or an applied
/// migration is not the one it knows; nothing is changed then.
pub(super) async fn run(
    connection: &mut PgConnection,
    patience: Duration,
) -> Result<(), StoreError> {
    let begin = format!(
        "begin; set local lock_timeout = {}; \
         select pg_advisory_xact_lock((x'686b0009'::bigint) << 32)",
        patience.as_millis()
    );
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(begin)))
        .await?;
    let applied = apply(connection).await;
    let end = if applied.is_ok() {
        "commit"
    } else {
        "rollback"
    };
    connection.execute(end).await?;
    applied
}

async fn apply(connection: &mut PgConnection) -> Result<(), StoreError> {
    connection
        .execute(
            "create table if not exists hookbay_migrations (version bigint primary key, \
             description text not null, checksum bytea not null, applied_at timestamptz not null default now())",
        )
        .await?;
    let rows = sqlx::query("select version, checksum from hookbay_migrations order by version")
        .persistent(false)
        .fetch_all(&mut *connection)
        .await?;
    let mut newest = 0;
    for row in rows {
        let version: i64 = row.try_get("version")?;
        let checksum: Vec<u8> = row.try_get("checksum")?;
        let known = MIGRATOR.iter().find(|known| known.version == version);
        match known {
            None => return Err(MigrateError::VersionMissing(version).into()),
            Some(known) if *known.checksum != *checksum => {
                return Err(MigrateError::VersionMismatch(version).into());
            }
            Some(_) => newest = version,
        }
    }
    for migration in MIGRATOR.iter().filter(|known| known.version > newest) {
        let failed = |error| MigrateError::ExecuteMigration(error, migration.version);
        connection
            .execute(sqlx::raw_sql(migration.sql.clone()))
            .await
            .map_err(failed)?;
        sqlx::query(
            "insert into hookbay_migrations (version, description, checksum) values ($1, $2, $3)",
        )
        .persistent(false)
        .bind(migration.version)
        .bind(&*migration.description)
        .bind(&*migration.checksum)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
