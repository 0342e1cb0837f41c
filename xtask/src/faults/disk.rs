//! A disk that is full under load, and has room again: the host answers 503 meanwhile and
//! goes on by itself. To a process whose files may not grow, its disk is full: the host's on
//! SQLite, the server's on Postgres. There only the largest table is at its limit, so that
//! runs still end.

use anyhow::{Result, bail};

use super::stage::{Demands, PLUGIN, Stage, WITHIN};
use crate::delivery::{Delivery, sample_push};
use crate::host::{Host, acked_count};
use crate::sender::Sender;

const BODY_BYTES: usize = 8_192;
/// The limit may leave room for so much: of a log that is shorter than the database, or of
/// what the server has set aside.
const REFUSAL_TRIES: u32 = 6_000;

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut host = stage.host()?;
    host.start()?;
    stage.repeat(|stage| fill_under_load(stage, &mut host))?;
    stage.compare(&host, &Demands::default())?;
    host.kill()
}

fn fill_under_load(stage: &mut Stage<'_>, host: &mut Host) -> Result<bool> {
    let load = stage.load(host, stage.size.requests, 0)?;
    let is_filled = stage.wait_for_work(host)?;
    if is_filled {
        fill(stage, host)?;
        let mut sender = Sender::new(host, &stage.acked())?;
        let delivery = sender.sign(&sample_push(1, BODY_BYTES)?);
        let refused = find_refused(stage, &mut sender, &delivery)?;
        println!("the disk is full, and deliveries are refused");
        if stage.cluster.is_none() {
            host.wait_until_ready(false, WITHIN)?;
        } else {
            let states = host.wait_until_drained(PLUGIN, acked_count(&stage.acked()), WITHIN)?;
            println!("runs have ended all the same ({states})");
        }
        free(stage, host)?;
        host.wait_until_ready(true, WITHIN)?;
        stage.expect(1);
        sender.deliver(&delivery, &refused, "")?;
    }
    stage.finish(vec![load])?;
    host.check_alive()?;
    Ok(is_filled)
}

fn fill(stage: &Stage<'_>, host: &Host) -> Result<()> {
    match &stage.cluster {
        Some(cluster) => cluster.fill_disk(stage.database_name()),
        None => host.limit_files(Some(host.largest_file_bytes()?)),
    }
}

fn free(stage: &Stage<'_>, host: &Host) -> Result<()> {
    match &stage.cluster {
        Some(cluster) => cluster.free_disk(),
        None => host.limit_files(None),
    }
}

/// Before the answer is a refusal, the host waits for a while whether the disk has room again.
fn find_refused(stage: &mut Stage<'_>, sender: &mut Sender, delivery: &Delivery) -> Result<String> {
    for _ in 0..REFUSAL_TRIES {
        let id = sender.take_id();
        if sender.is_refused(delivery, &id)? {
            return Ok(id);
        }
        stage.expect(1);
    }
    bail!("with a full disk, none of {REFUSAL_TRIES} deliveries was refused");
}
