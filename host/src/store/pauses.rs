//! Sources that an operator has paused: for all hosts, until they are resumed.

use super::sql::sql;
use super::{Store, StoreError};

impl Store {
    /// The sources that are paused, configured or not.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn paused_sources(&self) -> Result<Vec<String>, StoreError> {
        let paused = sql("select source from paused_sources order by source");
        let rows = self.run_readers().fetch_all(paused).await?;
        rows.iter().map(|row| row.text("source")).collect()
    }

    /// Pauses a source, or resumes it.
    ///
    /// # Errors
    /// [`StoreError`] if nothing was changed.
    pub async fn pause_source(&self, source: &str, is_paused: bool) -> Result<(), StoreError> {
        let source = source.to_owned();
        self.write(move |tx| {
            let source = source.clone();
            Box::pin(async move {
                let change = if is_paused {
                    sql(
                        "insert into paused_sources (source, paused_ms) values ($1, $2) \
                         on conflict (source) do nothing",
                    )
                    .bind(source)
                    .bind(tx.now)
                } else {
                    sql("delete from paused_sources where source = $1").bind(source)
                };
                tx.execute(change).await.map(drop)
            })
        })
        .await
    }
}
