//! A disk that is full under load, and has room again: the host answers 503 meanwhile and
//! goes on by itself. To a process whose files may not grow, its disk is full.

use anyhow::{Result, bail};

use super::stage::{Demands, Stage, WITHIN};
use crate::delivery::{Delivery, sample_push};
use crate::host::Host;
use crate::sender::Sender;

const BODY_BYTES: usize = 8_192;
const REFUSAL_TRIES: u32 = 200;

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
        host.limit_files(Some(host.largest_file_bytes()?))?;
        host.wait_until_ready(false, WITHIN)?;
        let mut sender = Sender::new(host, &stage.acked())?;
        let delivery = sender.sign(&sample_push(1, BODY_BYTES)?);
        let refused = find_refused(&mut sender, &delivery)?;
        println!("the disk is full, and deliveries are refused");
        host.limit_files(None)?;
        host.wait_until_ready(true, WITHIN)?;
        stage.expect(1);
        sender.deliver(&delivery, &refused, "")?;
    }
    stage.finish(vec![load])?;
    host.check_alive()?;
    Ok(is_filled)
}

/// Before the answer is a refusal, the host waits for a while whether the disk has room again.
fn find_refused(sender: &mut Sender, delivery: &Delivery) -> Result<String> {
    for _ in 0..REFUSAL_TRIES {
        let id = sender.take_id();
        if sender.is_refused(delivery, &id) {
            return Ok(id);
        }
    }
    bail!("with a full disk, none of {REFUSAL_TRIES} deliveries was refused");
}
