//! Named tokens of operators: who may do how much, until when.
//!
//! A token is 256 random bits, so its sha256 is all that is kept; no slower hash would
//! make it harder to guess. Who shows one is found by the admin API, which keeps the
//! few rows in memory for a moment.

use crate::clock::Timestamp;

use super::sql::{Row, sql};
use super::{Store, StoreError, damaged};

/// Most tokens at once: each request is compared with all of them.
pub const TOKENS_MAX: u32 = 1000;

/// How much a token is good for; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Looking.
    Read,
    /// Steering what runs: replay, retry, pause, release.
    Operate,
    /// Everything: tokens, erasure, copies of the database.
    Admin,
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is called.
    pub name: String,
    /// How much it is good for.
    pub scope: Scope,
    /// Of its text.
    pub sha256: [u8; 32],
    /// The token that makes it.
    pub created_by: String,
    /// Until when it is good; none is for ever.
    pub expires_at: Option<Timestamp>,
}

/// What became of a token that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMade {
    /// It is good from now on.
    Made,
    /// Another has the name.
    NameTaken,
    /// There are [`TOKENS_MAX`] already.
    TooMany,
}

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What it is called.
    pub name: String,
    /// How much it is good for.
    pub scope: Scope,
    /// Of its text.
    pub sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// The token that made it.
    pub created_by: String,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// When it was last shown, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl Scope {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// The scope of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Read, Self::Operate, Self::Admin];
        all.into_iter().find(|scope| scope.as_str() == name)
    }

    const fn code(self) -> i64 {
        match self {
            Self::Read => 0,
            Self::Operate => 1,
            Self::Admin => 2,
        }
    }
}

impl Store {
    /// Makes a token.
    ///
    /// # Errors
    /// [`StoreError`] if none was made.
    pub async fn create_token(&self, new: NewToken) -> Result<TokenMade, StoreError> {
        self.write(move |tx| {
            let new = new.clone();
            Box::pin(async move {
                let count = sql("select count(*) as n from tokens");
                if tx.fetch_one(count).await?.int("n")? >= i64::from(TOKENS_MAX) {
                    return Ok(TokenMade::TooMany);
                }
                let make = sql(
                    "insert into tokens (name, scope, sha256, created_ms, created_by, expires_ms) \
                     values ($1, $2, $3, $4, $5, $6) on conflict (name) do nothing",
                );
                let make = make.bind(new.name).bind(new.scope.code());
                let make = make.bind(new.sha256.to_vec()).bind(tx.now);
                let expires_ms = new.expires_at.map(Timestamp::millis);
                let made = tx.execute(make.bind(new.created_by).bind(expires_ms));
                Ok(match made.await? {
                    0 => TokenMade::NameTaken,
                    _ => TokenMade::Made,
                })
            })
        })
        .await
    }

    /// All tokens by name, those that have expired included.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let all = sql(
            "select name, scope, sha256, created_ms, created_by, expires_ms, last_used_ms \
             from tokens order by name",
        );
        let rows = self.run_readers().fetch_all(all).await?;
        rows.iter().map(TokenRow::read).collect()
    }

    /// Makes a token worthless; whether there was one of this name.
    ///
    /// # Errors
    /// [`StoreError`] if it is good still.
    pub async fn revoke_token(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.write(move |tx| {
            let revoke = sql("delete from tokens where name = $1").bind(name.clone());
            Box::pin(async move { Ok(tx.execute(revoke).await? > 0) })
        })
        .await
    }

    /// Notes that a token was shown.
    ///
    /// # Errors
    /// [`StoreError`] if that was not noted.
    pub async fn token_used(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.write(move |tx| {
            let used = sql("update tokens set last_used_ms = $2 where name = $1");
            let used = used.bind(name.clone()).bind(tx.now);
            Box::pin(async move { tx.execute(used).await.map(drop) })
        })
        .await
    }
}

impl TokenRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let time = |column| -> Result<_, StoreError> {
            Ok(row.int_or_none(column)?.map(Timestamp::from_millis))
        };
        let sha256 = row.bytes("sha256")?;
        Ok(Self {
            name: row.text("name")?,
            scope: match row.int("scope")? {
                0 => Scope::Read,
                1 => Scope::Operate,
                2 => Scope::Admin,
                _ => return Err(damaged("a token's scope")),
            },
            sha256: sha256.try_into().map_err(|_| damaged("a token's hash"))?,
            created_at: row.time("created_ms")?,
            created_by: row.text("created_by")?,
            expires_at: time("expires_ms")?,
            last_used_at: time("last_used_ms")?,
        })
    }
}
