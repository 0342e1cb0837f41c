//! Ordering keys: one sender per key, which sends the next delivery when the last one is
//! acknowledged, so that the order of commits is known; hosts are killed meanwhile.
//!
//! The guest reads a number under the key, writes its successor and says what it wrote. In
//! order and one at a time, the runs of a key say 1, 2, 3 …; two at once would both have
//! read the same, and one of them would end as a `conflict`.

use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::stage::{Demands, Stage, TRIES, WITHIN};
use crate::host::{Host, acked_count};
use crate::sender::Sender;

const KEYS: u64 = 8;
const GUEST: &str = "misbehave";
const TRIGGER: &str = "\n[plugins.misbehave]\n\
    triggers = [{ source = \"github\", kind = \"push\", ordering_key = \"/key\" }]\n";

pub(super) fn play(stage: &mut Stage<'_>) -> Result<()> {
    let mut killed = stage.host_with_guest(GUEST, TRIGGER)?;
    killed.start()?;
    // On Postgres another one works on the same keys, and is not killed.
    let mut other = None;
    if stage.cluster.is_some() {
        let host = other.insert(stage.host_with_guest(GUEST, TRIGGER)?);
        host.start()?;
    }
    let mut tries = 0;
    let mut kills = 0;
    while kills < stage.size.kills {
        if tries == TRIES * stage.size.kills {
            bail!("no moment with unfinished runs in {tries} storms");
        }
        tries += 1;
        if storm(stage, &mut killed, other.as_ref())? {
            kills += 1;
        }
    }
    let mut options = vec!["--ordered"];
    if other.is_some() {
        options.push("--many-clocks");
    }
    let demands = Demands {
        plugin: Some(GUEST),
        options: &options,
        ..Demands::default()
    };
    stage.compare(&killed, &demands)?;
    killed.kill()
}

/// True when a kill fell into it. Keys are split over the hosts; each has one sender.
fn storm(stage: &mut Stage<'_>, killed: &mut Host, other: Option<&Host>) -> Result<bool> {
    let per_key = stage.size.requests / KEYS;
    let acked = stage.acked();
    let before = acked_count(&acked);
    let mut senders = Vec::new();
    for key in 0..KEYS {
        let host = other.filter(|_| key % 2 == 1).unwrap_or(&*killed);
        senders.push((key, Sender::new(host, &acked)?));
    }
    stage.expect(per_key * KEYS);
    thread::scope(|scope| {
        let threads: Vec<_> = senders
            .into_iter()
            .map(|(key, sender)| scope.spawn(move || send_key(sender, key, per_key)))
            .collect();
        let is_killed = kill_in_the_middle(&acked, before, per_key * KEYS, killed);
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        is_killed
    })
}

fn send_key(mut sender: Sender, key: u64, n: u64) -> Result<()> {
    let name = format!("pushes/{key}");
    let body = json!({ "do": "get_then_set", "key": &name }).to_string();
    let delivery = sender.sign(body.as_bytes());
    for _ in 0..n {
        let id = sender.take_id();
        sender.deliver(&delivery, &id, &name)?;
    }
    Ok(())
}

fn kill_in_the_middle(
    acked: &std::path::Path,
    before: u64,
    sent: u64,
    host: &mut Host,
) -> Result<bool> {
    let mut admin = host.admin()?;
    let started = std::time::Instant::now();
    while started.elapsed() < WITHIN {
        let n_acked = acked_count(acked);
        let states = admin.run_states(GUEST)?;
        let unfinished = n_acked.saturating_sub(states.of("succeeded"));
        if n_acked >= before + sent / 4 && unfinished > 0 && states.of("running") > 0 {
            println!("killed with {unfinished} of {n_acked} acknowledged unfinished ({states})");
            host.kill()?;
            host.start().context("after the kill")?;
            return Ok(true);
        }
        if n_acked >= before + sent {
            return Ok(false);
        }
    }
    bail!("the senders did not end within {} s", WITHIN.as_secs());
}
