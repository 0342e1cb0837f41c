//! Plugins' state, when runs on two hosts touch it.

use futures_util::future::join_all;
use hookbay::kv::{KvEffects, KvRead, KvWrite};
use hookbay::retry::Next;
use hookbay::run::{Claimed, Outcome, PluginId};
use hookbay::store::{KvValue, Settled};

use super::bench::{Bench, increment, set};

const DONE: Settled = Settled::Recorded(Outcome::Succeeded, Next::Succeeded);
const CONFLICT: Settled = Settled::Recorded(Outcome::Conflict, Next::Again);

fn effects(read: KvRead, write: KvWrite) -> KvEffects {
    KvEffects {
        reads: vec![read],
        writes: vec![write],
    }
}

/// What a run that reads the key now notes.
async fn look(bench: &Bench, plugin: PluginId, key: &str) -> (KvRead, Option<KvValue>) {
    let value = bench.store.kv_get(plugin, key).await.unwrap();
    let read = KvRead::Key {
        key: key.to_owned(),
        version: value.as_ref().map(|value| value.version),
    };
    (read, value)
}

/// The successor of the number under a key, as a guest would write it.
async fn succeed_number(bench: &Bench, plugin: PluginId, key: &str) -> KvEffects {
    let (read, value) = look(bench, plugin, key).await;
    let text = value.map_or("0".to_owned(), |value| {
        String::from_utf8(value.value).unwrap()
    });
    let next = text.parse::<u64>().unwrap() + 1;
    effects(read, set(key, &next.to_string()))
}

pub(super) async fn increments_of_two_hosts_merge(bench: Bench) {
    const MANY: usize = 100;
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2 * MANY).await;
    let (ours, _) = bench.claim(plugin, 100).await;
    let (theirs, _) = other.claim(plugin, 100).await;
    let ours = ours.iter().map(|one| bench.succeed(one, increment("n")));
    let theirs = theirs.iter().map(|one| other.succeed(one, increment("n")));
    let (ours, theirs) = tokio::join!(join_all(ours), join_all(theirs));
    assert!(ours.iter().chain(&theirs).all(|one| *one == DONE));
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("200"));
    let counts = other.store.plugin_runs(plugin).await.unwrap();
    assert_eq!(counts.succeeded, 200, "each host counts its own");
}

pub(super) async fn read_and_write_on_two_hosts_is_in_some_order(bench: Bench) {
    const MANY: usize = 40;
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, MANY).await;
    let until_done = async |host: &Bench| {
        let mut conflicts = 0;
        loop {
            let (claimed, _) = host.claim(plugin, 4).await;
            if claimed.is_empty() {
                return conflicts;
            }
            let one = async |claimed: &Claimed| {
                let effects = succeed_number(host, plugin, "n").await;
                host.succeed(claimed, effects).await
            };
            let settled = join_all(claimed.iter().map(one)).await;
            conflicts += settled.iter().filter(|one| **one == CONFLICT).count();
            // What conflicts again and again is due a little later.
            host.pass(std::time::Duration::from_secs(10));
        }
    };
    let (ours, theirs) = tokio::join!(until_done(&bench), until_done(&other));
    assert!(ours + theirs > 0, "they did meet");
    while until_done(&bench).await > 0 {}
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!(counts.succeeded, 40);
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("40"));
}

pub(super) async fn whatever_was_read_must_still_stand_on_another_host(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 10).await;
    let (claimed, _) = bench.claim(plugin, 10).await;
    let keys = |keys: &[&str]| KvRead::List {
        prefix: "x/".to_owned(),
        limit: 10,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let delete = |key: &str| KvWrite::Delete {
        key: key.to_owned(),
    };
    let absent = look(&bench, plugin, "x/1").await.0;
    let cases = [
        ("absent", absent.clone(), set("x/1", "1"), DONE),
        (
            "not absent any more",
            absent.clone(),
            set("x/1", "2"),
            CONFLICT,
        ),
        ("one key", keys(&["x/1"]), set("x/2", "1"), DONE),
        ("two keys by now", keys(&["x/1"]), set("x/3", "1"), CONFLICT),
        ("both keys", keys(&["x/1", "x/2"]), delete("x/1"), DONE),
        ("one less", keys(&["x/1", "x/2"]), set("x/4", "1"), CONFLICT),
        ("absent again", absent, set("x/1", "3"), DONE),
    ];
    for ((what, read, write, expected), (n, claimed)) in
        cases.into_iter().zip(claimed.iter().enumerate())
    {
        let host = if n % 2 == 0 { &bench } else { &other };
        let settled = host.succeed(claimed, effects(read, write)).await;
        assert_eq!(settled, expected, "{what}");
    }
    // The same value in another write is another version.
    let (read, _) = look(&bench, plugin, "x/1").await;
    let same = effects(read.clone(), set("x/1", "3"));
    assert_eq!(other.succeed(&claimed[7], same.clone()).await, DONE);
    assert_eq!(bench.succeed(&claimed[8], same).await, CONFLICT);
}

pub(super) async fn a_counter_that_is_none_ends_its_run(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2).await;
    let (claimed, _) = bench.claim(plugin, 2).await;
    let text = KvEffects {
        reads: Vec::new(),
        writes: vec![set("n", "many")],
    };
    bench.succeed(&claimed[0], text).await;
    let mut wrong = increment("n");
    wrong.writes.insert(0, set("other", "1"));
    let dead = Settled::Recorded(Outcome::Permanent, Next::Dead);
    assert_eq!(bench.succeed(&claimed[1], wrong).await, dead);
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("many"));
    assert_eq!(bench.value(plugin, "other").await, None);
}

pub(super) async fn plugins_do_not_see_each_others_state(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(plugin, 1).await;
    bench.runs_for(other, 1).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    bench.succeed(&claimed[0], increment("n")).await;
    assert_eq!(bench.value(other, "n").await, None);
    let (claimed, _) = bench.claim(other, 1).await;
    let absent = look(&bench, other, "n").await.0;
    let settled = bench
        .succeed(&claimed[0], effects(absent, set("n", "7")))
        .await;
    assert_eq!(settled, DONE);
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("1"));
}
