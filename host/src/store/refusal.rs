//! What a database refuses: to be opened, in one line for whoever set it up, and rows.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::SqliteError;

use super::StoreError;

/// The refusal of the database at `path`, which is shown: a URL without its password.
pub(super) fn refused(path: &impl ToString, error: StoreError, known: &Migrator) -> StoreError {
    let reason = match error {
        StoreError::Database(error) => reason_of(&error),
        StoreError::Migrate(MigrateError::VersionMissing(version)) => format!(
            "it was made by a newer Hookbay: its tables are at version {version}, this one knows {}; \
             run that one, or go back to a backup from before it",
            known.iter().map(|one| one.version).max().unwrap_or(0)
        ),
        StoreError::Migrate(MigrateError::VersionMismatch(version)) => format!(
            "its tables were made by another build of Hookbay, which had another migration {version}"
        ),
        StoreError::Migrate(
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
        ) => format!(
            "its tables cannot be brought up to date: {}",
            reason_of(&error)
        ),
        StoreError::Migrate(error) => format!("its tables cannot be brought up to date: {error}"),
        // These say it themselves.
        error => return error,
    };
    StoreError::Open {
        path: path.to_string(),
        reason: one_line(&reason),
    }
}

fn reason_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let said = error.message();
            let advice = match error.code().as_deref() {
                Some("3D000") => "; make it with `createdb`, or correct the name",
                Some("28P01" | "28000") => "; check user and password of `database`",
                Some("42501") => "; the user needs to own the tables, or their schema",
                Some("53300") => {
                    "; raise `max_connections`, or lower `pool.connections` of the hosts"
                }
                Some("55P03") => "; somebody holds the tables: try again",
                Some("08P01") if said.contains("extra_float_digits") => {
                    "; a pooler stands before the server: set `pooler = true`, \
                     and its `ignore_startup_parameters = extra_float_digits`"
                }
                Some("08P01") if said.contains("startup parameter") => {
                    "; a pooler stands before the server: set `pooler = true`"
                }
                _ => "",
            };
            format!("{said}{advice}")
        }
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("no server listens there ({error})")
        }
        sqlx::Error::Io(error) => format!("the server cannot be reached ({error})"),
        sqlx::Error::Tls(error) => format!("no TLS with the server ({error})"),
        error => error.to_string(),
    }
}

impl StoreError {
    /// Whether the database took offence at what a row holds: the statement would fail
    /// again, without that row it might not.
    pub fn is_refused_row(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else {
            return false;
        };
        let code = error.code().unwrap_or_default();
        if error.try_downcast_ref::<SqliteError>().is_some() {
            // Too big, constraint, mismatch, range; the high bytes say which of them.
            let code = code.parse::<u32>().unwrap_or_default();
            return matches!(code & 0xff, 18 | 19 | 20 | 25);
        }
        // Data, integrity, limits, what a trigger raises.
        ["22", "23", "54", "P0"]
            .iter()
            .any(|class| code.starts_with(class))
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::{StoreError, refused};

    #[test]
    fn a_refusal_is_one_line_with_its_place() {
        let known = sqlx::migrate!("../migrations/sqlite");
        let newest = known.iter().map(|one| one.version).max().unwrap();
        let newer = sqlx::migrate::MigrateError::VersionMissing(99);
        let io = |kind, text: &str| sqlx::Error::Io(Error::new(kind, text));
        for (error, says) in [
            (
                StoreError::Migrate(newer),
                format!(
                    "made by a newer Hookbay: its tables are at version 99, this one knows {newest};"
                ),
            ),
            (
                io(ErrorKind::ConnectionRefused, "os error 111").into(),
                "no server listens there (os error 111)".to_owned(),
            ),
            (
                io(ErrorKind::TimedOut, "a\nb").into(),
                "the server cannot be reached (a b)".to_owned(),
            ),
            (
                sqlx::Error::Tls("server does not support TLS".into()).into(),
                "no TLS with the server (server does not support TLS)".to_owned(),
            ),
        ] {
            let shown = refused(&"postgres://me@h/d", error, &known).to_string();
            assert!(shown.contains(&says), "{shown}");
            assert!(shown.contains("`postgres://me@h/d`") && !shown.contains('\n'));
        }
    }
}
