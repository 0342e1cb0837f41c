//! SQLite's log, while somebody reads for long.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use super::bench::Bench;
use crate::database::Engine;

/// Events of one round: more than a checkpoint is due after.
const EVENTS: usize = 300;

/// Stores events of 64 KiB that cannot be compressed.
async fn store_much(bench: &Bench) {
    let mut dice = super::bench::Dice(0x5eed);
    let mut digit = || char::from(b'!' + u8::try_from(dice.below(90)).unwrap());
    let body: String = (0..(64 << 10)).map(|_| digit()).collect();
    for _ in 0..EVENTS {
        bench.deliver(None, false, &body, &[]).await;
    }
}

/// A reader keeps the log from being moved into the file: writes go on, the log's size
/// can be told, and it is short again once the reader has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_reader_stops_nobody_and_the_log_is_short_after_it() {
    let bench = Bench::on(Engine::Sqlite).await;
    store_much(&bench).await;
    let usual = bench.store.log_bytes().unwrap();
    assert!(usual > 0);

    let options = SqliteConnectOptions::new().filename(bench.file().unwrap());
    let mut reader = options.read_only(true).connect().await.unwrap();
    reader.execute("begin").await.unwrap();
    let first = reader.fetch_all("select id from events").await.unwrap();
    for _ in 0..5 {
        store_much(&bench).await;
    }
    let held = bench.store.log_bytes().unwrap();
    assert!(held > 80 << 20, "{held} bytes");
    let still = reader.fetch_all("select id from events").await.unwrap();
    assert_eq!(first.len(), still.len(), "it reads what was there");

    reader.execute("commit").await.unwrap();
    reader.close().await.unwrap();
    for _ in 0..2 {
        store_much(&bench).await;
    }
    let after = bench.store.log_bytes().unwrap();
    assert!(after <= 64 << 20, "{after} bytes, {held} before");
}
