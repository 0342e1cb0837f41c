//! A disk that is full: nothing is acknowledged that is not stored, and when there is room
//! again the host goes on without a restart.

use serde_json::Value;

use crate::database::Engine;
use crate::harness::{Folder, eventually};
use crate::program::Program;

const TOML: &str = "[sources.any]\nprovider = 'none'\n";

/// Bytes that do not compress.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(64 << 10).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_recovers() {
    let folder = Folder::on(Engine::Sqlite, TOML, &[]).await;
    let program = Program::start_on_a_small_disk(&folder).await;
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for seed in 1..=60 {
        let answer = program.send_bytes("any", noise(seed)).await;
        match answer.status {
            202 => acknowledged.push(answer.event()),
            503 => {
                assert!(!answer.header("retry-after").is_empty());
                refused += 1;
            }
            other => panic!("a full disk is answered with {other}"),
        }
    }
    assert!(!acknowledged.is_empty() && refused > 0, "{refused} refused");
    eventually("readiness says so", async || {
        (program.readiness().await == 503).then_some(())
    })
    .await;

    program.free_the_disk();
    let after = eventually("the host stores again", async || {
        let answer = program.send_bytes("any", noise(1000)).await;
        (answer.status == 202).then(|| answer.event())
    })
    .await;
    acknowledged.push(after);
    eventually("readiness says so", async || {
        (program.readiness().await == 200).then_some(())
    })
    .await;
    let events = program.get("events?limit=1000").await;
    let stored: Vec<&Value> = events["items"].as_array().unwrap().iter().collect();
    assert_eq!(stored.len(), acknowledged.len());
    for id in &acknowledged {
        assert!(
            stored.iter().any(|event| event["id"] == id.as_str()),
            "{id}"
        );
    }
    assert_eq!(program.terminate().await, Some(0));
}
