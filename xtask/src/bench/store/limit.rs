//! The machine's own limit: bare rows of the size that a push of 8 KiB has when it is
//! stored, 50 to a transaction, with the durability of the host.

use std::fs;

use anyhow::{Context, Result};

use super::Size;
use super::ground::{Ground, python};
use crate::postgres::FIRST_DATABASE;

/// What is left of 8,192 bytes and their headers, compressed.
const ROW_BYTES: usize = 4_192;
const ROWS: f64 = 50.0;
const CLIENTS: &str = "8";
const TABLE: &str =
    "create table bare (id bigint generated always as identity primary key, body bytea not null)";

pub(super) fn measure(ground: &mut Ground<'_>, size: Size) -> Result<()> {
    println!("\n## {}: the machine's own limit\n", ground.engine());
    println!("| what | rows/s |");
    println!("|---|--:|");
    let seconds = size.window.as_secs();
    let file = ground.scratch_file("bare")?;
    let Some(cluster) = &ground.cluster else {
        let (path, bytes) = (file.to_string_lossy(), ROW_BYTES.to_string());
        let rate = python(&["limit", &path, &bytes, &seconds.to_string()], "")?;
        let rate: f64 = rate.parse().context("python3 did not print a rate")?;
        println!(
            "| Python's sqlite3, {ROW_BYTES} B, 50 a transaction, WAL, synchronous=full | {rate:.0} |"
        );
        for suffix in ["", "-wal", "-shm"] {
            // The last connection removes the latter two.
            let _is_removed = fs::remove_file(format!("{path}{suffix}")).is_ok();
        }
        return Ok(());
    };
    cluster.psql(FIRST_DATABASE, TABLE)?;
    cluster.psql(
        FIRST_DATABASE,
        "alter table bare alter column body set storage external",
    )?;
    // Nothing compresses it, so that it need not be random through and through.
    let hashes = ROW_BYTES / 16;
    let insert = format!(
        "insert into bare (body) select decode(repeat(md5(random()::text), {hashes}), 'hex') from generate_series(1, 50)"
    );
    fs::write(&file, insert).with_context(|| format!("cannot write {}", file.display()))?;
    let seconds = format!("--time={seconds}");
    let options = ["--client", CLIENTS, "--jobs=2", &seconds];
    let rate = cluster.pgbench(FIRST_DATABASE, &file, &options)? * ROWS;
    println!("| pgbench, {ROW_BYTES} B, 50 a transaction, {CLIENTS} clients | {rate:.0} |");
    cluster.psql(FIRST_DATABASE, "drop table bare")?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}
