//! How much a plugin may keep, exactly.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookbay::kv::{BYTES_MAX, KEYS_MAX, KvEffects, KvWrite};
use hookbay::retry::Next;
use hookbay::run::{Claimed, Outcome, PluginId, RunState};
use hookbay::store::{Finished, Settled};

use super::bench::{Bench, set};

const DONE: Settled = Settled::Recorded(Outcome::Succeeded, Next::Succeeded);
const REFUSED: Settled = Settled::Recorded(Outcome::Output, Next::Dead);

fn delete(key: &str) -> KvWrite {
    KvWrite::Delete {
        key: key.to_owned(),
    }
}

/// A key of two bytes that, with its value, takes so many.
fn filled(n: usize, bytes: i64) -> KvWrite {
    let value = "x".repeat(usize::try_from(bytes).unwrap() - 2);
    set(&format!("{n:02}"), &value)
}

/// A run of the plugin that ends with these writes; another attempt is due at once where
/// they are too much.
async fn write(bench: &Bench, plugin: PluginId, writes: Vec<KvWrite>) -> (Claimed, Settled) {
    bench.runs_for(plugin, 1).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    let claimed = claimed.into_iter().next().unwrap();
    let settled = write_in(bench, &claimed, writes).await;
    (claimed, settled)
}

async fn write_in(bench: &Bench, claimed: &Claimed, writes: Vec<KvWrite>) -> Settled {
    let finished = Finished {
        effects: KvEffects {
            reads: Vec::new(),
            writes,
        },
        next_over_quota: Next::Dead,
        ..bench.finished(claimed, Outcome::Succeeded)
    };
    bench.store.finish(Arc::new(finished)).await.unwrap()
}

/// The error of the last attempt of a run.
async fn error_of(bench: &Bench, claimed: &Claimed) -> String {
    let mut attempts = bench.store.attempts(claimed.fence.run).await.unwrap();
    attempts.pop().unwrap().error.unwrap()
}

pub(super) async fn a_plugin_keeps_no_more_bytes_than_its_quota(bench: Bench) {
    const EACH: i64 = 4 << 20;
    let (plugin, other) = (bench.plugin("p").await, bench.plugin("q").await);
    let keys = usize::try_from(BYTES_MAX / EACH).unwrap();
    for n in 0..keys {
        let (_, settled) = write(&bench, plugin, vec![filled(n, EACH)]).await;
        assert_eq!(settled, DONE, "{n} of {keys}");
    }
    let (claimed, settled) = write(&bench, plugin, vec![set("a", "")]).await;
    assert_eq!(settled, REFUSED, "one byte more");
    let error = error_of(&bench, &claimed).await;
    assert!(
        error.contains("quota") && error.contains("64 MiB"),
        "{error}"
    );
    assert_eq!(bench.runs().await.pop().unwrap().state, RunState::Dead);
    assert_eq!(bench.value(plugin, "a").await, None);
    assert_eq!(bench.value(plugin, "00").await.unwrap().len(), 4_194_302);

    // An attempt after which there is another, on a policy that has one.
    bench.runs_for(plugin, 1).await;
    let (claimed, _) = bench.claim(plugin, 1).await;
    let later = bench.now().plus(Duration::from_secs(5));
    let finished = Finished {
        effects: KvEffects {
            reads: Vec::new(),
            writes: vec![delete("00"), filled(0, EACH), set("a", "")],
        },
        next_over_quota: Next::RetryAt(later),
        ..bench.finished(&claimed[0], Outcome::Succeeded)
    };
    let settled = bench.store.finish(Arc::new(finished)).await.unwrap();
    let again = Settled::Recorded(Outcome::Output, Next::RetryAt(later));
    assert_eq!(
        settled, again,
        "what is put back in the same run is no room"
    );

    // What goes makes room for as much.
    let (_, settled) = write(&bench, plugin, vec![filled(0, EACH - 1), set("a", "")]).await;
    assert_eq!(settled, DONE, "as much as before");
    let (_, settled) = write(&bench, plugin, vec![delete("a")]).await;
    assert_eq!(settled, DONE);
    let (_, settled) = write(&bench, plugin, vec![set("ab", "")]).await;
    assert_eq!(settled, REFUSED, "one byte is free, not two");
    let (_, settled) = write(&bench, plugin, vec![set("b", "")]).await;
    assert_eq!(settled, DONE);
    let (_, settled) = write(&bench, other, vec![filled(0, EACH)]).await;
    assert_eq!(settled, DONE, "another plugin has its own");
}

pub(super) async fn a_plugin_keeps_no_more_keys_than_its_quota(bench: Bench) {
    let plugin = bench.plugin("p").await;
    let keys = (0..KEYS_MAX).map(|n| set(&n.to_string(), "")).collect();
    assert_eq!(write(&bench, plugin, keys).await.1, DONE);
    let (claimed, settled) = write(&bench, plugin, vec![set("a", "")]).await;
    assert_eq!(settled, REFUSED);
    let error = error_of(&bench, &claimed).await;
    assert!(error.contains("quota of 100000"), "{error}");
    for (what, writes, expected) in [
        ("one that is there", vec![set("0", "1")], DONE),
        ("one for another", vec![delete("1"), set("a", "")], DONE),
        ("none for another", vec![delete("1"), set("b", "")], REFUSED),
        ("one less", vec![delete("2")], DONE),
        (
            "one of which nothing is left",
            vec![set("c", ""), delete("c")],
            DONE,
        ),
        ("into the room that is left", vec![set("2", "")], DONE),
        ("no more", vec![set("1", "")], REFUSED),
    ] {
        let (_, settled) = write(&bench, plugin, writes).await;
        assert_eq!(settled, expected, "{what}");
    }
}

pub(super) async fn ends_at_the_same_time_share_one_quota(bench: Bench) {
    const MANY: usize = 8;
    let other = bench.neighbour().await;
    let other = other.as_ref().unwrap_or(&bench);
    let plugin = bench.plugin("p").await;
    let most = BYTES_MAX - (4 << 20);
    assert_eq!(write(&bench, plugin, vec![filled(99, most)]).await.1, DONE);
    bench.runs_for(plugin, 2 * MANY).await;
    let (ours, _) = bench.claim(plugin, 8).await;
    let (theirs, _) = other.claim(plugin, 8).await;
    // Three fit beside each other, four do not.
    let bytes = (1 << 20) + 1;
    let ends = (0..MANY).flat_map(|n| {
        let ours = write_in(&bench, &ours[n], vec![filled(n, bytes)]);
        let theirs = write_in(other, &theirs[n], vec![filled(MANY + n, bytes)]);
        [ours, theirs]
    });
    let ends = join_all(ends).await;
    assert_eq!(ends.iter().filter(|one| **one == DONE).count(), 3);
    let kept = bench.store.kv_list(plugin, "", 100).await.unwrap();
    assert_eq!(kept.len(), 4);
}
