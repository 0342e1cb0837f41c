//! Starts hosts and speaks to them.
//!
//! A [`Host`] is the whole program on port 0 over a folder of its own. It is stopped when it
//! is dropped, and a test fails if anything of it is left then.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookbay::app::{App, Bounds, Listeners, StartError, Surroundings};
use hookbay::clock::{Clock, Timestamp};
use hookbay::config::{Config, Environment, Overrides};
use hookbay::ingest::Fetch;
use hookbay::store::Store;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::components::{self, Component};
use crate::database::{Engine, TestDatabase};
use crate::http::{Answer, Client};
use crate::signing::{self, Headers, borrowed};

pub(crate) use crate::bodies::push_body;

/// The admin token of every host.
pub(crate) const TOKEN: &str = "token-for-tests";
/// The secret of the source `github`; from GitHub's own documentation.
pub(crate) const SECRET: &str = "It's a Secret to Everybody";

/// What every host is set to, before what its test adds. Few slots: a small pool.
const EVERYWHERE: &str = "limits = { concurrent_runs = 8, memory = \"64MiB\", cpu = \"60s\" }\n";
/// How long a condition may take; only a host that is wrong needs it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a host keeps everything; it outlives the host, so that another can follow.
pub(crate) struct Folder {
    files: TempDir,
    pub(crate) database: Arc<TestDatabase>,
    /// What its hosts go by.
    pub(crate) clock: Clock,
    /// What stands for the internet, where a test has one.
    pub(crate) internet: Option<Arc<dyn Fetch>>,
    /// What strangers may take of its hosts.
    pub(crate) bounds: Bounds,
}

/// A clock that shows what a test says, in milliseconds since 1970.
pub(crate) fn standing(now_ms: &Arc<AtomicI64>) -> Clock {
    let now_ms = Arc::clone(now_ms);
    Clock::from_fn(move || Timestamp::from_millis(now_ms.load(Ordering::SeqCst)))
}

/// A host that runs.
pub(crate) struct Host {
    pub(crate) folder: Arc<Folder>,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    client: Client,
    /// None only while it is being stopped.
    app: Option<App>,
}

/// Waits until `condition` gives something; the only place where a test lets time pass.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    match waited.await {
        Ok(found) => found,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

impl Folder {
    /// A folder with this configuration and these components in `plugins.d`.
    pub(crate) async fn new(toml: &str, plugins: &[&str]) -> Self {
        Self::on(Engine::of_hosts(), toml, plugins).await
    }

    /// The same on one engine, for what only that has.
    pub(crate) async fn on(engine: Engine, toml: &str, plugins: &[&str]) -> Self {
        Self::with(Arc::new(TestDatabase::new(engine).await), toml, plugins)
    }

    /// One of another host on the same database.
    pub(crate) fn beside(&self, toml: &str, plugins: &[&str]) -> Self {
        Self::with(Arc::clone(&self.database), toml, plugins)
    }

    fn with(database: Arc<TestDatabase>, toml: &str, plugins: &[&str]) -> Self {
        let folder = Self {
            files: TempDir::with_prefix("hookbay-it-").unwrap(),
            database,
            clock: Clock::system(),
            internet: None,
            bounds: Bounds::default(),
        };
        let database = folder.database.toml();
        fs::write(
            folder.config_file(),
            format!("{EVERYWHERE}{database}{toml}"),
        )
        .unwrap();
        fs::create_dir(folder.plugins_dir()).unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        components::share_compiled(&folder.path().join("data"));
        for name in plugins {
            components::named(name).place(&folder.plugins_dir(), &format!("{name}.wasm"));
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.files.path()
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path().join("hookbay.toml")
    }

    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.path().join("plugins.d")
    }

    /// The configuration as the host reads it.
    pub(crate) fn config(&self) -> Config {
        let environment = Environment::of([("HOOKBAY_ADMIN_TOKEN", TOKEN)]);
        Config::load_with(
            Some(&self.config_file()),
            &Overrides::default(),
            &environment,
        )
        .unwrap()
    }

    /// Starts the host's program over this folder, without waiting until it is ready.
    pub(crate) async fn start(&self) -> Result<(App, SocketAddr, SocketAddr), StartError> {
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners {
            public: bind().await,
            admin: bind().await,
        };
        let public = listeners.public.local_addr().unwrap();
        let admin = listeners.admin.local_addr().unwrap();
        let (config, clock) = (self.config(), self.clock.clone());
        let mut surroundings = Surroundings {
            bounds: self.bounds,
            ..Surroundings::default()
        };
        if let Some(internet) = self.internet.clone() {
            surroundings.fetch = internet;
        }
        let app = App::start_in(config, listeners, clock, surroundings).await?;
        Ok((app, public, admin))
    }

    /// Why no host can start over this folder.
    pub(crate) async fn refusal(&self) -> StartError {
        match self.start().await {
            Ok((app, _, _)) => {
                app.stop().await;
                panic!("the host started, though it should not have");
            }
            Err(error) => error,
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.path().join("hookbay.db.lock")
    }
}

impl Host {
    /// A host with this configuration and these components, that has looked at them all.
    pub(crate) async fn start(toml: &str, plugins: &[&str]) -> Self {
        Self::over(Folder::new(toml, plugins).await).await
    }

    /// A host over a folder that another may have used before.
    pub(crate) async fn over(folder: impl Into<Arc<Folder>>) -> Self {
        let folder = folder.into();
        let (app, public, admin) = folder.start().await.unwrap();
        let host = Self {
            folder,
            public,
            admin,
            client: Client::new(),
            app: Some(app),
        };
        eventually("the host is ready", async || {
            (host.public_get("/readyz").await.status == 200).then_some(())
        })
        .await;
        host
    }

    /// Stops, and checks that nothing is left: the database is free for another host, and
    /// neither address answers.
    pub(crate) async fn stop(mut self) -> Arc<Folder> {
        self.end().await;
        Arc::clone(&self.folder)
    }

    async fn end(&mut self) {
        let Some(app) = self.app.take() else { return };
        self.client = Client::new();
        app.stop().await;
        eventually("the host gives its database back", async || {
            match self.folder.database.engine() {
                Engine::Sqlite => {
                    let lock = File::open(self.folder.lock_file()).unwrap();
                    lock.try_lock().is_ok().then_some(())
                }
                // The pooler's outlive us.
                Engine::Pooled => Some(()),
                // Those of another host are not told from ours.
                Engine::Postgres if Arc::strong_count(&self.folder.database) > 1 => Some(()),
                Engine::Postgres => (self.folder.database.connections().await == 0).then_some(()),
            }
        })
        .await;
        for address in [self.public, self.admin] {
            let refused = tokio::net::TcpStream::connect(address).await;
            assert!(refused.is_err(), "{address} still answers after the stop");
        }
    }

    /// Stops and starts again over the same folder.
    pub(crate) async fn restart(self) -> Self {
        Self::over(self.stop().await).await
    }

    /// The store behind it, for more events than a test can send.
    pub(crate) fn store(&self) -> &Store {
        &self.app.as_ref().unwrap().store
    }

    /// Sends a webhook to a source.
    pub(crate) async fn send(
        &self,
        source: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        self.send_to(&format!("/webhooks/{source}"), headers, body)
            .await
    }

    /// The same with headers that were made for it.
    pub(crate) async fn send_signed(
        &self,
        source: &str,
        headers: &Headers,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let path = format!("/webhooks/{source}");
        self.send_to(&path, &borrowed(headers), body).await
    }

    /// Sends a webhook to a path.
    pub(crate) async fn send_to(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let url = format!("http://{}{path}", self.public);
        self.client
            .ask(Method::POST, &url, headers, body.into())
            .await
    }

    /// Sends a push to the source `github` as GitHub would.
    pub(crate) async fn push(&self, delivery: &str, body: &[u8]) -> Answer {
        let headers = signing::github_headers(SECRET, "push", delivery, body);
        self.send_signed("github", &headers, body).await
    }

    /// Sends what the guest `misbehave` is to do, through the source of that name; the event.
    pub(crate) async fn tell(&self, what: &Value) -> String {
        self.send("misbehave", &[], what.to_string()).await.event()
    }

    /// The same, and the finished run that came of it.
    pub(crate) async fn told(&self, what: &Value) -> Value {
        let event = self.tell(what).await;
        self.finished(&event).await
    }

    pub(crate) async fn public_get(&self, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.public);
        self.client.ask(Method::GET, &url, &[], Vec::new()).await
    }

    /// Asks the admin address anything, with the token.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        self.ask_as(method, path, &[("authorization", &bearer)], body)
            .await
    }

    /// Asks the admin address anything, with these headers and no others.
    pub(crate) async fn ask_as(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let url = format!("http://{}{path}", self.admin);
        self.client.ask(method, &url, headers, body.into()).await
    }

    /// `GET /api/v1/{path}` as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, &format!("/api/v1/{path}"), "").await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// `POST /api/v1/{path}` without a body.
    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask(Method::POST, &format!("/api/v1/{path}"), "").await
    }

    /// The items of a list that fits on one page.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        let page = self.get(path).await;
        assert_eq!(page["next_cursor"], Value::Null, "{path} has a second page");
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until a plugin has nothing that it could do now; how it stands then.
    pub(crate) async fn settled(&self, plugin: &str) -> Value {
        let path = format!("plugins/{plugin}");
        eventually(&format!("{plugin} is settled"), async || {
            let runs = self.get(&path).await["runs"].clone();
            (runs["ready"] == 0 && runs["running"] == 0).then_some(())
        })
        .await;
        // Asked once more: its counts of finished and unfinished runs are not of one moment.
        self.get(&path).await
    }

    /// Waits until the run of an event that has exactly one is in a state.
    pub(crate) async fn run_in(&self, event: &str, states: &[&str]) -> Value {
        let id = self.only_run(event).await;
        eventually(&format!("run {id} is {states:?}"), async || {
            let run = self.get(&format!("runs/{id}")).await;
            states
                .iter()
                .any(|state| run["state"] == *state)
                .then_some(run)
        })
        .await
    }

    /// Waits until the one run of an event has finished.
    pub(crate) async fn finished(&self, event: &str) -> Value {
        self.run_in(event, &["succeeded", "dead", "cancelled"])
            .await
    }

    /// The id of the run of an event that has exactly one.
    pub(crate) async fn only_run(&self, event: &str) -> String {
        let event = self.get(&format!("events/{event}")).await;
        let runs = event["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 1, "{event}");
        runs[0]["id"].as_str().unwrap().to_owned()
    }

    /// The value of a key of a plugin's state.
    pub(crate) async fn kv(&self, plugin: &str, key: &str) -> Option<String> {
        let items = self.items(&format!("plugins/{plugin}/kv?limit=1000")).await;
        let item = items.iter().find(|item| item["key"] == key)?;
        Some(item["value"].as_str().unwrap().to_owned())
    }

    /// Puts a component under a name, as a rename does, and waits until it was looked at.
    pub(crate) async fn install(&self, component: &Component, file: &str) {
        component.place(&self.folder.plugins_dir(), file);
        self.rescan().await;
    }

    /// Has the plugins directory looked at; returns when that has ended.
    pub(crate) async fn rescan(&self) {
        assert_eq!(self.post("plugins/rescan").await.status, 204);
    }
}

impl Drop for Host {
    /// Stops what a test did not stop itself, with the same checks.
    fn drop(&mut self) {
        if self.app.is_none() {
            return;
        }
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.end()));
    }
}

/// How the attempts of a run ended, first to last.
pub(crate) fn outcomes(run: &Value) -> Vec<&str> {
    let attempts = run["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect()
}
