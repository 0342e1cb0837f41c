//! The plan of the claim on Postgres: what it costs must not depend on what else waits,
//! nor on what was claimed while somebody keeps an old snapshot.
//! Needs a server (`HOOKBAY_TEST_POSTGRES`); without one there is nothing to plan.

use std::time::Duration;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use super::super::{Engine, RegisterPlugin, Settings, Store, Want};
use super::floors::{Place, START};
use super::take::{NEXT_POSTGRES, TAKE_POSTGRES};
use crate::clock::Clock;
use crate::config::{Database, Environment};
use crate::run::PluginId;

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

/// A database that nobody else uses.
struct Server {
    url: String,
    server: String,
    name: String,
    settings: Settings,
}

impl Server {
    /// None where there is no server.
    async fn new() -> Option<Self> {
        let environment = Environment::of_process();
        let server = environment.get("HOOKBAY_TEST_POSTGRES");
        let server = server.filter(|url| !url.is_empty())?.to_owned();
        let name = format!("hookbay_test_{:016x}", rand::random::<u64>());
        let create = format!("create database {name} template template0");
        command(&server, &create).await;
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        let mut settings = Settings::new(Database::Postgres(url.as_str().parse().unwrap()));
        settings.allow_unsafe = true;
        Store::migrate(&settings).await.unwrap();
        Some(Self {
            url: url.into(),
            server,
            name,
            settings,
        })
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    async fn remove(self) {
        let drop_it = format!("drop database {} with (force)", self.name);
        command(&self.server, &drop_it).await;
    }
}

async fn command(url: &str, text: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let command = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    connection.execute(command).await.unwrap();
}

/// How a statement is planned with these arguments, and what it touched.
async fn explained(
    connection: &mut PgConnection,
    kind: &str,
    statement: &str,
    arguments: &str,
) -> Value {
    let text = format!(
        "deallocate all; set plan_cache_mode = force_{kind}_plan; prepare asked as {statement}"
    );
    let prepare = sqlx::raw_sql(AssertSqlSafe(text));
    connection.execute(prepare).await.unwrap();
    let text = format!("explain (analyze, buffers, format json) execute asked ({arguments})");
    let explain = sqlx::raw_sql(AssertSqlSafe(text));
    let row = connection.fetch_one(explain).await.unwrap();
    let plan: String = row.try_get_unchecked(0).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    plan[0]["Plan"].clone()
}

/// How claiming runs of a plugin is planned and what it touched.
async fn plan(connection: &mut PgConnection, kind: &str, plugin: u32, floor: Place) -> Value {
    let (due, run) = floor;
    let arguments = format!(
        "77, '{{{plugin}}}', '{{{CLAIMED}}}', {NOW_MS}, '{{60000}}', '{{{due}}}', '{{{run}}}', 1"
    );
    explained(connection, kind, TAKE_POSTGRES, &arguments).await
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

fn pages(plan: &Value) -> u64 {
    number(plan, "Shared Hit Blocks") + number(plan, "Shared Read Blocks")
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
    let pages = pages(plan);
    assert!(pages < pages_max, "{what}: {pages} pages: {plan:#}");
}

#[tokio::test]
async fn a_claim_costs_the_same_whatever_waits() {
    let Some(server) = Server::new().await else {
        return;
    };
    command(&server.url, BACKLOG).await;
    let mut connection = server.connect().await;
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
    server.remove().await;
}

/// A plugin that its database knows.
async fn register(store: &Store) -> PluginId {
    let plugin = RegisterPlugin {
        name: "p".to_owned(),
        file: "p.wasm".to_owned(),
        digest: None,
        manifest: "{}".to_owned(),
        triggers: "[]".to_owned(),
        blocks_on_dead: false,
        version: None,
        is_pinned: false,
    };
    store.register(plugin).await.unwrap()
}

fn want(plugin: PluginId, count: u32) -> Want {
    Want {
        plugin,
        count,
        rate: None,
        hold: Duration::from_secs(60),
    }
}

/// Runs that were due at a time are claimed and end.
async fn churn(server: &Server, store: &Store, plugin: PluginId, due_ms: i64) {
    const CHURNED: u32 = 40_000;
    let stored = format!(
        "insert into runs (event_id, plugin_id, due_ms, created_ms) \
         select substring(sha256(int8send(n)) for 16), {}, {due_ms} + n, 0 \
         from generate_series(1, {CHURNED}) n",
        plugin.0
    );
    command(&server.url, &stored).await;
    let mut claimed = 0;
    while claimed < CHURNED {
        let got = store.claim(vec![want(plugin, 1000)]).await.unwrap().runs;
        assert!(!got.is_empty(), "after {claimed}");
        claimed += u32::try_from(got.len()).unwrap();
    }
    command(&server.url, "delete from runs where state = 1").await;
}

/// While a snapshot is kept, nothing that is claimed leaves the index.
#[tokio::test]
async fn a_claim_does_not_pass_over_what_was_claimed_under_an_old_snapshot() {
    let Some(server) = Server::new().await else {
        return;
    };
    let store = Store::open(&server.settings, Clock::system())
        .await
        .unwrap();
    let plugin = register(&store).await;
    let mut reader = server.connect().await;
    let begin = "begin isolation level repeatable read; select count(*) from runs";
    reader.execute(begin).await.unwrap();

    let hour_ago = store.clock().now().minus(Duration::from_hours(1)).millis();
    churn(&server, &store, plugin, hour_ago).await;
    let none = store.claim(vec![want(plugin, CLAIMED)]).await.unwrap().runs;
    assert!(none.is_empty());

    let Engine::Postgres(engine) = &store.0.engine else {
        panic!("another engine");
    };
    let (due, run) = engine.floors().sure(plugin);
    let now = store.clock().now().millis();
    let mut connection = server.connect().await;
    connection.execute(OURS).await.unwrap();
    let id = plugin.0;
    let from = async |connection: &mut PgConnection, (due, run): Place| {
        let claim = format!(
            "77, '{{{id}}}', '{{{CLAIMED}}}', {now}, '{{60000}}', '{{{due}}}', '{{{run}}}', 1"
        );
        let next = format!("'{{{id}}}', '{{{due}}}', '{{{run}}}'");
        [
            pages(&explained(connection, "generic", TAKE_POSTGRES, &claim).await),
            pages(&explained(connection, "generic", NEXT_POSTGRES, &next).await),
        ]
    };
    for pages in from(&mut connection, START).await {
        assert!(pages > 300, "{pages} pages: there was nothing to pass over");
    }
    for pages in from(&mut connection, (due, run)).await {
        assert!(pages < 30, "{pages} pages");
    }

    // What becomes ready among all of these is found all the same.
    let given_back = format!(
        "insert into runs (event_id, plugin_id, due_ms, created_ms) \
         values (decode(repeat('01', 16), 'hex'), {id}, {hour_ago}, 0), \
         (decode(repeat('02', 16), 'hex'), {id}, {now}, 0)"
    );
    command(&server.url, &given_back).await;
    engine.floors().all_stale();
    assert_eq!(
        store
            .claim(vec![want(plugin, CLAIMED)])
            .await
            .unwrap()
            .runs
            .len(),
        2
    );
    reader.close().await.unwrap();
    connection.close().await.unwrap();
    store.close().await;
    server.remove().await;
}
