//! What one transaction of the writer carries: applied in order of urgency, answered
//! when it is committed.

use crate::store::claim::{self, Claim, Claims};
use crate::store::finish::{Finish, Settled};
use crate::store::ingest::{Ingested, NewEvent};
use crate::store::quarantine::{Release, Released};
use crate::store::sqlite::{Change, Recent};
use crate::store::tx::Tx;
use crate::store::{Statements, StoreError};

use super::{OtherWork, Reply, Work, respond};

/// Events, and who waits for them.
type Batch = (Vec<NewEvent>, Reply<Vec<Option<Ingested>>>);

/// What one transaction carries, by kind.
#[derive(Default)]
pub(super) struct Cycle {
    ingests: Vec<Batch>,
    finishes: Vec<(Box<Finish>, Reply<Settled>)>,
    claims: Vec<(Claim, Reply<Claims>)>,
    releases: Vec<(Box<Release>, Reply<Released>)>,
    others: Vec<Box<dyn OtherWork>>,
    /// Whether nothing comes after it.
    pub(super) is_last: bool,
}

/// What a transaction that was committed answers.
pub(super) struct Applied {
    ingested: Vec<Vec<Ingested>>,
    settled: Vec<Settled>,
    claims: Vec<Claims>,
    released: Vec<Released>,
}

impl Cycle {
    pub(super) fn add(&mut self, work: Work) {
        match work {
            Work::Ingest(events, reply) => self.ingests.push((events, reply)),
            Work::Finish(finish, reply) => self.finishes.push((finish, reply)),
            Work::Claim(claim, reply) => self.claims.push((claim, reply)),
            Work::Release(release, reply) => self.releases.push((release, reply)),
            Work::Other(other) => self.others.push(other),
            Work::Close => self.is_last = true,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ingests.len()
            + self.finishes.len()
            + self.claims.len()
            + self.releases.len()
            + self.others.len()
    }

    /// Applies everything within one transaction.
    pub(super) async fn apply(
        &mut self,
        tx: &mut Tx,
        statements: &Statements,
        recent: Option<&Recent>,
    ) -> Result<(Applied, Option<Change>), StoreError> {
        // What leaves quarantine is stored like what has just come.
        let mut refused = Vec::with_capacity(self.releases.len());
        for (release, _) in &self.releases {
            refused.push(statements.quarantine.take(tx, release).await?);
        }
        let taken = self.releases.iter().zip(&refused);
        let taken = taken.filter(|(_, refused)| refused.is_none());
        let taken = taken.map(|((release, _), _)| release.events());
        let ingests = self.ingests.iter().map(|(events, _)| events.as_slice());
        let batches: Vec<&[NewEvent]> = ingests.chain(taken).collect();
        let (mut ingested, change) = match recent {
            Some(recent) => statements.ingest_sqlite(tx, &batches, recent).await?,
            // On Postgres events are not stored by the writer.
            None => (Vec::new(), None),
        };
        let mut of_releases = ingested
            .split_off(self.ingests.len().min(ingested.len()))
            .into_iter();
        let events = |refused: Option<Released>| {
            refused.unwrap_or_else(|| Released::Events(of_releases.next().unwrap_or_default()))
        };
        let released = refused.into_iter().map(events).collect();
        let finishes: Vec<&Finish> = self.finishes.iter().map(|(finish, _)| &**finish).collect();
        let settled = statements.record(tx, &finishes).await?;
        let mut claims = Vec::with_capacity(self.claims.len());
        for (claim, _) in &self.claims {
            claims.push(claim::claim(tx, claim, None).await?);
        }
        for other in &mut self.others {
            other.apply(tx).await?;
        }
        let applied = Applied {
            ingested,
            settled,
            claims,
            released,
        };
        Ok((applied, change))
    }

    pub(super) fn answer(self, applied: Applied) {
        for ((_, reply), ingested) in self.ingests.into_iter().zip(applied.ingested) {
            respond(reply, Ok(ingested.into_iter().map(Some).collect()));
        }
        for ((_, reply), settled) in self.finishes.into_iter().zip(applied.settled) {
            respond(reply, Ok(settled));
        }
        for ((_, reply), claims) in self.claims.into_iter().zip(applied.claims) {
            respond(reply, Ok(claims));
        }
        for ((_, reply), released) in self.releases.into_iter().zip(applied.released) {
            respond(reply, Ok(released));
        }
        for other in self.others {
            other.answer(Ok(()));
        }
    }

    /// The same operations, each in a cycle of its own.
    pub(super) fn one_by_one(self) -> impl Iterator<Item = Self> {
        let ingests = self.ingests.into_iter().map(|one| Self {
            ingests: vec![one],
            ..Self::default()
        });
        let finishes = self.finishes.into_iter().map(|one| Self {
            finishes: vec![one],
            ..Self::default()
        });
        let claims = self.claims.into_iter().map(|one| Self {
            claims: vec![one],
            ..Self::default()
        });
        let releases = self.releases.into_iter().map(|one| Self {
            releases: vec![one],
            ..Self::default()
        });
        let others = self.others.into_iter().map(|one| Self {
            others: vec![one],
            ..Self::default()
        });
        let writes = ingests.chain(finishes).chain(claims);
        writes.chain(releases).chain(others)
    }

    /// Takes the one batch of events that this cycle is, if it is one.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        self.ingests.pop()
    }

    /// Tells the one caller of this cycle what went wrong.
    pub(super) fn refuse(mut self, error: StoreError) {
        if let Some((_, reply)) = self.ingests.pop() {
            respond(reply, Err(error));
        } else if let Some((_, reply)) = self.finishes.pop() {
            respond(reply, Err(error));
        } else if let Some((_, reply)) = self.claims.pop() {
            respond(reply, Err(error));
        } else if let Some((_, reply)) = self.releases.pop() {
            respond(reply, Err(error));
        } else if let Some(other) = self.others.pop() {
            other.answer(Err(error));
        }
    }
}
