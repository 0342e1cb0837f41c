//! Many hosts on one database: they share the work, and stand in for each other.
//!
//! SQLite has one host, so there is nothing to do on it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually, outcomes};
use crate::program::Program;

/// One attempt: a lost one that were counted would be the last.
const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
retry = { attempts = 1 }
limits = { wall = "60s" }
"#;

/// Two hosts with what each has of plugins; none on SQLite.
async fn two(toml: &str, first: &[&str], second: &[&str]) -> Option<[Host; 2]> {
    if Engine::of_hosts() == Engine::Sqlite {
        return None;
    }
    let folder = Folder::new(toml, first).await;
    let beside = folder.beside(toml, second);
    Some([Host::over(folder).await, Host::over(beside).await])
}

fn increment() -> Value {
    json!({ "do": "kv_increment", "key": "n", "by": 1 })
}

/// Has both hosts told the same, each every other time; the events in this order.
async fn tell_both(hosts: &[Host; 2], what: &Value, count: usize) -> Vec<String> {
    join_all((0..count).map(|n| hosts[n % 2].tell(what))).await
}

/// When an attempt began and how long it took, in milliseconds.
fn interval(run: &Value) -> (i64, i64) {
    let attempt = run["attempts"].as_array().unwrap().last().unwrap();
    let start = attempt["started_at"].as_str().unwrap();
    let start = hookbay::clock::Timestamp::parse(start).unwrap().millis();
    let length = attempt["duration_ms"].as_f64().unwrap();
    (start, start + length as i64)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_the_work_and_do_it_once() {
    const MANY: usize = 400;
    let Some(hosts) = two(CONFIG, &["misbehave"], &["misbehave"]).await else {
        return;
    };
    let events = tell_both(&hosts, &increment(), MANY).await;
    for event in &events {
        assert_eq!(outcomes(&hosts[0].finished(event).await), ["succeeded"]);
    }
    assert_eq!(hosts[1].kv("misbehave", "n").await, Some(MANY.to_string()));
    let plugin = hosts[1].settled("misbehave").await;
    assert_eq!(plugin["runs"]["succeeded"], MANY);
    let by_host = "select count(*) from plugin_counts where n_succeeded > 0";
    let database = &hosts[0].folder.database;
    assert_eq!(database.number(by_host).await, 2, "both had a part in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_hosts_runs_are_finished_by_another() {
    const MANY: usize = 40;
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    let victim = Program::start(&folder).await;
    let asleep = json!({ "do": "sleep", "ms": 2500 });
    let mut answers = join_all((0..4).map(|_| victim.send("misbehave", &asleep))).await;
    eventually("its slots are taken", async || {
        let page = victim.get("runs?state=running").await;
        (page["items"].as_array()?.len() == 4).then_some(())
    })
    .await;
    let what = increment();
    answers.extend(join_all((0..MANY).map(|_| victim.send("misbehave", &what))).await);
    eventually("it has claimed more than it executes", async || {
        let held = "select count(*) from runs where state = 1";
        (folder.database.number(held).await > 4).then_some(())
    })
    .await;
    let other = Host::over(folder.beside(CONFIG, &["misbehave"])).await;
    victim.kill().await;

    for answer in &answers {
        let run = other.finished(&answer.event()).await;
        let outcomes = outcomes(&run);
        let (last, before) = outcomes.split_last().unwrap();
        assert_eq!(*last, "succeeded");
        assert!(before.iter().all(|one| *one == "host_lost"), "{outcomes:?}");
    }
    let lost = "select count(*) from attempts where outcome = 'host_lost'";
    assert!(folder.database.number(lost).await > 4);
    assert_eq!(other.kv("misbehave", "n").await, Some(MANY.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_frozen_past_its_lease_doubles_nothing() {
    const MANY: usize = 50;
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    let frozen = Program::start(&folder).await;
    let asleep = json!({ "do": "sleep", "ms": 800 });
    let what = increment();
    let mut answers = join_all((0..4).map(|_| frozen.send("misbehave", &asleep))).await;
    answers.extend(join_all((0..MANY).map(|_| frozen.send("misbehave", &what))).await);
    eventually("it holds runs", async || {
        let held = "select count(*) from runs where state = 1";
        (folder.database.number(held).await > 10).then_some(())
    })
    .await;
    frozen.freeze();
    let other = Host::over(folder.beside(CONFIG, &["misbehave"])).await;
    for answer in &answers {
        other.finished(&answer.event()).await;
    }
    let all = MANY.to_string();
    assert_eq!(other.kv("misbehave", "n").await, Some(all.clone()));

    frozen.thaw();
    // What it takes now goes on as if nothing had been.
    let after = eventually("it takes webhooks again", async || {
        let answer = frozen.send("misbehave", &json!({ "do": "ok" })).await;
        (answer.status == 202).then(|| answer.event())
    })
    .await;
    other.finished(&after).await;
    assert_eq!(frozen.terminate().await, Some(0));
    assert_eq!(other.kv("misbehave", "n").await, Some(all));
    let plugin = other.settled("misbehave").await;
    assert_eq!(plugin["runs"]["succeeded"], answers.len() + 1);
    for answer in &answers {
        let run = other.finished(&answer.event()).await;
        let successes = outcomes(&run)
            .iter()
            .filter(|one| **one == "succeeded")
            .count();
        assert_eq!(successes, 1, "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_plugin_runs_what_another_received() {
    let Some([has, has_not]) = two(CONFIG, &["misbehave"], &[]).await else {
        return;
    };
    let event = has_not.tell(&json!({ "do": "ok" })).await;
    assert_eq!(outcomes(&has.finished(&event).await), ["succeeded"]);
    eventually("it is active, elsewhere", async || {
        let plugin = has_not.get("plugins/misbehave").await;
        (plugin["state"] == "active").then_some(())
    })
    .await;
    // One that joins later takes its part without anybody's help.
    has.stop().await;
    let event = has_not.tell(&json!({ "do": "ok" })).await;
    let joins = Host::over(has_not.folder.beside(CONFIG, &["misbehave"])).await;
    assert_eq!(outcomes(&joins.finished(&event).await), ["succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_cannot_hear_each_other_look_by_themselves() {
    if !Engine::Pooled.is_here() {
        return;
    }
    let folder = Folder::on(Engine::Pooled, CONFIG, &["misbehave"]).await;
    let beside = folder.beside(CONFIG, &[]);
    let (has, has_not) = (Host::over(folder).await, Host::over(beside).await);
    let what = increment();
    for _ in 0..3 {
        let events = join_all((0..20).map(|_| has_not.tell(&what))).await;
        for event in &events {
            assert_eq!(outcomes(&has.finished(event).await), ["succeeded"]);
        }
    }
    assert_eq!(has.kv("misbehave", "n").await.as_deref(), Some("60"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_on_every_host() {
    let Some(hosts) = two(CONFIG, &["misbehave"], &["misbehave"]).await else {
        return;
    };
    let pause = async |is_paused: bool| {
        let store = hosts[0].store();
        let id = store.plugins().await.unwrap()[0].plugin_id;
        let plugin = hookbay::run::PluginId(id);
        store.pause_plugin(plugin, is_paused).await.unwrap();
        store.tell_registry().await.unwrap();
        let state = if is_paused { "paused" } else { "active" };
        for host in &hosts {
            eventually("every host knows", async || {
                let plugin = host.get("plugins/misbehave").await;
                (plugin["state"] == state).then_some(())
            })
            .await;
        }
    };
    pause(true).await;
    let events = tell_both(&hosts, &increment(), 20).await;
    let plugin = hosts[1].get("plugins/misbehave").await;
    assert_eq!(plugin["runs"]["blocked"], 20, "{plugin}");
    pause(false).await;
    for event in &events {
        assert_eq!(outcomes(&hosts[1].finished(event).await), ["succeeded"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_key_go_one_at_a_time_whoever_executes_them() {
    const EACH: usize = 30;
    let config = format!(
        "{CONFIG}concurrency = 8\n\
         triggers = [{{ source = 'misbehave', kind = '**', ordering_key = '/key' }}]\n"
    )
    .replace("limits =", "# limits =");
    let Some(hosts) = two(&config, &["misbehave"], &["misbehave"]).await else {
        return;
    };
    // Each reads a number and writes its successor, which is also its summary.
    let mut events: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for n in 0..EACH {
        for key in ["a", "b", "c"] {
            let what = json!({ "do": "get_then_set", "key": key });
            let event = hosts[n % 2].tell(&what).await;
            events.entry(key).or_default().push(event);
        }
    }
    for (key, events) in events {
        for (n, event) in events.iter().enumerate() {
            let run = hosts[0].finished(event).await;
            assert_eq!(run["summary"], (n + 1).to_string(), "{key}");
            assert_eq!(outcomes(&run), ["succeeded"], "nobody met anybody");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_execute_at_once_than_may() {
    let config = format!("{CONFIG}concurrency = 2\n");
    let host = Host::start(&config, &["misbehave"]).await;
    let what = json!({ "do": "sleep", "ms": 100 });
    let events = join_all((0..12).map(|_| host.tell(&what))).await;
    let mut intervals = Vec::new();
    for event in &events {
        intervals.push(interval(&host.finished(event).await));
    }
    // Clocks that were set right in between make a few milliseconds.
    const NEARLY: i64 = 30;
    for (start, _) in &intervals {
        let at = start + NEARLY;
        let executing = intervals
            .iter()
            .filter(|(from, to)| *from <= at && at < to - NEARLY);
        assert!(executing.count() <= 2, "{intervals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_keep_to_one_rate() {
    let config = format!("{CONFIG}rate = \"5/s\"\n");
    let began = Instant::now();
    let hosts: Vec<Host> = match two(&config, &["misbehave"], &["misbehave"]).await {
        Some(hosts) => hosts.into(),
        None => vec![Host::start(&config, &["misbehave"]).await],
    };
    let ready = began.elapsed();
    let what = json!({ "do": "ok" });
    let of = |n: usize| &hosts[n % hosts.len()];
    let events = join_all((0..15).map(|n| of(n).tell(&what))).await;
    for event in &events {
        hosts[0].finished(event).await;
    }
    // Five at once, then five a second: whatever else it took, the tenth of these
    // had to wait for two seconds.
    let took = began.elapsed() - ready;
    assert!(took > Duration::from_millis(1900), "{took:?}");
}

/// A rescue waits for locks, and under an old snapshot passes over all that ever ran: the
/// lease is renewed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_rescue_that_takes_long_costs_no_lease() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let host = Host::over(Folder::new(CONFIG, &["misbehave"]).await).await;
    let database = &host.folder.database;
    let mut holder = database.connect().await;
    // The locks of all ordering keys.
    holder
        .execute(
            "select pg_advisory_lock((x'686b0001'::bigint << 32) | n) from generate_series(0, 511) n",
        )
        .await
        .unwrap();
    // A run of a host that is gone; no plugin takes it.
    holder
        .execute(
            "insert into runs (event_id, plugin_id, state, due_ms, owner, lease_no, order_key, created_ms) \
             values (decode(repeat('01', 16), 'hex'), 999, 1, 0, 7, 1, decode(repeat('ab', 16), 'hex'), 0)",
        )
        .await
        .unwrap();
    eventually("a rescue waits for a lock", async || {
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted \
                       and database = (select oid from pg_database where datname = current_database())";
        (database.number(waiting).await == 1).then_some(())
    })
    .await;
    let lease = "select lease_ms from hosts";
    let before = database.number(lease).await;
    eventually("the lease was renewed again and again", async || {
        (database.number(lease).await > before + 6000).then_some(())
    })
    .await;
    assert_eq!(
        host.told(&json!({ "do": "ok" })).await["state"],
        "succeeded"
    );
    holder.close().await.unwrap();
    eventually("the run is rescued", async || {
        let rescued = "select count(*) from runs where state = 0 and plugin_id = 999";
        (database.number(rescued).await == 1).then_some(())
    })
    .await;
}

/// A day of events that is taken away is out of sight for a moment, though a run of one of
/// them may have been started just before.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_an_event_that_is_out_of_sight() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let host = Host::over(Folder::new(CONFIG, &["misbehave"]).await).await;
    assert_eq!(host.post("plugins/misbehave/pause").await.status, 204);
    let event = host.tell(&json!({ "do": "ok" })).await;
    let mut beside = host.folder.database.connect().await;
    let away = "create table aside as select * from events; delete from events";
    beside.execute(sqlx::raw_sql(away)).await.unwrap();
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    eventually("its run is claimed", async || {
        let running = "select count(*) from runs where state = 1";
        (host.folder.database.number(running).await == 1).then_some(())
    })
    .await;
    let back = "insert into events select * from aside";
    beside.execute(sqlx::raw_sql(back)).await.unwrap();
    let run = host.finished(&event).await;
    assert_eq!(outcomes(&run), ["succeeded"]);
}
