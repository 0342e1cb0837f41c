//! Which versions plugins have had, the pin, and plugins that are forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use hookbay::kv::{KvEffects, KvWrite};
use hookbay::retry::Next;
use hookbay::run::{Outcome, PluginId, RunState};
use hookbay::store::{
    Ended, EventFilter, Forgetting, Forgot, OperationId, OperationState, OwnOperation,
    RegisterPlugin, Request, Retried, VersionRow,
};

use super::bench::{Bench, LEASE, about, unordered};

fn in_version(digest: &str, is_pinned: bool) -> RegisterPlugin {
    RegisterPlugin {
        digest: Some(digest.to_owned()),
        version: Some(format!("v-{digest}")),
        is_pinned,
        ..about("p")
    }
}

async fn had(bench: &Bench, plugin: PluginId) -> Vec<String> {
    let versions = bench.store.versions(plugin).await.unwrap();
    versions.into_iter().map(|one| one.digest).collect()
}

async fn is_pinned(bench: &Bench) -> bool {
    bench.store.plugin("p").await.unwrap().unwrap().is_pinned
}

pub(super) async fn versions_are_known_in_the_order_they_were_active(bench: Bench) {
    let plugin = bench.plugin("p").await;
    assert!(had(&bench, plugin).await.is_empty());
    // No time passes between: the order is kept all the same.
    for (digest, expected) in [
        ("one", vec!["one"]),
        ("two", vec!["two", "one"]),
        ("two", vec!["two", "one"]),
        ("three", vec!["three", "two", "one"]),
        ("one", vec!["one", "three", "two"]),
    ] {
        bench
            .store
            .register(in_version(digest, false))
            .await
            .unwrap();
        assert_eq!(had(&bench, plugin).await, expected);
    }
    let versions = bench.store.versions(plugin).await.unwrap();
    assert_eq!(versions[1].version.as_deref(), Some("v-three"));
    let first = versions[0].activated_at;
    // A host that says the same again changes nothing.
    bench.pass(Duration::from_secs(60));
    bench
        .store
        .register(in_version("one", false))
        .await
        .unwrap();
    let versions = bench.store.versions(plugin).await.unwrap();
    assert_eq!(versions[0].activated_at, first);
}

pub(super) async fn a_version_that_is_active_again_was_so_first_when_it_was(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let activate = async |digest: &str| {
        bench.pass(Duration::from_secs(60));
        let version = in_version(digest, false);
        bench.store.register(version).await.unwrap();
        bench.now()
    };
    let (first, other) = (activate("one").await, activate("two").await);
    let again = activate("one").await;
    let versions = bench.store.versions(plugin).await.unwrap();
    let times = |row: &VersionRow| (row.digest.clone(), row.first_activated_at, row.activated_at);
    let times: Vec<_> = versions.iter().map(times).collect();
    assert_eq!(
        times,
        [
            ("one".to_owned(), first, again),
            ("two".to_owned(), other, other)
        ]
    );
}

pub(super) async fn a_pin_is_kept_until_it_is_taken_away(bench: Bench) {
    let plugin = bench.plugin("p").await;
    assert!(
        !bench.store.unpin(plugin).await.unwrap(),
        "it is not pinned"
    );
    bench.store.register(in_version("one", true)).await.unwrap();
    assert!(is_pinned(&bench).await);
    // Whoever has only a candidate leaves it.
    bench.store.register(about("p")).await.unwrap();
    assert!(is_pinned(&bench).await);
    assert!(bench.store.unpin(plugin).await.unwrap());
    assert!(!is_pinned(&bench).await);
    assert_eq!(bench.store.plugin("q").await.unwrap(), None);
    bench.store.register(in_version("one", true)).await.unwrap();
    bench
        .store
        .register(in_version("two", false))
        .await
        .unwrap();
    assert!(!is_pinned(&bench).await);
}

/// Forgets a plugin; the operation that ends it.
async fn forget(bench: &Bench, plugin: PluginId) -> OperationId {
    match bench.store.forget_plugin(plugin, None).await.unwrap() {
        Forgot::Begun(operation) => operation,
        other => panic!("{other:?}"),
    }
}

async fn own(bench: &Bench) -> OwnOperation {
    let mut own = bench.store.own_operations().await.unwrap();
    assert_eq!(own.len(), 1);
    own.remove(0)
}

/// Ends it slice by slice, with everybody settled; how many slices that took.
async fn end(bench: &Bench, plugin: PluginId) -> usize {
    for n in 1.. {
        let own = own(bench).await;
        match bench.store.forget_slice(&own, plugin, true).await.unwrap() {
            Forgetting::More => {}
            Forgetting::Waits => panic!("nobody executes anything"),
            Forgetting::Over => return n,
        }
    }
    unreachable!()
}

pub(super) async fn a_forgotten_plugins_runs_are_cancelled_and_its_name_is_free(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(plugin, 3).await;
    bench.runs_for(other, 1).await;
    bench.in_order(plugin, &["a", "a", "b", "a"]).await;
    let (claimed, _) = bench.claim(plugin, 2).await;
    let effects = KvEffects {
        writes: vec![KvWrite::Set {
            key: "key".to_owned(),
            value: b"1".to_vec(),
        }],
        ..KvEffects::default()
    };
    bench.succeed(&claimed[0], effects).await;
    bench.die(&claimed[1]).await;

    let operation = forget(&bench, plugin).await;
    assert_eq!(
        bench.store.forget_plugin(plugin, None).await.unwrap(),
        Forgot::Unknown,
        "once is enough"
    );
    assert!(bench.store.plugin("p").await.unwrap().is_none());
    assert_eq!(
        bench.store.forgotten_plugins().await.unwrap(),
        [(plugin, "p".to_owned())]
    );
    // Its name may be another's at once, with nothing of what was before.
    let anew = bench.plugin("p").await;
    assert_ne!(anew, plugin);
    bench.runs_for(anew, 1).await;
    assert_eq!(
        bench.store.cancel_operation(operation).await.unwrap(),
        Ended::NotNow(OperationState::Running),
        "nobody else would end its runs"
    );
    // Those behind a key, the others, its state, the rest.
    assert_eq!(end(&bench, plugin).await, 4);
    let ended = bench.store.operation(operation).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.done), (OperationState::Succeeded, 5));

    let states = |of: PluginId| {
        let bench = &bench;
        async move {
            let counts = bench.store.plugin_runs(of).await.unwrap();
            (
                counts.due + counts.behind,
                counts.cancelled,
                counts.succeeded,
                counts.dead,
            )
        }
    };
    assert_eq!(states(plugin).await, (0, 5, 1, 1));
    assert_eq!(
        (states(other).await, states(anew).await),
        ((1, 0, 0, 0), (1, 0, 0, 0))
    );
    assert_eq!(bench.value(plugin, "key").await, None);
    // What is over stays over.
    let runs = bench.runs().await;
    for run in runs.iter().filter(|run| run.plugin == plugin) {
        let retried = bench.store.retry(run.id).await.unwrap();
        let expected = match run.state {
            RunState::Succeeded => Retried::NotNow(RunState::Succeeded),
            _ => Retried::PluginGone,
        };
        assert_eq!(retried, expected);
    }
}

pub(super) async fn a_forgotten_plugins_last_runs_end_by_themselves(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.beat().await;
    bench.runs_for(plugin, 1).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    forget(&bench, plugin).await;
    let slice = async |is_settled: bool| {
        let own = own(&bench).await;
        let slice = bench.store.forget_slice(&own, plugin, is_settled);
        slice.await.unwrap()
    };
    assert_eq!(slice(true).await, Forgetting::Waits);
    let again = Next::RetryAt(bench.now());
    bench
        .finish(&claimed[0], Outcome::Retry, again, KvEffects::default())
        .await;
    assert_eq!(slice(false).await, Forgetting::More, "what is there goes");
    assert_eq!(slice(false).await, Forgetting::Waits, "more may come");
    bench.runs_for(plugin, 1).await;
    assert_eq!(
        (slice(true).await, slice(true).await),
        (Forgetting::More, Forgetting::Over)
    );
    assert_eq!(
        bench.states().await,
        [RunState::Cancelled, RunState::Cancelled]
    );
}

pub(super) async fn many_runs_are_cancelled_in_slices_and_once(bench: Bench) {
    const MANY: usize = 600;
    let plugin = bench.plugin("p").await;
    let keys = vec!["a"; MANY];
    bench.in_order(plugin, &keys).await;
    forget(&bench, plugin).await;
    bench.beat().await;
    let stale = own(&bench).await;
    bench
        .store
        .forget_slice(&stale, plugin, true)
        .await
        .unwrap();
    // Another host takes over in the middle.
    if let Some(neighbour) = bench.neighbour().await {
        bench.pass(LEASE * 2);
        neighbour.beat().await;
        assert_eq!(end(&neighbour, plugin).await, 4);
        let late = bench
            .store
            .forget_slice(&stale, plugin, true)
            .await
            .unwrap();
        assert_eq!(late, Forgetting::Over, "it is not this host's any more");
    } else {
        assert_eq!(end(&bench, plugin).await, 4);
    }
    let counts = bench.store.plugin_runs(plugin).await.unwrap();
    assert_eq!(counts.cancelled, i64::try_from(MANY).unwrap());
    let operations = bench.store.operations(None, 10).await.unwrap();
    assert_eq!(operations[0].done, i64::try_from(MANY).unwrap());
}

pub(super) async fn a_plugin_that_another_host_has_is_not_forgotten(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let here = vec![(plugin, "one".to_owned())];
    bench
        .store
        .beat("here", LEASE, here, BTreeSet::new())
        .await
        .unwrap();
    if let Some(other) = bench.neighbour().await {
        for digest in ["one", ""] {
            let there = vec![(plugin, digest.to_owned())];
            other
                .store
                .beat("there", LEASE, there, BTreeSet::new())
                .await
                .unwrap();
            let forgot = bench.store.forget_plugin(plugin, None).await.unwrap();
            assert_eq!(forgot, Forgot::IsAt(vec!["there".to_owned()]));
        }
        bench.pass(LEASE);
    }
    forget(&bench, plugin).await;
}

pub(super) async fn a_plugin_that_comes_back_catches_up_anew(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let catch_up = || hookbay::store::NewOperation {
        request: Request::CatchUp {
            plugin: "p".to_owned(),
            since: bench.now(),
        },
        is_dry_run: false,
        created_by: None,
        idempotency_key: Some(Request::catch_up_key("p")),
    };
    let first = bench.store.begin_operation(catch_up()).await.unwrap();
    assert!(matches!(first, hookbay::store::Begun::New(_)));
    forget(&bench, plugin).await;
    let operations = bench.store.operations(None, 10).await.unwrap();
    let states: Vec<OperationState> = operations.iter().map(|one| one.state).collect();
    assert_eq!(states, [OperationState::Running, OperationState::Cancelled]);
    let again = bench.store.begin_operation(catch_up()).await.unwrap();
    assert!(matches!(again, hookbay::store::Begun::New(_)), "{again:?}");
}

pub(super) async fn a_replay_starts_no_run_of_a_plugin_that_is_forgotten_meanwhile(bench: Bench) {
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    bench.runs_for(other, 1).await;
    let event = bench.runs().await[0].event;
    let replay = hookbay::store::NewOperation {
        request: Request::Replay {
            filter: EventFilter::default(),
            plugin: None,
        },
        is_dry_run: false,
        created_by: None,
        idempotency_key: None,
    };
    bench.store.begin_operation(replay).await.unwrap();
    let replay = own(&bench).await;
    forget(&bench, plugin).await;
    // Chosen while nobody had forgotten it.
    let chosen: Vec<_> = unordered(&[plugin, other]);
    let runs = chosen.into_iter().map(|run| (event, run)).collect();
    let slice = bench.store.replay_slice(&replay, None, 1, runs, false);
    assert!(slice.await.unwrap());
    let of: Vec<PluginId> = bench.runs().await.iter().map(|run| run.plugin).collect();
    assert_eq!(of, [other, other]);
}
