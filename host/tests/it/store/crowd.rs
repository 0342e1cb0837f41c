//! Many tasks on two hosts at once: at no moment do two runs of one ordering key execute,
//! nor one before another that was stored before it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use hookbay::kv::KvEffects;
use hookbay::retry::Next;
use hookbay::run::{Claimed, OrderKey, Outcome, RunId};
use hookbay::store::Settled;

use super::bench::{Bench, Dice, increment};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What executes now, and what has ended, by key.
#[derive(Default)]
struct Seen {
    executing: HashMap<OrderKey, RunId>,
    ended: HashMap<OrderKey, RunId>,
}

pub(super) async fn many_tasks_on_two_hosts_keep_every_order(bench: Bench) {
    const EVENTS: usize = 40;
    let other = bench.neighbour().await;
    let plugin = bench.plugin("p").await;
    let hosts: Vec<&Bench> = [Some(&bench), other.as_ref()]
        .into_iter()
        .flatten()
        .collect();
    let seen = Mutex::new(Seen::default());
    let ingest = (0..4).map(|n| {
        let host = hosts[n % hosts.len()];
        async move {
            let mut dice = Dice(7 + u64::try_from(n).unwrap());
            for _ in 0..EVENTS / 4 {
                let keys: Vec<&str> = (0..3).filter_map(|_| dice.one_of(&KEYS)).collect();
                host.in_order(plugin, &keys).await;
            }
        }
    });
    let work = (0..4).map(|n| {
        let (host, seen) = (hosts[n % hosts.len()], &seen);
        async move {
            let mut dice = Dice(99 + u64::try_from(n).unwrap());
            let mut ended = 0;
            let mut idle = 0;
            while idle < 50 {
                let (claimed, _) = host.claim(plugin, 2).await;
                idle = if claimed.is_empty() { idle + 1 } else { 0 };
                for one in claimed {
                    ended += execute(host, &one, seen, &mut dice).await;
                }
            }
            ended
        }
    });
    let (_, ended) = tokio::join!(join_all(ingest), join_all(work));
    // What came after everybody had stopped looking.
    let mut late = 0;
    loop {
        // Runs that met each other often wait a little.
        bench.pass(Duration::from_secs(60));
        let (claimed, _) = bench.claim(plugin, 2).await;
        if claimed.is_empty() {
            break;
        }
        for one in claimed {
            late += execute(&bench, &one, &seen, &mut Dice(5)).await;
        }
    }
    let ended = ended.into_iter().sum::<usize>() + late;
    assert_eq!(ended, 3 * EVENTS);
    let states = bench.states().await;
    assert!(states.iter().all(|state| !state.is_live()), "{states:?}");
}

/// Notes that a run executes, checks that it may, and ends the attempt somehow; how many
/// runs it ended.
async fn execute(host: &Bench, claimed: &Claimed, seen: &Mutex<Seen>, dice: &mut Dice) -> usize {
    let (run, key) = (claimed.fence.run, claimed.order.unwrap());
    {
        let mut seen = seen.lock().unwrap();
        let before = seen.executing.insert(key, run);
        assert_eq!(before, None, "two at once");
        let last = seen.ended.get(&key);
        assert!(last.is_none_or(|last| *last < run), "{run} after {last:?}");
    }
    let what = dice.below(5);
    {
        let mut seen = seen.lock().unwrap();
        seen.executing.remove(&key);
        if what < 2 {
            seen.ended.insert(key, run);
        }
    }
    let settled = match what {
        0 => host.succeed(claimed, increment("n")).await,
        1 => host.die(claimed).await,
        2 => host.fail(claimed).await,
        3 => {
            let none = KvEffects::default();
            let again = host.finish(claimed, Outcome::Conflict, Next::Again, none);
            // Who meets others again and again waits a little.
            host.pass(Duration::from_secs(6));
            again.await
        }
        _ => {
            host.store.release(vec![claimed.fence]).await.unwrap();
            return 0;
        }
    };
    assert_ne!(settled, Settled::Fenced, "nobody takes it away");
    usize::from(what < 2)
}
