//! `index`, `redact` and `q`: finding events by what is written in them, and not by what is
//! hidden.

use std::net::SocketAddr;

use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};
use crate::program::{asked, asked_at};

const CONFIG: &str = r#"
[sources.orders]
provider = "none"
kind_header = "x-kind"
id_header = "x-id"
index = ["/order/id", "/paid", "/missing"]
redact = ["/card/number"]

[sources.plain]
provider = "none"

[sources.returns]
provider = "none"
kind_header = "x-kind"
"#;

async fn send(host: &Host, source: &str, kind: &str, id: &str, body: &str) -> String {
    let headers = [("x-kind", kind), ("x-id", id)];
    host.send(source, &headers, body).await.event()
}

fn ids(found: &Value) -> Vec<&str> {
    let items = found["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_what_is_in_them() {
    let host = Host::start(CONFIG, &[]).await;
    let body = r#"{"order": {"id": "A-17"}, "paid": true, "note": "left at the door", "card": {"number": "4111222233334444"}}"#;
    let first = send(&host, "orders", "order.paid", "delivery-1", body).await;
    let second = send(
        &host,
        "orders",
        "order.sent",
        "delivery-2",
        r#"{"order": {"id": 18}}"#,
    )
    .await;
    let third = send(
        &host,
        "plain",
        "",
        "",
        "A-17 \u{fffd} is the second to say so",
    )
    .await;
    for (q, expected) in [
        (first.as_str(), vec![&first]),
        ("delivery-2", vec![&second]),
        ("delivery-3", vec![]),
        ("order.paid", vec![&first]),
        ("ORDER.", vec![&second, &first]),
        ("18", vec![&second]),
        ("left%20at%20the", vec![&first]),
        // What indexes give comes first, then what stands in bodies.
        ("A-17", vec![&first, &third]),
        ("nowhere", vec![]),
        // Hidden is hidden: neither whole nor in part.
        ("4111222233334444", vec![]),
        ("1112222", vec![]),
        ("[redacted]", vec![&first]),
    ] {
        let found = host.get(&format!("events?q={q}")).await;
        assert_eq!(ids(&found), expected, "{q}");
        assert_eq!(found["searched"]["is_complete"], true, "{q}");
        assert_eq!(found["next_cursor"], Value::Null, "{q}");
    }
    let narrowed = host.get("events?q=A-17&source=plain").await;
    assert_eq!(ids(&narrowed), [&third]);
    let narrowed = host
        .get("events?q=order&kind=order.sent&since=2000-01-01T00:00:00Z")
        .await;
    assert_eq!(ids(&narrowed), [&second]);
    // The exact bytes are there for who asks for them.
    let exact = host
        .ask(Method::GET, &format!("/api/v1/events/{first}/body"), "")
        .await;
    assert_eq!(exact.text(), body);
}

/// All pages of a search, in their order.
async fn all(host: &Host, search: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = host.get(&format!("events?{search}{cursor}")).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else {
            assert_eq!(page["searched"]["is_complete"], true, "{page}");
            return seen;
        };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_found_however_many_others_fit() {
    let host = Host::start(CONFIG, &[]).await;
    let mut others = Vec::new();
    for n in 0..150 {
        let kind = format!("needle.made-up-{n}");
        others.push(send(&host, "orders", &kind, "", "{}").await);
    }
    let one = send(&host, "returns", "a.needle", "", "{\"a\": \"needle\"}").await;
    let narrowed = all(&host, "q=needle&source=returns").await;
    assert_eq!(narrowed, [one.as_str()]);
    let narrowed = all(&host, "q=NEEDLE&kind=a.*").await;
    assert_eq!(narrowed, [one.as_str()]);
    others.push(one);
    for limit in [7, 40, 1000] {
        let mut found = all(&host, &format!("q=needle&limit={limit}")).await;
        found.sort_unstable();
        others.sort_unstable();
        assert_eq!(found, others, "by {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_cannot_look_into_a_body_says_so() {
    let host = Host::start(CONFIG, &[]).await;
    let body = format!("{{\"filler\": \"{}\"}}", "x".repeat(1 << 20));
    let long = send(&host, "orders", "long", "", &body).await;
    let found = host.get("events?q=needle").await;
    assert_eq!(found["searched"]["is_complete"], false);
    assert_eq!(found["next_cursor"], Value::Null);
    // Whatever is in its body, it is there or is not asked for.
    for (search, expected) in [
        ("q=long", vec![long.as_str()]),
        ("q=needle&source=plain", vec![]),
    ] {
        assert_eq!(all(&host, search).await, expected, "{search}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_no_page_could_look_into_is_remembered_on_the_last() {
    let host = Host::start(CONFIG, &[]).await;
    let filler = |bytes| format!("{{\"filler\": \"{}\"}}", "x".repeat(bytes));
    for _ in 0..12 {
        send(&host, "plain", "", "", &filler(900_000)).await;
    }
    // The newest: the first page meets it, and the last does not.
    send(&host, "plain", "", "", &filler(1 << 20)).await;
    let first = host.get("events?q=needle").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let last = host.get(&format!("events?q=needle&cursor={cursor}")).await;
    assert_eq!(last["next_cursor"], Value::Null, "{last}");
    assert_eq!(last["searched"]["is_complete"], false, "{last}");
    let (_, said, _) = asked(&host, &["events", "list", "-q", "needle"]).await;
    let why = "longer than 1 MiB, damaged, or encrypted with a key that the host lacks";
    assert!(said.contains(why), "{said}");
    // Where no page met one, none says so.
    assert_eq!(all(&host, "q=needle&kind=nothing").await, [""; 0]);
    send(&host, "returns", "", "", &filler(9)).await;
    assert_eq!(all(&host, "q=needle&source=returns").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_search_show_everything_once() {
    let host = Host::start(CONFIG, &[]).await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let body = format!(r#"{{"order": {{"id": "needle"}}, "n": {n}}}"#);
        expected.push(send(&host, "orders", "k", "", &body).await);
        expected.push(send(&host, "plain", "", "", &format!("a needle, {n}")).await);
        send(&host, "plain", "", "", "hay").await;
    }
    expected.sort_unstable();
    for limit in [1, 2, 5, 7, 14, 100] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = host
                .get(&format!("events?q=needle&limit={limit}{cursor}"))
                .await;
            assert!(ids(&page).len() <= limit);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, expected, "by {limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_into_bodies_is_bounded_and_says_so() {
    let host = Host::start(CONFIG, &[]).await;
    let body = format!("{{\"filler\": \"{}\"}}", "x".repeat(900_000));
    let oldest = send(&host, "plain", "", "", "the needle").await;
    for _ in 0..12 {
        send(&host, "plain", "", "", &body).await;
    }
    let found = host.get("events?q=needle").await;
    assert_eq!(ids(&found), [""; 0]);
    assert_eq!(found["searched"]["is_complete"], false);
    let looked = found["searched"]["bodies"].as_u64().unwrap();
    assert!((1..13).contains(&looked), "{found}");
    let cursor = found["next_cursor"].as_str().unwrap();
    let found = host.get(&format!("events?q=needle&cursor={cursor}")).await;
    assert_eq!(ids(&found), [&oldest]);
    for (path, status) in [
        ("events?q=", 400),
        ("events?q=a&cursor=bodies.x", 400),
        ("events?q=a&cursor=x", 400),
        ("events?q=a&cursor=kinds.", 400),
        ("events?q=a&cursor=kinds.bodies.", 400),
        ("events?q=a&cursor=bodies.kinds.", 200),
        ("events?q=a&nothing=1", 400),
    ] {
        let answer = host.ask(Method::GET, &format!("/api/v1/{path}"), "").await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_searches_on_until_it_has_what_was_asked_for() {
    let host = Host::start(CONFIG, &[]).await;
    let body = format!("{{\"filler\": \"{}\"}}", "x".repeat(900_000));
    let oldest = send(&host, "plain", "", "", "the needle").await;
    for _ in 0..12 {
        send(&host, "plain", "", "", &body).await;
    }
    let newest = send(&host, "plain", "", "", "another needle").await;
    let list = ["events", "list", "-q", "needle"];
    let (code, found, _) = asked(&host, &list).await;
    assert_eq!(code, 0, "{found}");
    assert!(
        found.contains(&oldest) && found.contains(&newest),
        "{found}"
    );
    assert!(!found.contains("--cursor"), "{found}");
    // With one it has what was asked for, and says how to go on.
    let (_, found, _) = asked(&host, &[&list[..], &["--limit", "1"]].concat()).await;
    assert!(
        found.contains(&newest) && !found.contains(&oldest),
        "{found}"
    );
    let (_, cursor) = found.split_once("more with --cursor '").unwrap();
    let cursor = cursor.split_once('\'').unwrap().0;
    let (_, found, _) = asked(&host, &[&list[..], &["--cursor", cursor]].concat()).await;
    assert!(
        found.contains(&oldest) && !found.contains(&newest),
        "{found}"
    );
    let (_, found, _) = asked(&host, &["events", "list", "-q", "nowhere"]).await;
    assert_eq!(found, "no events match\n");
}

/// Stands in for a host that has one page of a search, and is asked for too many at once then.
async fn host_with_one_page() -> (SocketAddr, JoinHandle<()>) {
    let page = json!({
        "items": [{ "id": "found", "runs": {} }],
        "next_cursor": "bodies.1",
        "searched": { "bodies": 7, "bodies_since": "2026-11-22T01:30:00.000Z", "is_complete": false },
    });
    let busy = json!({ "title": "too many requests", "detail": "others wait already" });
    let events = move |uri: Uri| {
        let is_later = uri.query().is_some_and(|query| query.contains("cursor="));
        let (status, answer) = match is_later {
            true => (StatusCode::SERVICE_UNAVAILABLE, busy.clone()),
            false => (StatusCode::OK, page.clone()),
        };
        std::future::ready((status, Json(answer)))
    };
    let routes = Router::new().route("/api/v1/events", get(events));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_breaks_off_shows_what_it_has_and_how_to_go_on() {
    let (host, task) = host_with_one_page().await;
    let folder = Folder::on(Engine::Sqlite, "", &[]).await;
    let list = ["events", "list", "-q", "needle"];
    let (code, found, why) = asked_at(host, &folder, &list).await;
    assert_eq!(
        (code, why.contains("others wait already")),
        (1, true),
        "{why}"
    );
    assert!(found.contains("found  "), "{found}");
    let rest = "looked into 7 bodies, back to 2026-11-22T01:30:00.000Z; older ones were not";
    assert!(found.contains(rest), "{found}");
    assert!(found.contains("more with --cursor 'bodies.1'"), "{found}");
    // Without a page there is nothing to show.
    let from = [&list[..], &["--cursor", "bodies.1"]].concat();
    let (code, found, why) = asked_at(host, &folder, &from).await;
    assert_eq!((code, found.as_str()), (1, ""), "{why}");
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn few_searches_go_on_at_once_and_too_many_are_refused() {
    let host = Host::start(CONFIG, &[]).await;
    let body = format!("{{\"filler\": \"{}\"}}", "x".repeat(900_000));
    for _ in 0..9 {
        send(&host, "orders", "", "", &body).await;
    }
    let search = || host.ask(Method::GET, "/api/v1/events?q=needle", "");
    let refused = eventually("a refusal among many searches", async || {
        let answers = join_all((0..32).map(|_| search())).await;
        let (found, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 200);
        // Two go on, and others wait for their turn.
        assert!(found.len() >= 8, "only {} were answered", found.len());
        refused.into_iter().next()
    });
    let refused = refused.await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.headers.contains_key("retry-after"));
    let text = refused.text();
    assert!(
        text.contains("does 2 searches at a time, and 6 others wait"),
        "{text}"
    );
    // Later there is room again.
    assert_eq!(search().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_cannot_be_indexed() {
    let folder = Folder::new("", &[]).await;
    for (index, problem) in [
        (
            "index = [\"/card/number\"]\nredact = [\"/card\"]",
            "`/card/number` is hidden by `redact`'s `/card`",
        ),
        ("index = [\"card\"]", "`card` is not a JSON Pointer"),
        ("redact = \"/card\"", "a list of texts"),
    ] {
        let config = format!("[sources.a]\nprovider = \"none\"\n{index}\n");
        std::fs::write(folder.config_file(), config).unwrap();
        let environment = hookbay::config::Environment::of([("HOOKBAY_ADMIN_TOKEN", "x")]);
        let overrides = hookbay::config::Overrides::default();
        let file = folder.config_file();
        let read = hookbay::config::Config::load_with(Some(&file), &overrides, &environment);
        let said = read.unwrap_err().to_string();
        assert!(said.contains(problem), "{said}");
    }
}
