//! The plugin `stripe-invoice-notion` in the real sandbox, against the stand-in for Notion.

use std::collections::BTreeMap;
use std::fs;

use hookbay::config::provider;
use hookbay_stand_in::{Fault, Options, StandIn, notion};
use reqwest::Method;
use serde_json::{Value, json};

use crate::components::named;
use crate::harness::{Folder, Host, eventually, outcomes};
use crate::http::{self, Answer};
use crate::program::Program;
use crate::signing;

const PLUGIN: &str = "stripe-invoice-notion";
/// Not base64: Stripe's secrets are used whole.
const SECRET: &str = "whsec_test_secret_of_a_source";
/// The invoice of the samples.
const INVOICE: &str = "in_1T6VqHLkq0nFvRzKp3mWdJ8s";
/// What the samples' life comes to.
const ENDS_REFUNDED: &str = "HRB-2026-0147 · Northwind Trading B.V. | Refunded | 119 | 119 | 119";

const SOURCE: &str = r#"
[sources.stripe]
provider = "stripe"
secret = "whsec_test_secret_of_a_source"
"#;

/// The source, and the plugin with all that it wants at the stand-in; a wait between attempts
/// that ends only when a test says so.
fn config(stand_in: &StandIn, more: &str) -> String {
    let (origin, token, database) = (stand_in.origin(), notion::TOKEN, notion::DATABASE);
    format!(
        r#"{SOURCE}
        [plugins.{PLUGIN}]
        http.notion = {{ origin = "{origin}", secrets = ["NOTION_TOKEN"], private = true }}
        secrets.NOTION_TOKEN = "{token}"
        config.database_id = "{database}"
        limits = {{ wall = "30s" }}
        retry = {{ first = "1h" }}
        {more}
        "#
    )
}

async fn start(stand_in: &StandIn) -> Host {
    Host::start(&config(stand_in, ""), &[PLUGIN]).await
}

fn stand_in() -> StandIn {
    StandIn::start(Options::quiet()).unwrap()
}

/// The pages as text, without what is the same on all.
fn pages(stand_in: &StandIn) -> Vec<String> {
    let columns = ["Name", "Status", "Amount", "Paid", "Refunded"];
    let line = |page: &notion::Page| {
        let texts = columns.iter().map(|column| page.text(column));
        let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
        texts.join(" | ")
    };
    stand_in.with(|services| services.notion.pages().map(line).collect())
}

/// The sample of a kind, as event `id` about another invoice and payment of the same life.
fn sample(kind: &str, id: &str, invoice: &str) -> String {
    let entry = provider::entry("stripe").unwrap();
    let sample = entry.samples.iter().find(|sample| sample.kind == kind);
    let body = &sample.unwrap().body;
    body.replace("{{id}}", id)
        .replace(INVOICE, invoice)
        .replace("pi_3T6", &format!("pi_{invoice}"))
}

/// The headers of a delivery, as Stripe writes them.
fn headers(body: &str) -> signing::Headers {
    let now = jiff::Timestamp::now().as_second();
    let signature = signing::hmac_sha256(SECRET, format!("{now}.{body}").as_bytes());
    vec![
        ("Content-Type", "application/json; charset=utf-8".to_owned()),
        ("Stripe-Signature", format!("t={now},v1={signature}")),
    ]
}

async fn deliver(host: &Host, body: &str) -> Answer {
    host.send_signed("stripe", &headers(body), body).await
}

/// Sends a sample; its run when that has ended or waits.
async fn run_of(host: &Host, kind: &str) -> Value {
    let event = deliver(host, &sample(kind, "evt_1", INVOICE)).await.event();
    host.run_in(&event, &["succeeded", "dead", "waiting"]).await
}

/// Makes every run that waits for its next attempt due, until none is left.
async fn hurry(host: &Host) {
    eventually("nothing waits any more", async || {
        for run in host.items("runs?state=waiting&limit=1000").await {
            let id = run["id"].as_str().unwrap();
            host.post(&format!("runs/{id}/retry")).await;
        }
        let runs = host.get(&format!("plugins/{PLUGIN}")).await["runs"].clone();
        let left = ["ready", "running", "waiting", "blocked"];
        left.iter().all(|state| runs[state] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoices_life_is_one_page() {
    let stand_in = stand_in();
    let host = start(&stand_in).await;
    for (number, (kind, shown)) in [
        ("invoice.created", "Draft"),
        ("invoice.finalized", "Open"),
        ("invoice.payment_failed", "Payment failed"),
        ("payment_intent.succeeded", "Payment received"),
        ("invoice.paid", "Paid"),
        ("charge.refunded", "Refunded"),
    ]
    .iter()
    .enumerate()
    {
        let body = sample(kind, &format!("evt_{number}"), INVOICE);
        let event = deliver(&host, &body).await.event();
        let run = host.finished(&event).await;
        assert_eq!(outcomes(&run), ["succeeded"], "{run}");
        let summary = run["summary"].as_str().unwrap();
        assert!(summary.ends_with(&format!(": {shown}")), "{summary}");
        assert_eq!(pages(&stand_in).len(), 1);
    }
    assert_eq!(pages(&stand_in), [ENDS_REFUNDED]);
    // The token went along, and nobody sees it.
    let runs = host.items("runs").await;
    assert!(!json!(runs).to_string().contains(notion::TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_away_by_itself_is_tried_again_when_notion_says() {
    // Between the end of the attempt and the next, at least so many seconds and at most.
    for (fault, at_least, at_most) in [
        (
            Fault::status("POST", "/v1/data_sources", 429).retry_after(1_800),
            1_800,
            1_801,
        ),
        (Fault::status("GET", "/v1/databases", 500), 3_240, 3_960),
        // The page may have been made, and a search shows it late.
        (Fault::status("POST", "/v1/pages", 500).applied(), 10, 11),
        (Fault::hang_up("POST", "/v1/pages").applied(), 10, 11),
        (Fault::hang_up("POST", "/v1/pages"), 10, 11),
    ] {
        let stand_in = stand_in();
        let host = start(&stand_in).await;
        stand_in.inject(fault.clone());
        let run = run_of(&host, "invoice.paid").await;
        assert_eq!(run["state"], "waiting", "{run}");
        let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let attempt = &run["attempts"][0];
        let started = time(&attempt["started_at"]).as_millisecond();
        let ended = started + attempt["duration_ms"].as_f64().unwrap() as i64;
        let waits = time(&run["next_attempt_at"]).as_millisecond() - ended;
        let bounds = at_least * 1_000..=at_most * 1_000 + 2_000;
        assert!(bounds.contains(&waits), "{fault:?}: waits {waits} ms");
        hurry(&host).await;
        let run = host
            .get(&format!("runs/{}", run["id"].as_str().unwrap()))
            .await;
        assert_eq!(outcomes(&run), ["retry", "succeeded"], "{run}");
        assert_eq!(pages(&stand_in).len(), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_must_mend_ends_the_run_with_a_reason() {
    let stand_in = stand_in();
    let host = start(&stand_in).await;
    stand_in.with(|services| {
        let columns = services.notion.columns_mut();
        columns.retain(|(name, _)| name != "Paid");
    });
    let run = run_of(&host, "invoice.paid").await;
    assert_eq!(
        (&run["state"], outcomes(&run)),
        (&json!("dead"), vec!["permanent"])
    );
    let reason = run["error"]["message"].as_str().unwrap();
    let missing =
        "columns of the Notion database: `Paid` (number) is missing [config.property_paid]";
    assert!(reason.starts_with(missing), "{reason}");
    assert_eq!(pages(&stand_in), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_makes_no_second_page() {
    let stand_in = stand_in();
    let host = start(&stand_in).await;
    let body = sample("invoice.paid", "evt_1", INVOICE);
    let event = deliver(&host, &body).await.event();
    host.finished(&event).await;
    let again = deliver(&host, &body).await;
    assert_eq!(again.word(), (200, "duplicate".to_owned()));
    assert_eq!(again.event(), event);
    assert_eq!(host.items("runs").await.len(), 1);

    let answer = host.post(&format!("events/{event}/replay")).await;
    let replayed = answer.json()["runs"][0]["id"].as_str().unwrap().to_owned();
    let run = eventually("the replay has ended", async || {
        let run = host.get(&format!("runs/{replayed}")).await;
        (run["state"] == "succeeded").then_some(run)
    })
    .await;
    let summary = run["summary"].as_str().unwrap();
    assert!(summary.starts_with("nothing new on "), "{summary}");
    assert_eq!(pages(&stand_in).len(), 1);
}

/// Every order of n things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let shorter = orders(last).into_iter();
    let inserted = |order: Vec<usize>| {
        (0..n).map(move |place| {
            let mut order = order.clone();
            order.insert(place, last);
            order
        })
    };
    shorter.flat_map(inserted).collect()
}

/// 24 invoices, each with its life in another order, sent all at once and some of it twice,
/// while Notion fails now and then.
#[tokio::test(flavor = "multi_thread")]
async fn lives_in_every_order_end_as_one_page_each() {
    const LIFE: [&str; 4] = [
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.voided",
    ];
    let stand_in = stand_in();
    let host = start(&stand_in).await;
    for (method, path) in [
        ("POST", "/v1/data_sources"),
        ("GET", "/v1/pages"),
        ("PATCH", "/v1/pages"),
        ("POST", "/v1/pages"),
    ] {
        stand_in.inject(Fault::status(method, path, 429).retry_after(60).times(5));
        stand_in.inject(Fault::status(method, path, 500).times(3));
        stand_in.inject(Fault::hang_up(method, path).applied().times(3));
    }
    let all = orders(LIFE.len());
    assert_eq!(all.len(), 24);
    for step in 0..LIFE.len() {
        for (number, order) in all.iter().enumerate() {
            let invoice = format!("in_of_order_{number}");
            let body = sample(LIFE[order[step]], &format!("evt_{number}_{step}"), &invoice);
            deliver(&host, &body).await.event();
            if (number + step) % 3 == 0 {
                // Not a duplicate delivery: the same thing said by another event.
                let again = format!("evt_{number}_{step}_again");
                deliver(
                    &host,
                    &body.replace(&format!("evt_{number}_{step}"), &again),
                )
                .await;
            }
        }
    }
    hurry(&host).await;
    let dead = host.items("runs?state=dead").await;
    assert!(dead.is_empty(), "{dead:?}");
    let mut by_invoice: BTreeMap<String, Vec<String>> = BTreeMap::new();
    stand_in.with(|services| {
        for page in services.notion.pages() {
            let (id, status) = (page.text("Stripe ID"), page.text("Status"));
            by_invoice.entry(id).or_default().push(status);
        }
    });
    assert_eq!(by_invoice.len(), 24);
    for (invoice, pages) in by_invoice {
        assert_eq!(pages, ["Void"], "{invoice}");
    }
}

/// The host dies when the page is made and nothing of that is committed; and a search does
/// not see the page at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_after_the_page_was_made_makes_no_second_one() {
    let mut options = Options::quiet();
    options.notion.lag_queries = 1;
    let stand_in = StandIn::start(options).unwrap();
    let folder = Folder::new(&config(&stand_in, ""), &[PLUGIN]).await;
    let program = Program::start(&folder).await;
    stand_in.inject(Fault::hold("POST", "/v1/pages").applied());
    let body = sample("invoice.paid", "evt_1", INVOICE);
    let event = program
        .send_with("stripe", &signing::borrowed(&headers(&body)), &body)
        .await
        .event();
    eventually("the page is made", async || {
        (pages(&stand_in).len() == 1).then_some(())
    })
    .await;
    program.kill().await;

    let host = Host::over(folder).await;
    let run = host.finished(&event).await;
    assert_eq!(outcomes(&run), ["host_lost", "succeeded"], "{run}");
    assert_eq!(pages(&stand_in).len(), 1);
    let made = stand_in.calls().into_iter();
    let made = made.filter(|call| call.method == "POST" && call.path == "/v1/pages");
    assert_eq!(made.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_grants_it_is_held_and_its_runs_wait() {
    let stand_in = stand_in();
    let host = Host::start(SOURCE, &[PLUGIN]).await;
    let held = host.get(&format!("plugins/{PLUGIN}")).await;
    assert_eq!(held["state"], "held");
    let missing = held["missing_grants"].to_string();
    for name in ["http.notion", "secrets.NOTION_TOKEN", "config.database_id"] {
        assert!(missing.contains(name), "{missing}");
    }
    let body = sample("invoice.paid", "evt_1", INVOICE);
    let event = deliver(&host, &body).await.event();
    host.run_in(&event, &["blocked"]).await;

    let folder = host.stop().await;
    let granted = fs::read_to_string(folder.config_file())
        .unwrap()
        .replace(SOURCE, "");
    fs::write(folder.config_file(), granted + &config(&stand_in, "")).unwrap();
    let host = Host::over(folder).await;
    assert_eq!(host.finished(&event).await["state"], "succeeded");
    assert_eq!(pages(&stand_in).len(), 1);
}

/// A plugin that was away, and one that nobody has seen before.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_file_takes_up_what_came_without_it() {
    let stand_in = stand_in();
    let host = Host::start(&config(&stand_in, "catch_up = \"24h\""), &[]).await;
    let file = format!("{PLUGIN}.wasm");
    let early = deliver(&host, &sample("invoice.created", "evt_1", INVOICE)).await;
    let early = early.event();
    assert_eq!(
        host.get(&format!("events/{early}")).await["runs"],
        json!([])
    );

    named(PLUGIN).place(&host.folder.plugins_dir(), &file);
    eventually("the stored event has its run", async || {
        let event = host.get(&format!("events/{early}")).await;
        (event["runs"][0]["state"] == "succeeded").then_some(())
    })
    .await;
    fs::remove_file(host.folder.plugins_dir().join(&file)).unwrap();
    host.rescan().await;
    let body = sample("invoice.paid", "evt_2", INVOICE);
    let event = deliver(&host, &body).await.event();
    host.run_in(&event, &["blocked"]).await;

    named(PLUGIN).place(&host.folder.plugins_dir(), &file);
    assert_eq!(host.finished(&event).await["state"], "succeeded");
    let shown: Vec<String> = pages(&stand_in);
    assert_eq!(
        shown,
        ["HRB-2026-0147 · Northwind Trading B.V. | Paid | 119 | 119"]
    );
}

/// As `stripe listen`, ngrok and other relays pass a delivery on: headers of their own, other
/// capitals, the body in chunks.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_through_relays_are_taken() {
    let stand_in = stand_in();
    let host = start(&stand_in).await;
    let body = sample("invoice.paid", "evt_1", INVOICE);
    let signature = headers(&body)[1].1.clone();
    let (first, rest) = body.split_at(100);
    let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
    let request = format!(
        "POST /webhooks/stripe HTTP/1.1\r\nHOST: abc.ngrok-free.app\r\n\
         user-agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\naccept: */*\r\n\
         accept-encoding: gzip\r\nCACHE-CONTROL: no-cache\r\nSTRIPE-SIGNATURE: {signature}\r\n\
         Content-type: application/json; charset=utf-8\r\nX-Forwarded-For: 203.0.113.9\r\n\
         X-Forwarded-Proto: https\r\nx-forwarded-host: abc.ngrok-free.app\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}{}0\r\n\r\n",
        chunk(first),
        chunk(rest),
    );
    let answer = http::raw(host.public, request.into_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    hurry(&host).await;
    assert_eq!(pages(&stand_in).len(), 1);
    let metrics = host.ask(Method::GET, "/metrics", "").await.text();
    assert!(metrics.contains("kind=\"invoice.paid\""), "{metrics}");
}
