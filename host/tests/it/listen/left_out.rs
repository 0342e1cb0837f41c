//! `hookbay listen` and events that cannot be had: it says so, and goes on with the next.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::database::Engine;
use crate::encryption::{NEW, OLD, line_of, set_keys};
use crate::harness::{Folder, Host, eventually};

use super::{CONFIG, Listening, Local, begin_at_first, says};

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
    says(&home, "1 of the events could not be read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_key_is_missing_is_named_and_keeps_nobody_from_others() {
    let config = format!("{}\n{CONFIG}", line_of(&[OLD]));
    let host = Host::start(&config, &[]).await;
    let sealed = host.send("a", &[], "sealed").await.event();
    let folder = host.stop().await;
    set_keys(&folder, &[NEW]);
    let host = Host::over(folder).await;
    let legible = host.send("a", &[], "legible").await.event();
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    begin_at_first(&home);
    let local = Local::start().await;
    let mut listening = Listening::start(&home, host.admin, &local, &[]);
    eventually("what is behind it arrives", async || {
        (local.count() == 1).then_some(())
    })
    .await;
    assert_eq!(local.seen.lock().unwrap().bodies[&legible], [b"legible"]);
    says(&home, &format!("event {sealed} is left out: missing key")).await;
    listening.interrupt();
    assert_eq!(listening.ended().await, Some(1));
    says(&home, "1 of the events could not be read").await;
}

/// Stands in for a host that removes an event between its head and its body, and then has
/// one more: on a host that moment is too short to meet.
async fn host_that_forgets() -> (SocketAddr, JoinHandle<()>) {
    let event = |id: &str| {
        format!("{{\"id\": \"{id}\", \"source\": \"a\", \"kind\": \"k\", \"headers\": []}}")
    };
    let message = |n: u32, id: &str| format!("event: event\nid: {n}\ndata: {}\n\n", event(id));
    let stream = [message(1, "gone"), message(2, "kept")].concat();
    let gone =
        "{\"title\": \"not found\", \"status\": 404, \"detail\": \"there is no event `gone`\"}";
    let (gone_head, kept_head) = (event("gone"), event("kept"));
    let routes = Router::new()
        .route("/api/v1/stream", get(async || stream))
        .route("/api/v1/events/gone", get(async || gone_head))
        .route(
            "/api/v1/events/gone/body",
            get(async move || {
                let kind = [(header::CONTENT_TYPE, "application/problem+json")];
                (StatusCode::NOT_FOUND, kind, gone).into_response()
            }),
        )
        .route("/api/v1/events/kept", get(async || kept_head))
        .route("/api/v1/events/kept/body", get(async || "kept"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_removed_between_head_and_body_is_left_out() {
    let (host, task) = host_that_forgets().await;
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    let local = Local::start().await;
    let mut listening = Listening::start(&home, host, &local, &[]);
    eventually("what is behind it arrives", async || {
        (local.count() >= 1).then_some(())
    })
    .await;
    says(&home, "event gone is left out: it is not kept any more").await;
    assert_eq!(local.seen.lock().unwrap().bodies["kept"][0], b"kept");
    listening.interrupt();
    // Nothing is wrong with that.
    assert_eq!(listening.ended().await, Some(0));
    task.abort();
}
