//! `hookbay listen` and events that cannot be had: it says so, and goes on with the next, or
//! waits where only a key is missing.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::database::Engine;
use crate::encryption::{NEW, OLD, line_of, set_keys};
use crate::harness::{Folder, Host, eventually};

use super::{CONFIG, Cutter, Listening, Local, begin_at_first, said, says};

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
async fn an_event_whose_key_is_missing_is_waited_for_until_it_is_erased() {
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
    says(
        &home,
        &format!("event {sealed} waits, and with it what is behind it: missing key"),
    )
    .await;
    // Its place is not noted, so that who ends now begins there again.
    listening.interrupt();
    assert_eq!(listening.ended().await, Some(0));
    let place = std::fs::read_to_string(home.path().join("place/cursor")).unwrap();
    let mut listening = Listening::start(&home, host.admin, &local, &[]);
    eventually("it waits there again", async || {
        (said(&home).matches("waits, and with it").count() == 2).then_some(())
    })
    .await;
    assert_eq!(
        std::fs::read_to_string(home.path().join("place/cursor")).unwrap(),
        place
    );
    assert_eq!(local.count(), 0);

    // Who has lost the key erases what it encrypted.
    let path = format!("/api/v1/events/{sealed}");
    let erased = host.ask(Method::DELETE, &path, "").await;
    assert!(erased.status < 300, "{}", erased.text());
    eventually("what is behind it arrives", async || {
        (local.count() == 1).then_some(())
    })
    .await;
    assert_eq!(local.seen.lock().unwrap().bodies[&legible], [b"legible"]);
    says(
        &home,
        &format!("event {sealed} is left out: it is not kept any more"),
    )
    .await;
    listening.interrupt();
    assert_eq!(listening.ended().await, Some(0));
}

/// Stands in for a host that has one event and, unless it has the key, cannot read it.
async fn host_with_sealed(has_key: bool) -> (SocketAddr, JoinHandle<()>) {
    let event = "{\"id\": \"sealed\", \"source\": \"a\", \"kind\": \"k\", \"headers\": []}";
    let message = format!("event: event\nid: 1\ndata: {event}\n\n");
    let stream = async move || {
        let message = stream::once(std::future::ready(Ok::<_, Infallible>(message)));
        // It keeps its connection: no other request has that.
        Body::from_stream(message.chain(stream::pending()))
    };
    let lacking = "{\"title\": \"missing key\", \"status\": 503, \"detail\": \"key `3f09`\"}";
    let answer = move |text: &'static str| async move {
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        match has_key {
            true => text.into_response(),
            false => (StatusCode::SERVICE_UNAVAILABLE, kind, lacking).into_response(),
        }
    };
    let routes = Router::new()
        .route("/api/v1/stream", get(stream))
        .route("/api/v1/events/sealed", get(move || answer(event)))
        .route("/api/v1/events/sealed/body", get(move || answer("opened")));
    serve(routes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_comes_from_whichever_host_has_its_key() {
    let (has, one) = host_with_sealed(true).await;
    let (lacks, other) = host_with_sealed(false).await;
    // The first connection has the stream; of those that ask for the event two lack the key.
    let hosts = vec![has, lacks, lacks, has];
    let balancer = Cutter::before(hosts, usize::MAX, 0).await;
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    let local = Local::start().await;
    let mut listening = Listening::start(&home, balancer.address, &local, &[]);
    eventually("it arrives", async || (local.count() == 1).then_some(())).await;
    assert_eq!(local.seen.lock().unwrap().bodies["sealed"][0], b"opened");
    assert_eq!(said(&home).matches("event sealed waits").count(), 1);
    listening.interrupt();
    assert_eq!(listening.ended().await, Some(0));
    one.abort();
    other.abort();
}

async fn serve(routes: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, task)
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
    serve(routes).await
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
