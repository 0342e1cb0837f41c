//! The database of a test: a file of its own, or, where `HOOKBAY_TEST_POSTGRES` names a
//! server, a database of its own on that. The whole suite runs once on each.

use std::path::Path;
use std::time::Duration;

use hookbay::config::{Database, Environment};
use hookbay::store::Settings;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Row};

/// A database that nobody else uses; it is gone when this is dropped.
pub(crate) struct TestDatabase {
    engine: Engine,
    /// Its name on the server.
    name: String,
}

/// What a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    /// Postgres behind a pooler in transaction mode.
    Pooled,
}

impl Engine {
    /// The one that the whole host is tested on in this process.
    pub(crate) fn of_hosts() -> Self {
        if Self::Postgres.is_here() {
            Self::Postgres
        } else {
            Self::Sqlite
        }
    }

    /// Whether there is a server for it.
    pub(crate) fn is_here(self) -> bool {
        match self {
            Self::Sqlite => true,
            Self::Postgres => server().is_some(),
            Self::Pooled => pooled_server().is_some() && server().is_some(),
        }
    }
}

fn server() -> Option<String> {
    variable("HOOKBAY_TEST_POSTGRES")
}

fn pooled_server() -> Option<String> {
    variable("HOOKBAY_TEST_PGBOUNCER")
}

fn variable(name: &str) -> Option<String> {
    let environment = Environment::of_process();
    let text = environment.get(name).filter(|text| !text.is_empty());
    text.map(str::to_owned)
}

/// The address of another database on the same server.
fn with_database(server: &str, name: &str) -> String {
    let mut url = url::Url::parse(server).unwrap();
    url.set_path(name);
    url.to_string()
}

impl TestDatabase {
    pub(crate) async fn new(engine: Engine) -> Self {
        let name = format!("hookbay_test_{:016x}", rand::random::<u64>());
        if engine != Engine::Sqlite {
            command(&format!("create database {name} template template0")).await;
        }
        Self { engine, name }
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// What stands under `database` in a configuration, and what goes with it; the lease
    /// is short, so that nobody waits long for a host that is gone.
    pub(crate) fn toml(&self) -> String {
        match self.engine {
            Engine::Sqlite => String::new(),
            Engine::Postgres | Engine::Pooled => format!(
                "database = \"{}\"\nallow_unsafe_database = true\nlease = \"3s\"\npooler = {}\n\
                 pool = {{ connections = 6, acquire_timeout = \"10s\" }}\n",
                self.url(),
                self.engine == Engine::Pooled
            ),
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let server = match self.engine {
            Engine::Pooled => pooled_server(),
            Engine::Sqlite | Engine::Postgres => server(),
        };
        with_database(&server.unwrap(), &self.name)
    }

    /// How a store opens it; a file lies in `folder`.
    pub(crate) fn settings(&self, folder: &Path) -> Settings {
        let database = match self.engine {
            Engine::Sqlite => Database::Sqlite(folder.join("hookbay.db")),
            Engine::Postgres | Engine::Pooled => Database::Postgres(self.url().parse().unwrap()),
        };
        let mut settings = Settings::new(database);
        settings.allow_unsafe = true;
        // So few that every test of deliveries gets beyond them.
        settings.deliveries_gathered = 8;
        settings.is_pooled = self.engine == Engine::Pooled;
        settings.pool.connections = 6;
        settings.pool.acquire_timeout = Duration::from_secs(10);
        settings
    }

    /// A connection past the host, on Postgres.
    pub(crate) async fn connect(&self) -> PgConnection {
        let url = with_database(&server().unwrap(), &self.name);
        PgConnection::connect(&url).await.unwrap()
    }

    /// How many connections it has of a host, on Postgres.
    pub(crate) async fn connections(&self) -> i64 {
        self.count("application_name = 'hookbay'").await
    }

    /// How many connections of a host have a transaction open, on Postgres.
    pub(crate) async fn open_transactions(&self) -> i64 {
        self.count("state like 'idle in transaction%'").await
    }

    /// Cuts all hosts off, in the middle of whatever they do; they may come back.
    pub(crate) async fn cut_off(&self) {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity";
        command(&format!("{cut} where datname = '{}'", self.name)).await;
    }

    /// Is gone for everybody until [`TestDatabase::come_back`].
    pub(crate) async fn go_away(&self) {
        command(&format!(
            "alter database {} allow_connections false",
            self.name
        ))
        .await;
        self.cut_off().await;
    }

    /// Is there again.
    pub(crate) async fn come_back(&self) {
        command(&format!(
            "alter database {} allow_connections true",
            self.name
        ))
        .await;
    }

    /// A number, on Postgres.
    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        let mut connection = self.connect().await;
        let row = sqlx::query(query).fetch_one(&mut connection).await;
        row.unwrap().get(0)
    }

    /// A number, on either engine; a file lies in `folder`.
    pub(crate) async fn number_in(&self, folder: &Path, query: String) -> i64 {
        if self.engine != Engine::Sqlite {
            let mut connection = self.connect().await;
            let row = sqlx::query(AssertSqlSafe(query));
            return row.fetch_one(&mut connection).await.unwrap().get(0);
        }
        let file = folder.join("hookbay.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let mut connection = options.read_only(true).connect().await.unwrap();
        let row = sqlx::query(AssertSqlSafe(query));
        row.fetch_one(&mut connection).await.unwrap().get(0)
    }

    /// Refuses events of this kind: a rule that the store knows nothing of.
    pub(crate) async fn refuse_kind(&self, folder: &Path, kind: &str) {
        let rule = match self.engine {
            Engine::Sqlite => format!(
                "create trigger refuse before insert on events when new.kind = '{kind}' \
                 begin select raise(abort, 'refused'); end"
            ),
            Engine::Postgres | Engine::Pooled => {
                format!("alter table events add constraint refuse check (kind <> '{kind}')")
            }
        };
        self.execute_in(folder, rule).await;
    }

    /// Takes all kinds again.
    pub(crate) async fn refuse_no_kind(&self, folder: &Path) {
        let rule = match self.engine {
            Engine::Sqlite => "drop trigger refuse",
            Engine::Postgres | Engine::Pooled => "alter table events drop constraint refuse",
        };
        self.execute_in(folder, rule.to_owned()).await;
    }

    /// Leaves no stored request readable.
    pub(crate) async fn damage_requests(&self, folder: &Path) {
        let damage = "update events set header_bytes = 1000000";
        self.execute_in(folder, damage.to_owned()).await;
    }

    /// Executes something on either engine; a file lies in `folder`.
    async fn execute_in(&self, folder: &Path, command: String) {
        let command = sqlx::raw_sql(AssertSqlSafe(command));
        if self.engine != Engine::Sqlite {
            self.connect().await.execute(command).await.unwrap();
            return;
        }
        let file = folder.join("hookbay.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let mut connection = options.connect().await.unwrap();
        connection.execute(command).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn count(&self, which: &str) -> i64 {
        let mut connection = self.connect().await;
        let count =
            format!("select count(*) as n from pg_stat_activity where datname = $1 and {which}");
        let row = sqlx::query(AssertSqlSafe(count))
            .bind(&self.name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        row.get("n")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.engine == Engine::Sqlite {
            return;
        }
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(command(&drop_it));
        });
        // A test that failed has more to say than this.
        drop(dropped.join());
    }
}

async fn command(text: &str) {
    let mut connection = PgConnection::connect(&server().unwrap()).await.unwrap();
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(text.to_owned())))
        .await
        .unwrap();
}
