//! The stream of events: live, resumable, and nothing is ever skipped.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use sqlx::Executor;

use crate::database::Engine;
use crate::harness::{Folder, Host, TOKEN, eventually};

const CONFIG: &str = r#"
[sources.a]
provider = "none"
kind_header = "x-kind"

[sources.b]
provider = "none"
"#;

/// One who follows a stream.
pub(crate) struct Follower {
    response: reqwest::Response,
    read: String,
    /// Behind what was read.
    pub(crate) position: String,
}

/// What a stream says.
pub(crate) struct Said {
    pub(crate) name: String,
    data: String,
}

impl Follower {
    /// Follows from a place, or from now on.
    pub(crate) async fn begin(host: &Host, query: &str, after: Option<&str>) -> Self {
        let authorization = ("authorization", format!("Bearer {TOKEN}"));
        let after = after.map(|after| ("last-event-id", after.to_owned()));
        let headers: Vec<(&str, String)> = [authorization].into_iter().chain(after).collect();
        Self::at(host, &format!("/api/v1/stream{query}"), &headers).await
    }

    /// Follows what an address of the host gives.
    pub(crate) async fn at(host: &Host, path: &str, headers: &[(&str, String)]) -> Self {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let url = format!("http://{}{path}", host.admin);
        let mut request = client.build().unwrap().get(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut follower = Self {
            response,
            read: String::new(),
            position: String::new(),
        };
        assert_eq!(follower.next().await.unwrap().name, "ready");
        follower
    }

    /// The next message; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some((message, rest)) = self.read.split_once("\n\n") {
                let mut said = Said {
                    name: String::new(),
                    data: String::new(),
                };
                for line in message.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => id.clone_into(&mut self.position),
                        Some(("event", name)) => name.clone_into(&mut said.name),
                        Some(("data", data)) => data.clone_into(&mut said.data),
                        _ => {}
                    }
                }
                self.read = rest.to_owned();
                return Some(said);
            }
            let chunk = self.response.chunk().await.ok()??;
            self.read.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            let said = self.next().await.expect("the stream goes on");
            if said.name == "event" {
                return serde_json::from_str(&said.data).unwrap();
            }
        }
    }

    /// The ids of the next events.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.push(self.event().await["id"].as_str().unwrap().to_owned());
        }
        ids
    }
}

async fn send(host: &Host, source: &str, kind: &str) -> String {
    host.send(source, &[("x-kind", kind)], "{}").await.event()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_are_stored_and_after_a_break() {
    let host = Host::start(CONFIG, &[]).await;
    let before = send(&host, "a", "before").await;
    let mut follower = Follower::begin(&host, "", None).await;
    let first = send(&host, "a", "x.first").await;
    let mut event = follower.event().await;
    if event["id"] == before.as_str() {
        // On a server where others still write, now is a little earlier.
        event = follower.event().await;
    }
    assert_eq!(event["id"], first.as_str(), "only what comes from now on");
    assert_eq!(event["kind"], "x.first");
    let shown = host.items("events?kind=x.first").await;
    assert_eq!(event, shown[0], "an event is what it is in a list");
    let position = follower.position.clone();
    drop(follower);
    let mut missed = Vec::new();
    for n in 0..7 {
        missed.push(send(&host, if n % 2 == 0 { "a" } else { "b" }, "x.y").await);
    }
    let mut again = Follower::begin(&host, "", Some(&position)).await;
    assert_eq!(again.ids(7).await, missed);
    // The header of who comes back stands over what the address says.
    let query = format!("?last_event_id={}", again.position);
    let mut again = Follower::begin(&host, &query, Some(&position)).await;
    assert_eq!(again.ids(7).await, missed);
    let last = again.position.clone();
    let host = host.restart().await;
    let next = send(&host, "b", "").await;
    let mut again = Follower::begin(&host, &format!("?last_event_id={last}"), None).await;
    assert_eq!(again.ids(1).await, [next]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_leave_out_and_move_on() {
    let host = Host::start(CONFIG, &[]).await;
    let mut of_b = Follower::begin(&host, "?source=b", None).await;
    let mut of_kind = Follower::begin(&host, "?kind=x.*", None).await;
    let mut expected = Vec::new();
    for kind in ["x.one", "y", "x.two", "x.two.three"] {
        expected.push(send(&host, "a", kind).await);
    }
    assert_eq!(
        of_kind.ids(2).await,
        [expected[0].clone(), expected[2].clone()]
    );
    let start = of_b.position.clone();
    // Nothing of it was for this one, but it need not look at it again.
    eventually("the place moves on", async || {
        assert_eq!(of_b.next().await.unwrap().name, "");
        (of_b.position != start).then_some(())
    })
    .await;
    let event = send(&host, "b", "").await;
    assert_eq!(of_b.ids(1).await, [event]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_place_is_refused() {
    let host = Host::start(CONFIG, &[]).await;
    for (path, status) in [
        ("stream?last_event_id=nonsense", 400),
        ("stream?last_event_id=-1", 400),
        ("stream?last_event_id=1.x", 400),
        ("stream?last_event_id=9000000000000000000", 409),
        ("stream?kind=a..b", 400),
        ("stream?sorce=a", 400),
        ("stream?limit=1", 400),
    ] {
        let answer = host.ask(Method::GET, &format!("/api/v1/{path}"), "").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let answer = host.ask_as(Method::GET, "/api/v1/stream", &[], "").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_so_many_streams_and_ends_them_when_it_stops() {
    let host = Host::start(CONFIG, &[]).await;
    let open = async || Follower::begin(&host, "", None).await;
    let mut followers = join_all((0..100).map(|_| open())).await;
    let refused = host.ask(Method::GET, "/api/v1/stream", "").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), "5");
    followers.pop();
    eventually("a place is free again", async || {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let url = format!("http://{}/api/v1/stream", host.admin);
        let request = client.build().unwrap().get(url).bearer_auth(TOKEN);
        (request.send().await.unwrap().status() == 200).then_some(())
    })
    .await;
    let mut last = followers.pop().unwrap();
    host.stop().await;
    assert!(last.next().await.is_none(), "it was ended");
}

/// On Postgres a transaction that began first may be committed last.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_before_what_is_still_on_its_way() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let host = Host::start(CONFIG, &[]).await;
    let mut follower = Follower::begin(&host, "", None).await;
    let mut slow = host.folder.database.connect().await;
    slow.execute("begin").await.unwrap();
    let copy = "insert into events (id, source, provider, kind, received_ms, size_bytes, is_handshake, \
                dedup_conflict, encoding, header_bytes, request) \
                select decode(substr(encode(id, 'hex'), 1, 14) || '000000000000000000', 'hex'), source, provider, \
                'slow', received_ms, size_bytes, 0, 0, encoding, header_bytes, request from events limit 1";
    let seed = send(&host, "a", "seed").await;
    assert_eq!(follower.ids(1).await, [seed]);
    slow.execute(copy).await.unwrap();
    let quick = send(&host, "a", "quick").await;
    // It is there for everybody, but not in the stream: that would be past the slow one.
    assert_eq!(host.items("events?kind=quick").await.len(), 1);
    let position = follower.position.clone();
    let end = host.store().stream_end().await.unwrap();
    let shown = host
        .store()
        .stream_from(position.parse().unwrap(), 10)
        .await;
    assert_eq!(shown.unwrap(), [], "the stream ends at {end}");
    slow.execute("commit").await.unwrap();
    assert_eq!(follower.event().await["kind"], "slow");
    assert_eq!(follower.ids(1).await, [quick]);
}

/// Two hosts store while one who follows comes back again and again, to either.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_from_two_hosts_nothing_is_missing_or_twice() {
    const MANY: usize = 300;
    let folder = Folder::new(CONFIG, &[]).await;
    let mut hosts = Vec::new();
    if Engine::of_hosts() == Engine::Postgres {
        hosts.push(Host::over(folder.beside(CONFIG, &[])).await);
    }
    hosts.push(Host::over(folder).await);
    let start = Follower::begin(&hosts[0], "", None).await.position;
    let hosts = &hosts;
    let send = async |n: usize| {
        let host = &hosts[n % hosts.len()];
        send(host, if n.is_multiple_of(3) { "a" } else { "b" }, "k").await
    };
    let follow = async {
        let (mut position, mut seen) = (start, Vec::new());
        for n in 0.. {
            let left = MANY - seen.len();
            if left == 0 {
                break;
            }
            let host = &hosts[n % hosts.len()];
            let mut follower = Follower::begin(host, "", Some(&position)).await;
            seen.extend(follower.ids(left.min(7)).await);
            position = follower.position.clone();
        }
        seen
    };
    let (mut sent, mut seen) = tokio::join!(join_all((0..MANY).map(send)), follow);
    sent.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, sent);
}

/// As by a dump: transactions of the new server have lower numbers than what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_moved_goes_on_behind_what_it_has() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let host = Host::start(CONFIG, &[]).await;
    let old = send(&host, "a", "old").await;
    let folder = host.stop().await;
    let mut database = folder.database.connect().await;
    let far = "update events set position = position + 1000000000";
    database.execute(far).await.unwrap();
    drop(database);
    let host = Host::over(folder).await;
    let mut follower = Follower::begin(&host, "", Some("1")).await;
    assert_eq!(follower.ids(1).await, [old]);
    let position = follower.position.clone();
    let new = send(&host, "a", "new").await;
    assert_eq!(follower.ids(1).await, std::slice::from_ref(&new));
    let host = host.restart().await;
    let mut follower = Follower::begin(&host, "", Some(&position)).await;
    assert_eq!(follower.ids(1).await, [new]);
}
