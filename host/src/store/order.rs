//! Ordering keys: runs of one plugin with the same key go one at a time, in the
//! order in which they were stored.
//!
//! Only the first of a key is `ready` or `running`; the others are stored as
//! blocked and so are not in the index that claims look at. Whoever stores a run
//! with a key, or ends one, holds the key's lock until the commit: on Postgres an
//! advisory one taken before ids are drawn, on SQLite the one writer is enough.

use crate::run::{OrderKey, PluginId, RunId};

use super::StoreError;
use super::rows::{Kind, ManyRows};
use super::sql::{Dialect, sql};
use super::tx::Tx;

/// A key of a plugin.
pub(super) type Key = (PluginId, OrderKey);

/// Locks that keys share: a transaction holds at most so many of them.
const LOCKS: u64 = 512;
/// Keeps our advisory locks apart from each other; the low half says which.
const ORDER: i64 = 0x686b_0001 << 32;
const STATE: i64 = 0x686b_0002 << 32;

/// The statements of ordering keys.
pub(super) struct Statements {
    promote: ManyRows,
    block: ManyRows,
}

impl Statements {
    pub(super) const fn new() -> Self {
        Self {
            promote: ManyRows::new(
                "with wanted (plugin_id, order_key) as (",
                &[Kind::Int, Kind::Bytes],
                ") update runs set state = 0 where state = 2 and run_id in (select \
                 (select r.run_id from runs r where r.plugin_id = w.plugin_id and r.order_key = w.order_key \
                 order by r.run_id limit 1) from wanted w \
                 where not exists (select 1 from order_blocks b \
                 where b.plugin_id = w.plugin_id and b.order_key = w.order_key) \
                 and not exists (select 1 from runs o where o.plugin_id = w.plugin_id \
                 and o.order_key = w.order_key and o.state in (0, 1)))",
            ),
            block: ManyRows::new(
                "with wanted (plugin_id, order_key, run_id) as (",
                &[Kind::Int, Kind::Bytes, Kind::Int],
                ") insert into order_blocks (plugin_id, order_key, run_id) \
                 select w.plugin_id, w.order_key, w.run_id from wanted w \
                 cross join plugins p on p.plugin_id = w.plugin_id and p.blocks_on_dead = 1",
            ),
        }
    }

    /// Makes the first run of each key ready, where none is and nothing blocks it.
    pub(super) async fn promote(&self, tx: &mut Tx, keys: &[Key]) -> Result<(), StoreError> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let rows = keys
            .iter()
            .map(|(plugin, key)| [plugin.0.into(), key.as_bytes().as_slice().into()]);
        self.promote.with(rows).execute(tx).await?;
        Ok(())
    }

    /// Blocks the keys of runs that died, where their plugins want it so.
    pub(super) async fn block(&self, tx: &mut Tx, dead: &[(Key, RunId)]) -> Result<(), StoreError> {
        let rows = dead.iter().map(|((plugin, key), run)| {
            [
                plugin.0.into(),
                key.as_bytes().as_slice().into(),
                run.0.into(),
            ]
        });
        self.block.with(rows).execute(tx).await?;
        Ok(())
    }
}

/// Locks keys, and the state of plugins, until the end of the transaction. Must be a
/// statement of its own before any that reads: what is read after it is what the
/// holder before it left.
pub(super) async fn lock(
    tx: &mut Tx,
    keys: impl Iterator<Item = Key>,
    states: impl Iterator<Item = PluginId>,
) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let states = states.map(|plugin| STATE | plugin.0);
    let mut locks: Vec<i64> = keys.map(|key| lock_of(&key)).chain(states).collect();
    if locks.is_empty() {
        return Ok(());
    }
    // Everybody takes them in the same order, so that nobody waits for each other.
    locks.sort_unstable();
    locks.dedup();
    let lock = sql("select pg_advisory_xact_lock(id) from unnest($1) as id").bind(locks);
    tx.fetch_all(lock).await?;
    Ok(())
}

/// The same on every host, whatever its build.
fn lock_of((plugin, key): &Key) -> i64 {
    let [a, b, ..] = *key.as_bytes();
    let spread = u64::from(u16::from_be_bytes([a, b])).wrapping_add(plugin.0.unsigned_abs());
    ORDER | i64::try_from(spread % LOCKS).unwrap_or_default()
}
