//! What hosts share about proofs: secrets that senders gave in a handshake, and when each
//! secret last proved a request.

use crate::clock::Timestamp;
use crate::config::Secret;

use super::sql::{Row, sql};
use super::{Store, StoreError};

/// How long it is remembered when a secret matched that matches no more.
const MATCHES_KEPT: std::time::Duration = std::time::Duration::from_hours(400 * 24);

/// A secret that a sender gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearntRow {
    /// The source.
    pub source: String,
    /// The secret.
    pub secret: Secret,
    /// When it came.
    pub learnt_at: Timestamp,
    /// The last other one that came after it and was refused: its fingerprint, and when.
    pub refused: Option<(String, Timestamp)>,
}

/// A secret that has proved requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchRow {
    /// The source.
    pub source: String,
    /// The secret's fingerprint.
    pub fingerprint: String,
    /// When it last did.
    pub matched_at: Timestamp,
}

impl Store {
    /// Keeps the secret that a sender gave, if it is the first of its source; the one that
    /// is kept.
    ///
    /// # Errors
    /// [`StoreError`] if it is not known which is.
    pub async fn learn_secret(
        &self,
        source: &str,
        secret: &Secret,
    ) -> Result<LearntRow, StoreError> {
        let (source, secret) = (source.to_owned(), secret.clone());
        self.write(move |tx| {
            let (source, secret) = (source.clone(), secret.clone());
            Box::pin(async move {
                let learn = sql(
                    "insert into learnt_secrets (source, secret, learnt_ms) values ($1, $2, $3) \
                     on conflict (source) do nothing",
                );
                let learn = learn.bind(source.as_str()).bind(secret.expose());
                tx.execute(learn.bind(tx.now)).await?;
                let kept = sql(
                    "select source, secret, learnt_ms, refused, refused_ms from learnt_secrets \
                     where source = $1",
                );
                LearntRow::read(&tx.fetch_one(kept.bind(source.as_str())).await?)
            })
        })
        .await
    }

    /// Notes that another secret came than the one that is kept.
    ///
    /// # Errors
    /// [`StoreError`] if it was not noted.
    pub async fn refuse_secret(&self, source: &str, fingerprint: &str) -> Result<(), StoreError> {
        let (source, fingerprint) = (source.to_owned(), fingerprint.to_owned());
        self.write(move |tx| {
            let (source, fingerprint) = (source.clone(), fingerprint.clone());
            Box::pin(async move {
                let note = sql(
                    "update learnt_secrets set refused = $2, refused_ms = $3 where source = $1",
                );
                let note = note.bind(source.as_str()).bind(fingerprint.as_str());
                tx.execute(note.bind(tx.now)).await.map(drop)
            })
        })
        .await
    }

    /// Forgets the secret that a sender gave, so that the next one is learnt; whether there
    /// was one.
    ///
    /// # Errors
    /// [`StoreError`] if it is kept still.
    pub async fn forget_secret(&self, source: &str) -> Result<bool, StoreError> {
        let source = source.to_owned();
        self.write(move |tx| {
            let source = source.clone();
            Box::pin(async move {
                let forget = sql("delete from learnt_secrets where source = $1");
                Ok(tx.execute(forget.bind(source.as_str())).await? > 0)
            })
        })
        .await
    }

    /// The secrets that senders gave, of all sources.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn learnt_secrets(&self) -> Result<Vec<LearntRow>, StoreError> {
        let all = sql("select source, secret, learnt_ms, refused, refused_ms from learnt_secrets");
        let rows = self.run_readers().fetch_all(all).await?;
        rows.iter().map(LearntRow::read).collect()
    }

    /// Notes when secrets last matched, where nobody has noted a later time.
    ///
    /// # Errors
    /// [`StoreError`] if none was noted.
    pub async fn note_matches(&self, matches: Vec<MatchRow>) -> Result<(), StoreError> {
        if matches.is_empty() {
            return Ok(());
        }
        // In one order on all hosts, so that none waits for the other.
        let mut matches = matches;
        matches
            .sort_unstable_by(|a, b| (&a.source, &a.fingerprint).cmp(&(&b.source, &b.fingerprint)));
        self.write(move |tx| {
            let matches = matches.clone();
            Box::pin(async move {
                for one in &matches {
                    let note = sql(
                        "insert into secret_matches (source, fingerprint, matched_ms) values ($1, $2, $3) \
                         on conflict (source, fingerprint) do update set matched_ms = excluded.matched_ms \
                         where secret_matches.matched_ms < excluded.matched_ms",
                    );
                    let note = note.bind(one.source.as_str()).bind(one.fingerprint.as_str());
                    tx.execute(note.bind(one.matched_at)).await?;
                }
                let forget = sql("delete from secret_matches where matched_ms < $1");
                tx.execute(forget.bind(tx.now.minus(MATCHES_KEPT))).await?;
                Ok(())
            })
        })
        .await
    }

    /// When secrets last matched, on whatever host.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn secret_matches(&self) -> Result<Vec<MatchRow>, StoreError> {
        let all = sql("select source, fingerprint, matched_ms from secret_matches");
        let rows = self.readers().fetch_all(all).await?;
        let read = |row: &Row| {
            Ok(MatchRow {
                source: row.text("source")?,
                fingerprint: row.text("fingerprint")?,
                matched_at: row.time("matched_ms")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

impl LearntRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let refused = row.text_or_none("refused")?;
        let refused_at = row.int_or_none("refused_ms")?.map(Timestamp::from_millis);
        Ok(Self {
            source: row.text("source")?,
            secret: Secret::new(row.bytes("secret")?),
            learnt_at: row.time("learnt_ms")?,
            refused: refused.zip(refused_at),
        })
    }
}
