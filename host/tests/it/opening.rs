//! Databases that cannot be opened: each is refused in one line that says what to do, with
//! the database's address and without its password, by every command that needs it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;

use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::database::{Engine, TestDatabase};
use crate::harness::Folder;
use crate::program::{hookbay, refused_serve};

const PASSWORD: &str = "hunter2";

/// A folder whose configuration names this database.
async fn folder(database: &str) -> Folder {
    let toml = format!("database = \"{database}\"\nplugins_dir = \"plugins.d\"\n");
    Folder::on(Engine::Sqlite, &toml, &[]).await
}

async fn migrate(folder: &Folder) -> Output {
    let mut command = hookbay(folder);
    command.arg("migrate");
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// That both commands refuse the database, in one line with these words.
#[track_caller]
fn is_refusal(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    for word in words {
        assert!(errors[0].contains(word), "`{word}` is missing: {text}");
    }
}

async fn refused(folder: &Folder, words: &[&str]) {
    is_refusal(&migrate(folder).await, words);
    is_refusal(&refused_serve(folder).await, words);
}

/// The address of a server that answers every greeting with this error, twice.
fn server_that_says(code: &'static str, message: &'static str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().unwrap();
            let mut greeting = [0; 4096];
            assert!(socket.read(&mut greeting).unwrap() > 0);
            let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
            let length = u32::try_from(fields.len() + 4).unwrap();
            socket.write_all(b"E").unwrap();
            socket.write_all(&length.to_be_bytes()).unwrap();
            socket.write_all(fields.as_bytes()).unwrap();
        }
    });
    format!("postgres://me:{PASSWORD}@{address}/d?sslmode=disable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_used_says_why() {
    let unused = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let nobody = unused.local_addr().unwrap();
    drop(unused);
    let at = |place: &str| format!("postgres://me:{PASSWORD}@{place}/d");
    for (url, words) in [
        (
            at(&nobody.to_string()),
            ["no server listens there", "me@127.0.0.1"],
        ),
        (
            at("no-such-host.invalid"),
            ["cannot be reached", "me@no-such-host.invalid"],
        ),
        (
            server_that_says("28P01", "password authentication failed for user \"me\""),
            ["password authentication failed", "check user and password"],
        ),
        (
            server_that_says("3D000", "database \"d\" does not exist"),
            ["database \"d\" does not exist", "createdb"],
        ),
        (
            server_that_says("53300", "sorry, too many clients already"),
            ["too many clients", "max_connections"],
        ),
        (
            server_that_says("08P01", "unsupported startup parameter: options"),
            ["unsupported startup parameter", "pooler = true"],
        ),
        (
            server_that_says("57P03", "the database system is starting up"),
            ["is starting up", "postgres://me@127.0.0.1"],
        ),
    ] {
        refused(&folder(&url).await, &words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_hookbay_is_refused() {
    let folder = Folder::on(Engine::Sqlite, "", &[]).await;
    assert!(migrate(&folder).await.status.success());
    let file = folder.path().join("hookbay.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    connection
        .execute("insert into _sqlx_migrations select 99, description, installed_on, success, checksum, execution_time from _sqlx_migrations limit 1")
        .await
        .unwrap();
    connection.close().await.unwrap();
    refused(
        &folder,
        &["made by a newer Hookbay", "version 99", "hookbay.db"],
    )
    .await;

    std::fs::write(
        &file,
        "this is a text, and not a database at all".repeat(100),
    )
    .unwrap();
    refused(&folder, &["file is not a database", "hookbay.db"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_not_fit_says_why() {
    if !Engine::Postgres.is_here() {
        return;
    }
    let database = TestDatabase::new(Engine::Postgres).await;
    let mut connection = database.connect().await;

    let fsync = connection.fetch_one("show fsync").await.unwrap();
    if fsync.get::<String, _>(0) == "off" {
        let unsafe_one = folder(&database.url()).await;
        refused(
            &unsafe_one,
            &["fsync = off", "allow_unsafe_database = true"],
        )
        .await;
    }
    let role = format!("hookbay_test_{:08x}", rand::random::<u32>());
    let make = format!("create role {role} login password '{PASSWORD}'");
    connection.execute(AssertSqlSafe(make)).await.unwrap();
    let mut url = url::Url::parse(&database.url()).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some(PASSWORD)).unwrap();
    refused(
        &folder(url.as_str()).await,
        &["may not create tables", "grant create", &role],
    )
    .await;
    let drop_it = format!("drop role {role}");
    connection.execute(AssertSqlSafe(drop_it)).await.unwrap();

    let good = Folder::on(Engine::Sqlite, &database.toml(), &[]).await;
    for _ in 0..2 {
        let output = migrate(&good).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("is up to date"),
            "{text}"
        );
    }
    connection
        .execute("insert into hookbay_migrations values (99, 'later', '')")
        .await
        .unwrap();
    refused(&good, &["made by a newer Hookbay", "version 99"]).await;
}
