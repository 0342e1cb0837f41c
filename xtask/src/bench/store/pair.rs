//! Two hosts on one Postgres against one: what they finish together, and what a finished
//! run costs the server, from its own counters.

use std::thread;

use anyhow::{Context, Result};

use super::Size;
use super::ground::{Ground, Store};
use super::queue::Window;
use crate::postgres::FIRST_DATABASE;

/// The server's counters for one database.
struct Counters {
    statements: f64,
    buffers: f64,
    wal_bytes: f64,
}

pub(super) fn measure(ground: &mut Ground<'_>, size: Size) -> Result<()> {
    println!(
        "\n## Postgres: two hosts against one, {} ready runs\n",
        size.ready
    );
    println!("| hosts | claimed and finished/s | statements/run | buffers/run | WAL bytes/run |");
    println!("|--:|--:|--:|--:|--:|");
    if let Some(cluster) = &ground.cluster {
        cluster.psql(
            FIRST_DATABASE,
            "create extension if not exists pg_stat_statements",
        )?;
    }
    for n_hosts in [1, 2] {
        let mut store = ground.filled_store(size.ready, 0)?;
        store.host.start()?;
        let mut second = None;
        if n_hosts == 2 {
            second.insert(ground.second_host(&store)?).start()?;
        }
        let window = Window::open(&store.host)?;
        let before = Counters::read(ground, &store)?;
        thread::sleep(size.window);
        let after = Counters::read(ground, &store)?;
        let measured = window.close()?;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let runs = measured.finished.max(1) as f64;
        println!(
            "| {n_hosts} | {:.0} | {:.3} | {:.1} | {:.0} |",
            measured.rate(),
            (after.statements - before.statements) / runs,
            (after.buffers - before.buffers) / runs,
            (after.wal_bytes - before.wal_bytes) / runs,
        );
        if let Some(mut second) = second {
            second.kill()?;
            second.remove()?;
        }
        ground.remove(store)?;
    }
    Ok(())
}

impl Counters {
    fn read(ground: &Ground<'_>, store: &Store) -> Result<Self> {
        let cluster = ground.cluster.as_ref().context("there is no server")?;
        let row = cluster.psql(
            FIRST_DATABASE,
            &format!(
                "select sum(calls), sum(shared_blks_hit + shared_blks_read), \
                 pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') from pg_stat_statements \
                 where dbid = (select oid from pg_database where datname = '{}')",
                store.database_name
            ),
        )?;
        let numbers: Vec<f64> = row.split('|').filter_map(|n| n.parse().ok()).collect();
        let [statements, buffers, wal_bytes] = numbers[..] else {
            anyhow::bail!("the server's counters are `{row}`");
        };
        Ok(Self {
            statements,
            buffers,
            wal_bytes,
        })
    }
}
