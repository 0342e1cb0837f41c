//! What hosts know of plugins and of each other.

use std::collections::BTreeSet;
use std::time::Duration;

use hookbay::kv::KvEffects;
use hookbay::store::{PluginRow, RegisterPlugin};

use super::bench::{Bench, LEASE, about};

async fn row(bench: &Bench, name: &str) -> PluginRow {
    let rows = bench.store.plugins().await.unwrap();
    rows.into_iter().find(|row| row.name == name).unwrap()
}

fn in_version(digest: &str) -> RegisterPlugin {
    RegisterPlugin {
        digest: Some(digest.to_owned()),
        ..about("p")
    }
}

pub(super) async fn a_plugin_keeps_its_number_and_every_version(bench: Bench) {
    let plugin = bench.store.register(about("p")).await.unwrap();
    assert_eq!(row(&bench, "p").await.digest, None);
    let mut loaded = Vec::new();
    for (digest, is_known) in [("one", false), ("two", false), ("one", true)] {
        let known = bench.store.knows_digest(plugin, digest).await.unwrap();
        assert_eq!(known, is_known, "{digest}");
        bench.pass(Duration::from_secs(1));
        let same = bench.store.register(in_version(digest)).await.unwrap();
        assert_eq!(same, plugin);
        loaded.push(row(&bench, "p").await.loaded_ms.unwrap());
    }
    assert!(loaded.is_sorted_by(|a, b| a < b), "each was loaded anew");
    // Whoever has only a candidate leaves the active version as it is.
    bench.pass(Duration::from_secs(1));
    bench.store.register(about("p")).await.unwrap();
    bench.store.register(in_version("one")).await.unwrap();
    let now = row(&bench, "p").await;
    assert_eq!(now.digest.as_deref(), Some("one"));
    assert_eq!(now.loaded_ms, loaded.last().copied());
    let other = bench.plugin("q").await;
    assert!(!bench.store.knows_digest(other, "one").await.unwrap());
}

pub(super) async fn hosts_that_register_at_once_agree(bench: Bench) {
    let Some(other) = bench.neighbour().await else {
        return;
    };
    for n in 0..10 {
        let name = format!("plugin-{n}");
        let (ours, theirs) = tokio::join!(
            bench.store.register(about(&name)),
            other.store.register(about(&name))
        );
        assert_eq!(ours.unwrap(), theirs.unwrap());
    }
    assert_eq!(bench.store.plugins().await.unwrap().len(), 10);
}

pub(super) async fn a_pause_is_one_row_and_survives_a_new_version(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 3).await;
    assert!(!row(&bench, "p").await.is_paused);
    bench.store.pause_plugin(plugin, true).await.unwrap();
    bench.store.register(in_version("one")).await.unwrap();
    let host = bench.neighbour().await.unwrap_or(bench);
    assert!(row(&host, "p").await.is_paused);
    host.store.pause_plugin(plugin, false).await.unwrap();
    assert!(!row(&host, "p").await.is_paused);
    let counts = host.store.plugin_runs(plugin).await.unwrap();
    assert_eq!(counts.due, 3, "nothing was written to its runs");
}

pub(super) async fn live_hosts_say_what_they_can_run(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let loaded = vec![(plugin, "one".to_owned())];
    let beat = bench
        .store
        .beat("first", LEASE, loaded.clone(), BTreeSet::from([plugin]));
    beat.await.unwrap();
    let hosts = bench.store.live_hosts().await.unwrap();
    assert_eq!(hosts.len(), 1);
    assert_eq!(
        (hosts[0].name.as_str(), &hosts[0].loaded),
        ("first", &loaded)
    );
    assert_eq!(hosts[0].epoch, bench.store.epoch().0);
    if let Some(other) = bench.neighbour().await {
        // Two hosts of one name, as after a restart, are two.
        let beat = other
            .store
            .beat("first", LEASE, Vec::new(), BTreeSet::new());
        beat.await.unwrap();
        assert_eq!(bench.store.live_hosts().await.unwrap().len(), 2);
        bench.pass(LEASE / 2);
        bench.beat().await;
        bench.pass(LEASE / 2);
        let live = other.store.live_hosts().await.unwrap();
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].epoch, bench.store.epoch().0);
    }
    bench.pass(LEASE);
    assert!(bench.store.live_hosts().await.unwrap().is_empty());
}

pub(super) async fn a_plugin_is_known_once_every_other_live_host_says_so(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let is_known = async || bench.store.is_known_elsewhere(plugin).await.unwrap();
    // What this host knows, its board says.
    bench.beat().await;
    assert!(is_known().await);
    let Some(other) = bench.neighbour().await else {
        return;
    };
    assert!(
        is_known().await,
        "one that never had a lease receives nothing"
    );
    let beat = async |knows| {
        let beat = other.store.beat("second", LEASE, Vec::new(), knows);
        beat.await.unwrap();
    };
    beat(BTreeSet::new()).await;
    assert!(!is_known().await);
    beat(BTreeSet::from([plugin])).await;
    assert!(is_known().await);
    beat(BTreeSet::new()).await;
    // A host of a version before says nothing.
    bench.execute("update hosts set knows = null").await;
    assert!(is_known().await);
    beat(BTreeSet::new()).await;
    bench.pass(LEASE);
    assert!(is_known().await, "it is gone");
}

pub(super) async fn counts_outlive_the_hosts_that_made_them(bench: Bench) {
    let plugin = bench.plugin("p").await;
    bench.runs_for(plugin, 6).await;
    bench.beat().await;
    let (claimed, _) = bench.claim(plugin, 3).await;
    bench.succeed(&claimed[0], KvEffects::default()).await;
    bench.succeed(&claimed[1], KvEffects::default()).await;
    bench.die(&claimed[2]).await;
    let host = match bench.neighbour().await {
        Some(other) => other,
        None => bench.reopened().await,
    };
    host.beat().await;
    let (claimed, _) = host.claim(plugin, 2).await;
    host.succeed(&claimed[0], KvEffects::default()).await;
    host.store.cancel(claimed[1].fence.run).await.unwrap();
    for passed in [0, 23, 2, 24] {
        host.pass(Duration::from_hours(passed));
        host.beat().await;
        host.store.forget_hosts().await.unwrap();
        let counts = host.store.plugin_runs(plugin).await.unwrap();
        assert_eq!(
            (counts.succeeded, counts.dead, counts.cancelled, counts.due),
            (3, 1, 1, 1)
        );
    }
}
