//! The plugins of `plugins/` in the real sandbox, against the stand-in for what they call.
//!
//! What each is given and makes is a row (`collection/rows.rs`); what must hold is a test
//! over all rows. `stripe-invoice-notion` has a file of its own (`stripe_invoice_notion.rs`)
//! with the same cases, and `forward` one for what it signs.
//!
//! | case | of those that call out | of those that count (`counting.rs`) |
//! |---|---|---|
//! | happy path, duplicate, replay | `an_event_makes_one_message…` | `a_delivery_that_comes_again…`, `a_release_is_announced…` |
//! | 429 and 500, with their delays | `a_refusal_that_may_pass…` | they ask nobody |
//! | failure for good | `a_refusal_for_good…` | `a_payload_of_another_shape…` |
//! | another order | `what_comes_in_another_order…`, `threads.rs` | sums have no order |
//! | lost answer | `an_answer_that_is_lost…` | they ask nobody |
//! | SIGKILL before the commit | `a_host_that_is_killed…` | `cargo xtask faults`, for all |
//! | missing grant | `without_its_grants…` | they want nothing |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hookbay::clock::{Clock, Timestamp};
use hookbay::config::provider;
use hookbay_stand_in::{Fault, Options, StandIn};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Folder, Host, SECRET, eventually, outcomes};
use crate::http::Answer;
use crate::program::Program;
use crate::signing::{Headers, borrowed, github_headers, hmac_sha256};

mod counting;
mod rows;
mod threads;

use rows::{Row, rows};

/// A source for each provider that the plugins read.
const SOURCES: &str = r#"
[sources.github]
provider = "github"
secret = "It's a Secret to Everybody"

[sources.shopify]
provider = "shopify"
secret = "It's a Secret to Everybody"

[sources.stripe]
provider = "stripe"
secret = "It's a Secret to Everybody"

[sources.orders]
provider = "none"
kind_header = "x-kind"
"#;

/// What every plugin under test is set to: waits that nobody would wait for.
const SETTINGS: &str = r#"
retry = { attempts = 5, first = "1h", factor = 1, max = "1h", jitter = 0 }
limits = { wall = "30s" }
"#;

/// A host with one plugin, under the name `tested`, and the other side.
struct Stage {
    row: Row,
    host: Host,
    stand_in: StandIn,
}

impl Stage {
    async fn new(row: Row) -> Self {
        let grants = row.grants.clone();
        Self::granting(row, &grants).await
    }

    async fn granting(row: Row, grants: &str) -> Self {
        let stand_in = StandIn::start(Options::quiet()).unwrap();
        let host = Host::start(&config(&row, grants, &stand_in), &[row.file]).await;
        Self {
            row,
            host,
            stand_in,
        }
    }

    async fn deliver(&self, delivery: &str) -> Answer {
        deliver(&self.host, self.row.source, self.row.kind, delivery).await
    }

    /// Replays an event; the new run, once it has succeeded.
    async fn replayed(&self, event: &str) -> Value {
        replayed(&self.host, event).await
    }

    /// What the other side shows.
    fn made(&self) -> Vec<String> {
        self.stand_in.with(|services| (self.row.made)(services))
    }

    /// Has a run that waits tried now, and waits for its end.
    async fn tried_now(&self, event: &str) -> Value {
        let run = self.host.run_in(event, &["waiting"]).await;
        let path = format!("runs/{}/retry", run["id"].as_str().unwrap());
        assert_eq!(self.host.post(&path).await.status, 202);
        self.host.finished(event).await
    }

    #[track_caller]
    fn check_made(&self, expected: usize) {
        let (made, file) = (self.made(), self.row.file);
        assert_eq!(made.len(), expected, "{file}: {made:?}");
        for one in &made {
            assert!(one.contains(self.row.says), "{file}: {one}");
        }
    }
}

/// The sources, and a row's plugin with what it is granted.
fn config(row: &Row, grants: &str, stand_in: &StandIn) -> String {
    let grants = grants.replace("ORIGIN", &stand_in.origin());
    let triggers = match row.source {
        "orders" => "triggers = [{ source = \"orders\", kind = \"order.*\" }]\n",
        _ => "",
    };
    let (file, config) = (row.file, row.config);
    let plugin = format!("[plugins.tested]\nfile = \"{file}.wasm\"\n");
    format!("{SOURCES}{plugin}{SETTINGS}{triggers}{config}{grants}")
}

/// Replays an event that has one plugin; the new run, once it has succeeded.
async fn replayed(host: &Host, event: &str) -> Value {
    let replay = host.post(&format!("events/{event}/replay")).await;
    let replay = replay.json()["runs"][0]["id"].as_str().unwrap().to_owned();
    eventually("the replay is done", async || {
        let run = host.get(&format!("runs/{replay}")).await;
        assert_ne!(run["state"], "dead", "{run}");
        (run["state"] == "succeeded").then_some(run)
    })
    .await
}

/// The provider's sample of a kind, sent to a source as the provider would.
async fn deliver(host: &Host, source: &str, kind: &str, delivery: &str) -> Answer {
    let body = sample(source, kind, delivery);
    let headers = headers(source, kind, delivery, body.as_bytes());
    host.send_signed(source, &headers, body).await
}

fn sample(source: &str, kind: &str, delivery: &str) -> String {
    let provider = if source == "orders" {
        "generic"
    } else {
        source
    };
    let samples = provider::entry(provider).unwrap().samples;
    let mut samples = samples.iter();
    let sample = samples.find(|sample| sample.kind == kind);
    let body = &sample.unwrap_or_else(|| panic!("no sample of {kind}")).body;
    body.replace("{{id}}", delivery).replace("{{kind}}", kind)
}

fn headers(source: &str, kind: &str, delivery: &str, body: &[u8]) -> Headers {
    match source {
        "github" => {
            let (event, _) = kind.split_once('.').unwrap_or((kind, ""));
            github_headers(SECRET, event, delivery, body)
        }
        "shopify" => {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(SECRET.as_bytes()).unwrap();
            mac.update(body);
            let signature = STANDARD.encode(mac.finalize().into_bytes());
            vec![
                ("content-type", "application/json".to_owned()),
                ("x-shopify-topic", kind.to_owned()),
                ("x-shopify-webhook-id", delivery.to_owned()),
                ("x-shopify-hmac-sha256", signature),
            ]
        }
        "stripe" => {
            let at = Clock::system().now().seconds();
            let signed = [format!("{at}.").as_bytes(), body].concat();
            let signature = format!("t={at},v1={}", hmac_sha256(SECRET, &signed));
            vec![
                ("content-type", "application/json".to_owned()),
                ("stripe-signature", signature),
            ]
        }
        _ => vec![
            ("content-type", "application/json".to_owned()),
            ("x-kind", kind.to_owned()),
            ("idempotency-key", delivery.to_owned()),
        ],
    }
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_makes_one_message_however_often_it_comes() {
    for row in rows() {
        let stage = Stage::new(row).await;
        let answer = stage.deliver("d-1").await;
        assert_eq!(answer.json()["status"], "accepted", "{}", answer.text());
        let event = answer.event();
        let run = stage.host.finished(&event).await;
        assert_eq!(run["state"], "succeeded", "{run}");
        stage.check_made(1);

        let again = stage.deliver("d-1").await;
        assert_eq!(again.json()["status"], "duplicate", "{}", again.text());
        assert_eq!(again.event(), event);
        stage.replayed(&event).await;
        stage.check_made(if stage.row.is_idempotent { 1 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_may_pass_is_tried_again_when_it_was_told() {
    for row in rows() {
        let stage = Stage::new(row).await;
        let fault = |status| Fault::status("POST", stage.row.path, status);
        for (delivery, fault, delay_s) in [
            // The schedule's hour, and what the other side asks for where that is longer.
            ("d-1", fault(500), 3_600),
            ("d-2", fault(429).retry_after(7_200), 7_200),
        ] {
            let before = stage.made().len();
            stage.stand_in.inject(fault);
            let event = stage.deliver(delivery).await.event();
            let waiting = stage.host.run_in(&event, &["waiting"]).await;
            assert_eq!(waiting["outcome"], "retry", "{waiting}");
            let attempt = &waiting["attempts"][0];
            let ended = time(&attempt["started_at"]);
            let waits = time(&waiting["next_attempt_at"]).since(ended).as_secs();
            // From the attempt's end, which is within a minute of its beginning.
            assert!((delay_s..delay_s + 60).contains(&waits), "{waiting}");
            assert_eq!(stage.made().len(), before);

            let run = stage.tried_now(&event).await;
            assert_eq!(outcomes(&run), ["retry", "succeeded"], "{run}");
            stage.check_made(before + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_makes_no_second_message() {
    for row in rows() {
        let stage = Stage::new(row).await;
        let lost = Fault::hang_up("POST", stage.row.path).applied();
        stage.stand_in.inject(lost);
        let event = stage.deliver("d-1").await.event();
        let run = stage.tried_now(&event).await;
        assert_eq!(outcomes(&run), ["retry", "succeeded"], "{run}");
        stage.check_made(if stage.row.is_idempotent { 1 } else { 2 });
    }
}

/// Between the call and the commit of what came of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_after_the_call_makes_no_second_message() {
    for row in rows() {
        let stand_in = StandIn::start(Options::quiet()).unwrap();
        let toml = config(&row, &row.grants, &stand_in);
        let folder = Folder::new(&toml, &[row.file]).await;
        let program = Program::start(&folder).await;
        stand_in.inject(Fault::hold("POST", row.path).applied());
        let body = sample(row.source, row.kind, "d-1");
        let headers = headers(row.source, row.kind, "d-1", body.as_bytes());
        let headers = borrowed(&headers);
        let sent = program.send_with(row.source, &headers, &body).await;
        let event = sent.event();
        eventually("the other side has made it", async || {
            let made = stand_in.with(|services| (row.made)(services));
            (made.len() == 1).then_some(())
        })
        .await;
        program.kill().await;

        let host = Host::over(folder).await;
        let stage = Stage {
            row,
            host,
            stand_in,
        };
        let run = stage.host.finished(&event).await;
        assert_eq!(outcomes(&run), ["host_lost", "succeeded"], "{run}");
        stage.check_made(if stage.row.is_idempotent { 1 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_another_order_makes_the_same_messages() {
    // A pull request's own messages in every order are in `threads.rs`.
    for row in rows().into_iter().filter(|row| row.source != "github") {
        let (source, kind) = (row.source, row.kind);
        let kinds: Vec<String> = if source == "orders" {
            (1..=3).map(|_| kind.to_owned()).collect()
        } else {
            let samples = provider::entry(source).unwrap().samples;
            samples.iter().map(|sample| sample.kind.clone()).collect()
        };
        let mut numbered: Vec<(usize, &String)> = kinds.iter().enumerate().collect();
        let mut made = Vec::new();
        let file = row.file;
        let mut row = Some(row);
        for _ in 0..2 {
            let stage = Stage::new(row.take().unwrap()).await;
            for (number, kind) in &numbered {
                let delivery = format!("d-{number}");
                let answer = deliver(&stage.host, source, kind, &delivery).await;
                assert_eq!(answer.status / 100, 2, "{kind}: {}", answer.text());
            }
            stage.host.settled("tested").await;
            let mut shown = stage.made();
            shown.sort();
            made.push(shown);
            row = Some(stage.row);
            numbered.reverse();
        }
        assert!(
            !made[0].is_empty() && made[0] == made[1],
            "{file}: {made:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_ends_the_run_and_says_why() {
    for row in rows() {
        let stage = Stage::new(row).await;
        (stage.row.spoil)(&stage.stand_in);
        let event = stage.deliver("d-1").await.event();
        let run = stage.host.finished(&event).await;
        let outcome = (&run["state"], &run["outcome"]);
        assert_eq!(outcome, (&json!("dead"), &json!("permanent")), "{run}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(stage.row.reason), "{message}");
        assert_eq!(stage.stand_in.calls().len(), 1);
        stage.check_made(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_grants_a_plugin_is_held_and_its_runs_wait() {
    for row in rows() {
        let missing = row.missing;
        let stage = Stage::granting(row, "").await;
        let plugin = stage.host.get("plugins/tested").await;
        assert_eq!(plugin["state"], "held", "{plugin}");
        assert_eq!(plugin["missing_grants"], json!(missing));
        let event = stage.deliver("d-1").await.event();
        stage.host.run_in(&event, &["blocked"]).await;
        assert!(stage.stand_in.calls().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_of_a_plugins_kinds_is_handled() {
    let stand_in = StandIn::start(Options::quiet()).unwrap();
    let mut toml = SOURCES.to_owned();
    let mut plugins = vec![
        "github-push",
        "github-pull-request",
        "github-issues",
        "github-release",
        "github-workflow",
    ];
    for row in rows() {
        if row.source != "orders" {
            let grants = row.grants.replace("ORIGIN", &stand_in.origin());
            toml.push_str(&format!("[plugins.{}]\n{grants}", row.file));
            plugins.push(row.file);
        }
    }
    let host = Host::start(&toml, &plugins).await;
    let mut n_runs = 0;
    for source in ["github", "shopify", "stripe"] {
        for (n, sample) in provider::entry(source).unwrap().samples.iter().enumerate() {
            let delivery = format!("{source}-{n}");
            let answer = deliver(&host, source, &sample.kind, &delivery).await;
            assert_eq!(answer.status / 100, 2, "{}: {}", sample.kind, answer.text());
            let event = host.get(&format!("events/{}", answer.event())).await;
            assert_eq!(event["kind"], json!(sample.kind));
            n_runs += event["runs"].as_array().unwrap().len();
        }
    }
    assert!(n_runs >= 25, "{n_runs} runs");
    eventually("all are done", async || {
        let runs = host.items("runs?limit=1000").await;
        let dead = runs.iter().find(|run| run["state"] == "dead");
        assert!(dead.is_none(), "{dead:?}");
        runs.iter()
            .all(|run| run["state"] == "succeeded")
            .then_some(())
    })
    .await;
}
