//! How attempts end, and what they leave: everything, or nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookbay::event::Event;
use hookbay::kv::{KvEffects, KvRead, KvWrite};
use hookbay::retry::Next;
use hookbay::run::{NewRun, OrderKey, Outcome, PluginId, RunState};
use hookbay::store::{EventFilter, Finished, NewEvent, Retried, Settled};

use super::bench::{Bench, WINDOW, increment, set};

pub(super) async fn who_has_lost_a_run_changes_nothing(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 1).await;
    let (stale, _) = bench.claim(plugin, 1).await;
    bench.store.release(vec![stale[0].fence]).await.unwrap();
    assert_eq!(
        bench.succeed(&stale[0], increment("n")).await,
        Settled::Fenced,
        "nobody holds it"
    );
    let (holder, _) = bench.claim(plugin, 1).await;
    assert_eq!(
        bench.succeed(&stale[0], increment("n")).await,
        Settled::Fenced,
        "another claim holds it"
    );
    let mut forged = holder[0].clone();
    forged.fence.owner = hookbay::run::Epoch(forged.fence.owner.0.wrapping_add(1));
    assert_eq!(
        bench.succeed(&forged, increment("n")).await,
        Settled::Fenced,
        "another host holds it"
    );
    assert_eq!(bench.store.kv_get(plugin, "n").await.unwrap(), None);
    assert!(
        bench
            .store
            .attempts(holder[0].fence.run)
            .await
            .unwrap()
            .is_empty()
    );
    bench.store.release(vec![stale[0].fence]).await.unwrap();
    assert_eq!(
        bench.states().await,
        [RunState::Running],
        "nor does it give the run back"
    );

    let done = Settled::Recorded(Outcome::Succeeded, Next::Succeeded);
    assert_eq!(bench.succeed(&holder[0], increment("n")).await, done);
    assert_eq!(
        bench.succeed(&holder[0], increment("n")).await,
        Settled::Fenced,
        "it is over"
    );
    assert_eq!(
        bench
            .store
            .kv_get(plugin, "n")
            .await
            .unwrap()
            .unwrap()
            .value,
        b"1"
    );
    assert_eq!(bench.states().await, [RunState::Succeeded]);
}

pub(super) async fn writes_are_kept_only_with_their_run(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 4).await;
    let (claimed, _) = bench.claim(plugin, 4).await;
    let due = bench.now().plus(Duration::from_secs(60));
    for (claimed, outcome, next) in [
        (&claimed[0], Outcome::Retry, Next::RetryAt(due)),
        (&claimed[1], Outcome::Permanent, Next::Dead),
        (&claimed[2], Outcome::Cancelled, Next::Cancelled),
    ] {
        let settled = bench.finish(claimed, outcome, next, increment("n")).await;
        assert_eq!(settled, Settled::Recorded(outcome, next));
    }
    assert_eq!(bench.store.kv_get(plugin, "n").await.unwrap(), None);
    let writes = vec![
        set("a", "1"),
        set("b", "2"),
        KvWrite::Delete {
            key: "a".to_owned(),
        },
        set("c", ""),
    ];
    bench
        .succeed(
            &claimed[3],
            KvEffects {
                reads: Vec::new(),
                writes,
            },
        )
        .await;
    assert_eq!(
        bench.store.kv_list(plugin, "", 10).await.unwrap(),
        ["b", "c"]
    );
}

pub(super) async fn what_was_read_must_still_stand(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 4).await;
    let (claimed, _) = bench.claim(plugin, 4).await;
    let saw_nothing = KvRead::Key {
        key: "a".to_owned(),
        version: None,
    };
    let saw_no_keys = KvRead::List {
        prefix: "x/".to_owned(),
        limit: 10,
        keys: Vec::new(),
    };
    let again = Settled::Recorded(Outcome::Conflict, Next::Again);
    let done = Settled::Recorded(Outcome::Succeeded, Next::Succeeded);
    for (what, claimed, read, write, expected) in [
        (
            "nothing was there",
            &claimed[0],
            saw_nothing.clone(),
            set("a", "1"),
            &done,
        ),
        (
            "something is there now",
            &claimed[1],
            saw_nothing,
            set("a", "2"),
            &again,
        ),
        (
            "no keys were there",
            &claimed[2],
            saw_no_keys.clone(),
            set("x/1", "1"),
            &done,
        ),
        (
            "a key is there now",
            &claimed[3],
            saw_no_keys,
            set("x/2", "1"),
            &again,
        ),
    ] {
        let settled = bench
            .succeed(
                claimed,
                KvEffects {
                    reads: vec![read],
                    writes: vec![write],
                },
            )
            .await;
        assert_eq!(settled, *expected, "{what}");
    }
    assert_eq!(
        bench.store.kv_list(plugin, "", 10).await.unwrap(),
        ["a", "x/1"]
    );
    // What conflicted is due at once, and the attempt does not count.
    let (again, _) = bench.claim(plugin, 4).await;
    let counts: Vec<(u32, u32)> = again
        .iter()
        .map(|one| (one.attempt, one.free_attempts))
        .collect();
    assert_eq!(counts, [(2, 1), (2, 1)]);
}

pub(super) async fn ends_at_the_same_time_all_count(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 100).await;
    let (claimed, _) = bench.claim(plugin, 100).await;
    join_all(claimed.iter().map(|one| bench.succeed(one, increment("n")))).await;
    assert_eq!(
        bench
            .store
            .kv_get(plugin, "n")
            .await
            .unwrap()
            .unwrap()
            .value,
        b"100"
    );
    let runs = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((runs.succeeded, runs.dead), (100, 0));
}

pub(super) async fn a_dead_run_lives_again_and_a_finished_one_does_not(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2).await;
    let (claimed, _) = bench.claim(plugin, 2).await;
    let (dead, done) = (claimed[0].fence.run, claimed[1].fence.run);
    assert_eq!(
        bench.store.retry(dead).await.unwrap(),
        Retried::NotNow(RunState::Running)
    );
    bench
        .finish(
            &claimed[0],
            Outcome::Permanent,
            Next::Dead,
            KvEffects::default(),
        )
        .await;
    bench.succeed(&claimed[1], KvEffects::default()).await;
    assert_eq!(
        bench.store.retry(done).await.unwrap(),
        Retried::NotNow(RunState::Succeeded)
    );
    assert_eq!(bench.store.retry(dead).await.unwrap(), Retried::Due(plugin));
    assert_eq!(
        bench.store.retry(dead).await.unwrap(),
        Retried::NotNow(RunState::Ready)
    );
    let (again, _) = bench.claim(plugin, 2).await;
    assert_eq!(again.len(), 1);
    assert_eq!(
        (again[0].fence.run, again[0].attempt, again[0].free_attempts),
        (dead, 2, 1)
    );
}

pub(super) async fn texts_that_no_database_takes_do_not_hold_up_an_end(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 2).await;
    let (claimed, _) = bench.claim(plugin, 2).await;
    for (claimed, next) in claimed.iter().zip([Next::Succeeded, Next::Dead]) {
        let finished = Finished {
            error: (next == Next::Dead).then(|| "a\0b".to_owned()),
            summary: Some("a\0b".to_owned()),
            next,
            ..bench.finished(claimed, Outcome::Succeeded)
        };
        let settled = bench.store.finish(Arc::new(finished)).await.unwrap();
        assert_eq!(settled, Settled::Recorded(Outcome::Succeeded, next));
    }
    assert_eq!(bench.states().await, [RunState::Succeeded, RunState::Dead]);
}

/// Two follow-up events: each with a run of this plugin, one behind the other, and the
/// first with one of another plugin.
fn follow_ups(bench: &Bench, plugin: PluginId, other: PluginId) -> Vec<NewEvent> {
    let ordered = NewRun {
        plugin,
        order: Some(OrderKey::of("key")),
    };
    let emit = |kind: &str, runs| {
        let event = Event {
            source: "plugin-p".parse().unwrap(),
            kind: kind.to_owned(),
            ..bench.event(kind)
        };
        NewEvent::new(event, None, false, WINDOW, runs)
    };
    vec![
        emit("first", vec![ordered, NewRun::unordered(other)]),
        emit("second", vec![ordered]),
    ]
}

/// How the events stand that have followed, by kind: each with the states of its runs.
async fn followed(bench: &Bench) -> Vec<(String, Vec<RunState>)> {
    let filter = EventFilter {
        source: Some("plugin-p".to_owned()),
        limit: 100,
        ..EventFilter::default()
    };
    let events = bench.store.events(&filter).await.unwrap().events;
    let runs = bench.runs().await;
    let of = |id| runs.iter().filter(move |run| run.event == id);
    let mut followed: Vec<_> = events
        .into_iter()
        .map(|event| (event.kind, of(event.id).map(|run| run.state).collect()))
        .collect();
    followed.sort();
    followed
}

pub(super) async fn what_follows_from_a_success_is_stored_with_it(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(plugin, 1).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    let finished = || Finished {
        effects: increment("n"),
        emitted: follow_ups(&bench, plugin, other),
        ..bench.finished(&claimed[0], Outcome::Succeeded)
    };
    let done = Settled::Recorded(Outcome::Succeeded, Next::Succeeded);
    let settled = bench.store.finish(Arc::new(finished())).await.unwrap();
    assert_eq!(settled, done);
    let (ready, blocked) = (RunState::Ready, RunState::Blocked);
    let expected = [
        ("first".to_owned(), vec![ready, ready]),
        ("second".to_owned(), vec![blocked]),
    ];
    assert_eq!(followed(&bench).await, expected);
    assert_eq!(bench.value(plugin, "n").await.as_deref(), Some("1"));
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!((counts.succeeded, counts.due, counts.behind), (1, 1, 1));

    // As if nobody had heard that it was committed.
    let again = bench.store.finish(Arc::new(finished())).await.unwrap();
    assert_eq!(again, Settled::Fenced);
    assert_eq!(followed(&bench).await, expected);

    let (first, _) = bench.claim(plugin, 10).await;
    assert_eq!(first.len(), 1, "one of the key at a time");
    bench.succeed(&first[0], KvEffects::default()).await;
    assert_eq!(bench.claim(plugin, 10).await.0.len(), 1);
    assert_eq!(bench.claim(other, 10).await.0.len(), 1);
}

pub(super) async fn what_would_follow_from_an_end_without_success_is_not_stored(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(plugin, 6).await;
    let (claimed, _) = bench.claim(plugin, 6).await;
    let later = bench.now().plus(Duration::from_secs(60));
    let stale = KvEffects {
        reads: vec![KvRead::Key {
            key: "never written".to_owned(),
            version: Some(1),
        }],
        writes: Vec::new(),
    };
    let no_counter = KvEffects {
        reads: Vec::new(),
        writes: vec![set("n", "text"), increment("n").writes.remove(0)],
    };
    let recorded = |outcome, next| Settled::Recorded(outcome, next);
    let fine = KvEffects::default;
    bench.store.release(vec![claimed[5].fence]).await.unwrap();
    for (n, outcome, next, effects, settled) in [
        (0, Outcome::Retry, Next::RetryAt(later), fine(), None),
        (1, Outcome::Permanent, Next::Dead, fine(), None),
        (2, Outcome::Cancelled, Next::Cancelled, fine(), None),
        (
            3,
            Outcome::Succeeded,
            Next::Succeeded,
            stale,
            Some(recorded(Outcome::Conflict, Next::Again)),
        ),
        (
            4,
            Outcome::Succeeded,
            Next::Succeeded,
            no_counter,
            Some(recorded(Outcome::Permanent, Next::Dead)),
        ),
        (
            5,
            Outcome::Succeeded,
            Next::Succeeded,
            fine(),
            Some(Settled::Fenced),
        ),
    ] {
        let finished = Finished {
            next,
            effects,
            emitted: follow_ups(&bench, plugin, other),
            ..bench.finished(&claimed[n], outcome)
        };
        let expected = settled.unwrap_or(recorded(outcome, next));
        let settled = bench.store.finish(Arc::new(finished)).await.unwrap();
        assert_eq!(settled, expected);
    }
    assert_eq!(followed(&bench).await, []);
    assert_eq!(bench.runs().await.len(), 6);
}
