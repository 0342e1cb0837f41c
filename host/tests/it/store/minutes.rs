//! What is summed up of the minutes that hosts have written.

use hookbay::clock::Timestamp;
use hookbay::store::{PluginMinute, PluginSum};

use super::bench::Bench;

/// A minute of a plugin: which one, attempts that succeeded, that failed, runs that died.
fn minute(plugin: &str, [n, succeeded, failed, dead]: [i64; 4]) -> PluginMinute {
    PluginMinute {
        minute_ms: n * 60_000,
        plugin: plugin.to_owned(),
        succeeded,
        failed,
        dead,
        run: "[]".to_owned(),
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(minute * 60_000)
}

async fn write(bench: &Bench, minutes: Vec<PluginMinute>) {
    let written = bench.store.write_minutes(Vec::new(), minutes).await;
    written.unwrap();
}

pub(super) async fn attempts_are_summed_by_plugin_and_counted_since_a_success(bench: Bench) {
    write(
        &bench,
        vec![
            minute("fails", [9, 50, 0, 0]),
            minute("fails", [10, 3, 2, 0]),
            minute("fails", [11, 0, 4, 1]),
            minute("never", [10, 0, 1, 0]),
            minute("never", [12, 0, 2, 2]),
            minute("well", [10, 0, 7, 0]),
            minute("well", [12, 1, 0, 0]),
            minute("before", [9, 0, 1, 0]),
            minute("present", [13, 0, 1, 0]),
        ],
    )
    .await;
    let sums = async |bench: &Bench| {
        let mut sums = bench.store.plugin_sums(at(10), at(13)).await.unwrap();
        sums.sort_unstable_by(|a, b| a.plugin.cmp(&b.plugin));
        sums
    };
    let sum = |plugin: &str, counts: [i64; 4], last: Option<i64>| PluginSum {
        plugin: plugin.to_owned(),
        succeeded: counts[0],
        failed: counts[1],
        dead: counts[2],
        last_succeeded: last.map(at),
        failed_since: counts[3],
    };
    let expected = [
        sum("fails", [3, 6, 1, 4], Some(10)),
        sum("never", [0, 3, 2, 3], None),
        sum("well", [1, 7, 0, 0], Some(12)),
    ];
    assert_eq!(sums(&bench).await, expected);

    // Another host has counted too, and of the present minute it is asked like any other.
    let Some(other) = bench.neighbour().await else {
        return;
    };
    write(&other, vec![minute("fails", [12, 1, 0, 0])]).await;
    write(&other, vec![minute("never", [13, 0, 5, 0])]).await;
    let expected = [
        sum("fails", [4, 6, 1, 0], Some(12)),
        sum("never", [0, 8, 2, 8], None),
        sum("well", [1, 7, 0, 0], Some(12)),
    ];
    assert_eq!(sums(&bench).await, expected);
}
