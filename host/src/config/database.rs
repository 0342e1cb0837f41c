//! `database` and `[pool]`: where events and runs are kept, and how it is reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::reader::Table;

/// Where events and runs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file on this host.
    Sqlite(PathBuf),
    /// A server, which several hosts may share.
    Postgres(PostgresUrl),
}

/// The address of a Postgres database, such as `postgres://user:pass@host/db`.
///
/// It names a database, and shows itself without password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    shown: String,
}

/// Connections to a Postgres server: `[pool]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How many this host has at most, 2 to 200.
    pub connections: u32,
    /// How long an operation waits for one, 100 ms to 1 minute.
    pub acquire_timeout: Duration,
    /// How long one statement may take, 1 second to 1 hour.
    pub statement_timeout: Duration,
}

/// Why a text is not the address of a Postgres database; says nothing of the text
/// itself, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// It is no address.
    #[error("is not an address ({0}); write `postgres://USER:PASSWORD@HOST/DATABASE`")]
    NotAnAddress(url::ParseError),
    /// It is the address of something else.
    #[error("must begin with `postgres://`")]
    Scheme,
    /// A `/`, `?` or `#` ended the user's part early.
    #[error(
        "has an `@` after its host; in a password write `/`, `?`, `#`, `@` as `%2F`, `%3F`, `%23`, `%40`"
    )]
    Misplaced,
    /// It names no database.
    #[error("names no database; write `postgres://USER:PASSWORD@HOST/DATABASE`")]
    NoDatabase,
}

impl PostgresUrl {
    /// The whole address with its password, for whoever connects with it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        let url = Url::parse(text).map_err(PostgresUrlError::NotAnAddress)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(PostgresUrlError::Scheme);
        }
        let behind = [Some(url.path()), url.query(), url.fragment()];
        if behind.into_iter().flatten().any(|part| part.contains('@')) {
            return Err(PostgresUrlError::Misplaced);
        }
        let parameter = |name| url.query_pairs().find(|(key, _)| key == name);
        let database = match url.path().trim_start_matches('/') {
            "" => parameter("dbname").map(|(_, value)| value.into_owned()),
            path => Some(path.to_owned()),
        };
        let database = database
            .filter(|name| !name.is_empty())
            .ok_or(PostgresUrlError::NoDatabase)?;
        let user = match url.username() {
            "" => String::new(),
            user => format!("{user}@"),
        };
        // Without one it is a socket of this machine.
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}"));
        let port = port.unwrap_or_default();
        Ok(Self {
            shown: format!("postgres://{user}{host}{port}/{database}"),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connections: 16,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// Reads `database`.
pub(super) fn read(table: &mut Table<'_>) -> Database {
    let base = table.reading().base;
    let url = table
        .string("database")
        .unwrap_or_else(|| "sqlite://hookbay.db".to_owned());
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() && !path.contains(['?', ':']) => {
            return Database::Sqlite(base.join(path));
        }
        Some(("postgres" | "postgresql", _)) => {
            if let Some(url) = table.noted("database", url.parse()) {
                return Database::Postgres(url);
            }
        }
        _ => table.problem(
            "database",
            "must be `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`",
        ),
    }
    Database::Sqlite(base.join("hookbay.db"))
}

/// Reads `[pool]`.
pub(super) fn read_pool(table: Option<Table<'_>>) -> PoolConfig {
    let default = PoolConfig::default();
    let Some(mut table) = table else {
        return default;
    };
    let pool = PoolConfig {
        connections: table
            .integer("connections", 2..=200)
            .unwrap_or(default.connections),
        acquire_timeout: table
            .duration(
                "acquire_timeout",
                Duration::from_millis(100)..=Duration::from_mins(1),
            )
            .unwrap_or(default.acquire_timeout),
        statement_timeout: table
            .duration(
                "statement_timeout",
                Duration::from_secs(1)..=Duration::from_hours(1),
            )
            .unwrap_or(default.statement_timeout),
    };
    table.finish();
    pool
}

#[cfg(test)]
mod tests {
    use super::PostgresUrl;

    #[test]
    fn addresses_show_no_password() {
        for (text, shown) in [
            ("postgres://h/d", "postgres://h/d"),
            (
                "postgresql://me:hunter2@db.example.com:6432/hooks?sslmode=require",
                "postgres://me@db.example.com:6432/hooks",
            ),
            ("postgres://me@[::1]:5432/d", "postgres://me@[::1]:5432/d"),
            ("postgres://me:hunter2%40%2F%23@h/d", "postgres://me@h/d"),
            ("postgres://h/d?user=me&password=hunter2", "postgres://h/d"),
            ("postgres:///d?host=/run/postgresql", "postgres:///d"),
            (
                "postgres:///?host=/run/postgresql&dbname=d",
                "postgres:///d",
            ),
        ] {
            let url: PostgresUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(format!("{url:?}"), format!("PostgresUrl({shown})"));
            assert_eq!(url.expose(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for (text, problem) in [
            ("postgres://me:hunter2@h", "names no database"),
            ("postgres://me:hunter2@h/", "names no database"),
            ("postgres://me:hunter2@h?dbname=", "names no database"),
            ("postgres://me:hunter2@h:port/d", "is not an address"),
            ("postgres://me:hunter2@/d", "is not an address"),
            ("postgres://me:hunter2#w@h/d", "is not an address"),
            ("postgres://me:1/hunter2@h/d", "has an `@` after its host"),
            ("postgres://me:1#hunter2@h/d", "has an `@` after its host"),
            ("postgres://me:1?hunter2@h/d", "has an `@` after its host"),
            ("mysql://me:hunter2@h/d", "must begin with `postgres://`"),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
