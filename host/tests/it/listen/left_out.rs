//! `hookbay listen` and events that cannot be had: it says so, and goes on with the next.

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};

use super::{CONFIG, Listening, Local, says};

/// A place before everything that is stored.
fn begin_at_first(home: &Folder) {
    std::fs::create_dir(home.path().join("place")).unwrap();
    std::fs::write(home.path().join("place/cursor"), "0\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_event_is_named_and_keeps_nobody_from_others() {
    let host = Host::start(CONFIG, &[]).await;
    let damaged = host.send("a", &[], "lost").await.event();
    let folder = &host.folder;
    folder.database.damage_requests(folder.path()).await;
    let whole = host.send("a", &[], "whole").await.event();
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    begin_at_first(&home);
    let local = Local::start().await;
    let mut listening = Listening::start(&home, host.admin, &local, &[]);
    eventually("what is behind it arrives", async || {
        (local.count() == 1).then_some(())
    })
    .await;
    assert_eq!(local.seen.lock().unwrap().bodies[&whole], [b"whole"]);
    says(&home, &format!("event {damaged} is left out")).await;
    listening.interrupt();
    // Who asked for all of them learns that they are not all there.
    assert_eq!(listening.ended().await, Some(1));
    says(&home, "1 of the events are damaged").await;
}
