//! The plan of the claim on Postgres: what it costs must not depend on what else waits.
//! Needs a server (`HOOKBAY_TEST_POSTGRES`); without one there is nothing to plan.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::super::{Settings, Store};
use super::{Place, START, TAKE_POSTGRES};
use crate::config::{Database, Environment};

/// Another plugin's backlog, this one's, and what of this one waits for its time; a third
/// has nothing but what waits.
const BACKLOG: &str = "insert into runs (event_id, plugin_id, due_ms, created_ms) \
    select sha256(int8send(n)), 1 + n % 2, n, 0 from generate_series(1, 400000) n; \
    insert into runs (event_id, plugin_id, due_ms, created_ms) \
    select sha256(int8send(n)), 2 + n % 2, 2000000000000 + n, 0 from generate_series(1, 100000) n; \
    analyze runs";
/// All of the backlog is due now, nothing that waits.
const NOW_MS: i64 = 1_000_000_000_000;
const CLAIMED: u32 = 64;
/// How our own sessions plan.
const OURS: &str = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off";

async fn command(url: &str, text: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let command = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    connection.execute(command).await.unwrap();
}

/// How claiming runs of a plugin is planned and what it touched.
async fn plan(connection: &mut PgConnection, kind: &str, plugin: u32, floor: Place) -> Value {
    let text = format!(
        "deallocate all; set plan_cache_mode = force_{kind}_plan; prepare take as {TAKE_POSTGRES}"
    );
    let prepare = sqlx::raw_sql(AssertSqlSafe(text));
    connection.execute(prepare).await.unwrap();
    let text = format!(
        "explain (analyze, buffers, format json) \
         execute take (77, '{{{plugin}}}', '{{{CLAIMED}}}', {NOW_MS}, '{{60000}}', '{{{}}}', '{{{}}}')",
        floor.0, floor.1
    );
    let explain = sqlx::raw_sql(AssertSqlSafe(text));
    let row = connection.fetch_one(explain).await.unwrap();
    let plan: String = row.try_get_unchecked(0).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    plan[0]["Plan"].clone()
}

/// Every node of a plan.
fn nodes<'p>(plan: &'p Value, found: &mut Vec<&'p Value>) {
    found.push(plan);
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        nodes(inner, found);
    }
}

fn number(plan: &Value, name: &str) -> u64 {
    plan[name].as_u64().unwrap()
}

/// Checks a plan: rows are found by index alone, and few pages are touched.
fn check(what: &str, plan: &Value, rows: u64, pages_max: u64) {
    let mut found = Vec::new();
    nodes(plan, &mut found);
    let scans =
        |node: &&&Value| node["Relation Name"] == "runs" && node["Node Type"] != "ModifyTable";
    for node in found.iter().filter(scans) {
        let kind = node["Node Type"].as_str().unwrap();
        assert_ne!(kind, "Seq Scan", "{what}: {plan:#}");
    }
    let uses = |index| found.iter().any(|node| node["Index Name"] == index);
    assert!(uses("runs_ready") && uses("runs_pkey"), "{what}: {plan:#}");
    assert_eq!(number(plan, "Actual Rows"), rows, "{what}");
    let pages = number(plan, "Shared Hit Blocks") + number(plan, "Shared Read Blocks");
    assert!(pages < pages_max, "{what}: {pages} pages: {plan:#}");
}

#[tokio::test]
async fn a_claim_costs_the_same_whatever_waits() {
    let environment = Environment::of_process();
    let server = environment.get("HOOKBAY_TEST_POSTGRES");
    let Some(server) = server.filter(|url| !url.is_empty()) else {
        return;
    };
    let name = format!("hookbay_test_{:016x}", rand::random::<u64>());
    command(
        server,
        &format!("create database {name} template template0"),
    )
    .await;
    let mut url = url::Url::parse(server).unwrap();
    url.set_path(&name);
    let mut settings = Settings::new(Database::Postgres(url.as_str().parse().unwrap()));
    settings.allow_unsafe = true;
    Store::migrate(&settings).await.unwrap();
    command(url.as_str(), BACKLOG).await;
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    // Behind a pooler a session has no settings of ours, and the planner is on its own.
    for session in ["reset all", OURS] {
        connection.execute(session).await.unwrap();
        for kind in ["custom", "generic"] {
            let what = format!("{session}, {kind}");
            let claimed = plan(&mut connection, kind, 2, START).await;
            check(&what, &claimed, u64::from(CLAIMED), 2000);
            let above = plan(&mut connection, kind, 2, (200_000, 0)).await;
            check(
                &format!("{what}, above a floor"),
                &above,
                u64::from(CLAIMED),
                2000,
            );
            let nothing_due = plan(&mut connection, kind, 3, START).await;
            check(&format!("{what}, nothing due"), &nothing_due, 0, 50);
            let nothing = plan(&mut connection, kind, 4, START).await;
            check(&format!("{what}, nothing at all"), &nothing, 0, 50);
        }
    }
    connection.close().await.unwrap();
    command(server, &format!("drop database {name} with (force)")).await;
}
