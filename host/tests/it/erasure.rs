//! What operators do with single events: take them out, erase them, put their own in.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Host, TOKEN};
use crate::stream::Follower;

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"
kind_header = "x-kind"
index = ["/key"]
max_body = "1KiB"

[sources.bytes]
provider = "none"

[plugins.misbehave]
triggers = [{ source = "misbehave", kind = "**", ordering_key = "/order" }]
retry = { attempts = 1 }
on_dead = "block"
"#;

async fn delete(host: &Host, path: &str) -> u16 {
    host.ask(Method::DELETE, &format!("/api/v1/{path}"), "")
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_event_leaves_nothing_behind() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let told = json!({ "do": "ok", "key": "the-key" });
    let event = host.tell(&told).await;
    let run = host.finished(&event).await;
    assert_eq!(host.items("events?q=the-key").await.len(), 1);
    let follower = Follower::begin(&host, "", None).await;
    assert_eq!(delete(&host, &format!("events/{event}")).await, 204);
    for path in [
        format!("events/{event}"),
        format!("events/{event}/body"),
        format!("runs/{}", run["id"].as_str().unwrap()),
    ] {
        let answer = host.ask(Method::GET, &format!("/api/v1/{path}"), "").await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(host.items("events?q=the-key").await.is_empty());
    assert!(host.items("runs").await.is_empty());
    assert_eq!(delete(&host, &format!("events/{event}")).await, 404);
    assert_eq!(delete(&host, "events/nonsense").await, 404);
    // Who follows from behind the erased one misses nothing that comes after it.
    let position = follower.position.clone();
    let next = host.tell(&json!({ "do": "ok" })).await;
    let mut follower = Follower::begin(&host, "", Some(&position)).await;
    assert_eq!(follower.ids(1).await, [next]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_hides_no_other_and_can_be_erased() {
    let host = Host::start(CONFIG, &[]).await;
    let damaged = host.send("bytes", &[], "a needle").await.event();
    let folder = &host.folder;
    folder.database.damage_requests(folder.path()).await;
    let whole = host.send("bytes", &[], "a needle too").await.event();
    let found = host.items("events?q=needle").await;
    let found: Vec<&Value> = found.iter().map(|event| &event["id"]).collect();
    assert_eq!(found, [&whole]);
    assert_eq!(delete(&host, &format!("events/{damaged}")).await, 204);
    assert_eq!(delete(&host, &format!("events/{damaged}")).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_a_run_needs_stays_unless_that_is_cancelled() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    assert_eq!(host.post("plugins/misbehave/pause").await.status, 204);
    let waiting = host.tell(&json!({ "do": "ok" })).await;
    assert_eq!(delete(&host, &format!("events/{waiting}")).await, 409);
    assert_eq!(
        delete(&host, &format!("events/{waiting}?cancel=nonsense")).await,
        400
    );
    assert_eq!(
        delete(&host, &format!("events/{waiting}?cancel=false")).await,
        409
    );
    assert_eq!(
        delete(&host, &format!("events/{waiting}?cancel=true")).await,
        204
    );
    assert_eq!(host.post("plugins/misbehave/resume").await.status, 204);
    // A dead run that blocks its key is needed too.
    let blocks = host.tell(&json!({ "do": "permanent", "order": 1 })).await;
    host.finished(&blocks).await;
    let behind = host.tell(&json!({ "do": "ok", "order": 1 })).await;
    assert_eq!(delete(&host, &format!("events/{blocks}")).await, 409);
    assert_eq!(
        delete(&host, &format!("events/{blocks}?cancel=true")).await,
        204
    );
    assert_eq!(host.finished(&behind).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_event_with_its_exact_body() {
    let host = Host::start(CONFIG, &[]).await;
    let mut sent = Vec::new();
    for n in 0..450 {
        let body = format!("{{\"n\": {n}}}");
        sent.push((
            host.send("misbehave", &[], body.clone()).await.event(),
            body,
        ));
    }
    let raw = [0u8, 159, 146, 150];
    let binary = host.send("bytes", &[], raw.to_vec()).await.event();
    let answer = host.ask(Method::GET, "/api/v1/events/export", "").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/x-ndjson")
    );
    let text = answer.text();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut given: Vec<(String, String)> = Vec::new();
    for line in &lines[..450] {
        given.push((
            line["id"].as_str().unwrap().into(),
            line["body"].as_str().unwrap().into(),
        ));
    }
    sent.sort_unstable();
    assert_eq!(given, sent, "oldest first");
    let last = lines.last().unwrap();
    assert_eq!((lines.len(), &last["id"]), (451, &json!(binary)));
    assert_eq!(last["body_base64"], "AJ+Slg==");
    assert!(
        last["headers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|header| header[0] == "content-length")
    );
    let only = host
        .ask(Method::GET, "/api/v1/events/export?source=bytes", "")
        .await;
    assert_eq!(only.text().lines().count(), 1);
    let none = host
        .ask(
            Method::GET,
            "/api/v1/events/export?until=2000-01-01T00:00:00Z",
            "",
        )
        .await;
    assert_eq!((none.status, none.text().as_str()), (200, ""));
    for path in ["limit=1", "kind=a..b", "since=never"] {
        let answer = host
            .ask(Method::GET, &format!("/api/v1/events/export?{path}"), "")
            .await;
        assert_eq!(answer.status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_event_goes_the_way_of_every_other_and_is_marked() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-kind", "from.header"),
        ("hookbay-injected-by", "somebody else"),
    ];
    let inject = async |query: &str, body: &str| {
        let path = format!("/api/v1/sources/misbehave/events{query}");
        host.ask_as(Method::POST, &path, &headers, body).await
    };
    let body = r#"{"do": "ok", "key": "injected"}"#;
    let answer = inject("?kind=by.operator&delivery_id=d1", body).await;
    assert_eq!(answer.word(), (202, "accepted".to_owned()));
    let id = answer.event();
    assert_eq!(host.finished(&id).await["state"], "succeeded");
    let event = host.get(&format!("events/{id}")).await;
    assert_eq!(
        (&event["kind"], &event["delivery_id"]),
        (&json!("by.operator"), &json!("d1"))
    );
    let given: Vec<&Value> = event["headers"].as_array().unwrap().iter().collect();
    assert!(
        given.contains(&&json!(["hookbay-injected-by", "bootstrap"])),
        "{given:?}"
    );
    assert!(!event.to_string().contains(TOKEN) && !event.to_string().contains("somebody"));
    assert_eq!(
        host.items("events?q=injected").await.len(),
        1,
        "it is indexed"
    );
    // The same again is known; a kind is read where none is said.
    let again = inject("?kind=other&delivery_id=d1", body).await;
    assert_eq!((again.status, again.event()), (200, id));
    let read = inject("", "{}").await.event();
    assert_eq!(
        host.get(&format!("events/{read}")).await["kind"],
        "from.header"
    );
    // A pause is for senders.
    assert_eq!(host.post("sources/misbehave/pause").await.status, 204);
    assert_eq!(inject("", "{}").await.status, 202);
    assert_eq!(inject("", &"x".repeat(2000)).await.status, 413);
    assert_eq!(inject("?kid=x", "{}").await.status, 400);
    assert_eq!(
        inject(&format!("?kind={}", "k".repeat(600)), "{}")
            .await
            .status,
        400
    );
    let nobody = host
        .ask(Method::POST, "/api/v1/sources/nobody/events", "{}")
        .await;
    assert_eq!(nobody.status, 404);
}
