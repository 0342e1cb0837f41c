//! Locks that somebody else holds: what wants them gives up in time, and leaves the
//! connection that it had in the middle of nothing.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use super::bench::Bench;
use crate::database::Engine;
use crate::harness::eventually;

const DAY: Duration = Duration::from_hours(24);
/// Days are made under this.
const DAYS: &str = "select pg_advisory_xact_lock((x'686b0008'::bigint) << 32)";

/// A connection past the store that holds a lock.
async fn holder(bench: &Bench, lock: &str) -> PgConnection {
    let mut connection = bench.database.connect().await;
    let lock = format!("begin; {lock}");
    let lock = sqlx::raw_sql(AssertSqlSafe(lock));
    connection.execute(lock).await.unwrap();
    connection
}

/// Waits until only the holder has a transaction open.
async fn only_the_holder_is_in_the_middle(bench: &Bench) {
    eventually("nothing is left open", async || {
        (bench.database.open_transactions().await == 1).then_some(())
    })
    .await;
}

/// This host, and one that is set to go through a pooler.
async fn hosts(bench: &Bench) -> Option<[Bench; 2]> {
    if bench.database.engine() == Engine::Sqlite {
        return None;
    }
    let direct = bench.beside(|_| {}).await;
    Some([
        direct,
        bench.beside(|settings| settings.is_pooled = true).await,
    ])
}

pub(super) async fn days_that_cannot_be_made_now_leave_nothing_open(bench: Bench) {
    let Some(hosts) = hosts(&bench).await else {
        return;
    };
    for host in &hosts {
        let mut holder = holder(&bench, DAYS).await;
        let refused = host.store.prepare_days().await.unwrap_err().to_string();
        assert!(refused.contains("lock timeout"), "{refused}");
        only_the_holder_is_in_the_middle(&bench).await;
        // With all the connections that it has.
        for _ in 0..8 {
            host.beat().await;
        }
        holder.execute("rollback").await.unwrap();
        host.store.prepare_days().await.unwrap();
    }
}

pub(super) async fn a_day_that_somebody_reads_stays_and_nothing_is_left_open(bench: Bench) {
    let Some(hosts) = hosts(&bench).await else {
        return;
    };
    for host in &hosts {
        host.beat().await;
        let before = bench.now();
        let (event, _) = bench.deliver(None, false, "a", &[]).await;
        bench.pass(DAY * 3);
        host.store.prepare_days().await.unwrap();
        let (over, long_over) = (before.plus(DAY * 2), before.minus(DAY * 30));
        let remove = async || host.store.remove_days(over, long_over).await.unwrap();
        let mut holder = holder(&bench, "select count(*) from events").await;
        assert_eq!(remove().await, 0);
        only_the_holder_is_in_the_middle(&bench).await;
        host.beat().await;
        holder.execute("rollback").await.unwrap();
        eventually("the day can go", async || {
            (remove().await > 0).then_some(())
        })
        .await;
        assert!(bench.store.event(event).await.unwrap().is_none());
    }
}
