//! `hookbay listen` and Ctrl-C, with many events before it.

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};

use super::{CONFIG, Listening, Local, begin_at_first, says};

const MANY: usize = 20;

/// A host with many events, and a local address that holds the first of them back.
async fn with_a_backlog() -> (Host, Folder, Local) {
    let host = Host::start(CONFIG, &[]).await;
    for n in 0..MANY {
        host.send("a", &[], n.to_string()).await.event();
    }
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    begin_at_first(&home);
    let local = Local::start().await;
    local.held.send_replace(true);
    (host, home, local)
}

/// One that was interrupted while its first event was on its way.
async fn interrupted(host: &Host, home: &Folder, local: &Local) -> Listening {
    let listening = Listening::start(home, host.admin, local, &[]);
    eventually("one is on its way", async || {
        (local.count() == 1).then_some(())
    })
    .await;
    listening.interrupt();
    says(home, "Ctrl-C again ends at once").await;
    listening
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_on_its_way_arrives_and_no_other_is_begun() {
    let (host, home, local) = with_a_backlog().await;
    let mut listening = interrupted(&host, &home, &local).await;
    local.held.send_replace(false);
    assert_eq!(listening.ended().await, Some(0));
    assert_eq!(local.count(), 1);
    // It was noted: the next time begins behind it.
    let _again = Listening::start(&home, host.admin, &local, &[]);
    eventually("all others arrive", async || {
        (local.count() == MANY).then_some(())
    })
    .await;
    let seen = local.seen.lock().unwrap();
    assert!(seen.bodies.values().all(|bodies| bodies.len() == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_ends_it_at_once() {
    let (host, home, local) = with_a_backlog().await;
    let mut listening = interrupted(&host, &home, &local).await;
    listening.interrupt();
    assert_eq!(listening.ended().await, Some(0));
    assert_eq!(local.count(), 1);
}
