//! Requests that were set aside, looked at again as of their receipt: shown with what keeps
//! them, and released as events once nothing does.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::dispatch::{Prove, SharedBoard, Wakeup};
use crate::event::EventId;
use crate::run::PluginId;
use crate::store::{self, NewEvent, QuarantinedRow, RawRequest, Store, StoreError};

use super::admit::Received;
use super::answer;
use super::contents::{self, Contents, Events};
use super::examine::{self, Finding};
use super::fetched::{Fetched, NotFetched};
use super::hint::Hints;
use super::refusal::Refusal;
use super::scheme::key::Keyring;
use super::source::{Source, Sources};
use super::verifier::{self, Said, Verifiers};
use super::verify::{Rejection, Request};

/// What is said when nothing keeps a request any more.
const GENUINE_NOW: &str = "with what the source is set to now it is genuine: release it";

/// Looks at requests that were set aside.
#[derive(Clone)]
pub struct Release {
    /// Where they are.
    pub store: Store,
    /// By what they are judged now.
    pub sources: Arc<Sources>,
    /// Which plugins want the events.
    pub board: SharedBoard,
    /// Rung for their runs.
    pub wakeup: Arc<Wakeup>,
    /// Why they are refused, in words.
    pub hints: Arc<Hints>,
    /// Certificates that senders name.
    pub fetched: Arc<Fetched>,
    /// Plugins that check proofs.
    pub verifiers: Arc<dyn Verifiers>,
    /// The time.
    pub clock: Clock,
}

/// Whether a request has to prove where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    Proof,
    /// An operator answers for it.
    Nothing,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A stable code.
    pub code: String,
    /// What was found.
    pub message: String,
    /// What has probably happened; none where that cannot be told.
    pub hint: Option<String>,
}

/// A request that was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The events that it is, in order; of those that had come before, the first ones.
    pub events: Vec<EventId>,
    /// Whether all of them had come before.
    pub is_duplicate: bool,
}

/// What a request becomes.
struct Judged {
    new: Vec<NewEvent>,
    /// The sender's address that is to be visited before it is stored.
    confirm: Option<Url>,
}

/// Why a request is not released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// It is not there.
    #[error("there is no request `{0}` in quarantine")]
    Unknown(EventId),
    /// Its source is not there.
    #[error("source `{0}` is not configured any more")]
    NoSource(String),
    /// It is refused still.
    #[error("it is refused still: {}", .0.message)]
    Refused(Reason),
    /// What it takes to say whether it is genuine is not at hand.
    #[error("nobody can say now whether it is genuine: {0}")]
    NoVerdict(Rejection),
    /// It is a question, which is no event.
    #[error("it is a handshake's question, which is answered when it comes and not stored")]
    Question,
    /// The database refuses it.
    #[error("the database refuses it")]
    NotStored,
    /// What its sender wants to have confirmed cannot be.
    #[error("the subscription cannot be confirmed: {0}")]
    Unconfirmed(#[from] NotFetched),
    /// The host ends.
    #[error("the host is stopping")]
    Stopping,
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Release {
    /// Why a request was refused, with what the source is set to now as the hint.
    pub async fn reason(&self, row: &QuarantinedRow, request: RawRequest) -> Reason {
        let mut reason = Reason {
            code: row.code.clone(),
            message: row.message.clone(),
            hint: row.hint.clone(),
        };
        if let Some(source) = self.sources.named(&row.source) {
            reason.hint = match self.judge(row, source, request, Demand::Proof).await {
                Ok(_) => Some(GENUINE_NOW.to_owned()),
                Err(ReleaseError::Refused(now)) => now.hint,
                Err(error) => Some(error.to_string()),
            };
        }
        reason
    }

    /// Releases a request; `is_forced` asks for no proof.
    ///
    /// # Errors
    /// [`ReleaseError`], and it stays where it is.
    pub async fn release(&self, id: EventId, is_forced: bool) -> Result<Released, ReleaseError> {
        let found = self.store.quarantined_request(id).await?;
        let (row, request) = found.ok_or(ReleaseError::Unknown(id))?;
        let new = self.events(&row, request, is_forced).await?;
        let own: Vec<EventId> = new.iter().map(NewEvent::id).collect();
        let mut plugins: Vec<PluginId> = new.iter().flat_map(NewEvent::plugins).collect();
        plugins.sort_unstable();
        plugins.dedup();
        let ingested = match self.store.release_quarantined(id, new, None).await {
            Ok(store::Released::Events(ingested)) => ingested,
            // Somebody else was faster.
            Ok(store::Released::Gone | store::Released::NotOurs) => {
                return Err(ReleaseError::Unknown(id));
            }
            Err(error) if error.is_refused_row() => {
                tracing::error!(request = %id, %error, "the request stays in quarantine");
                return Err(ReleaseError::NotStored);
            }
            Err(error) => return Err(error.into()),
        };
        self.wakeup.ring_everywhere(&plugins);
        if is_forced {
            tracing::warn!(request = %id, source = row.source, "a request was released without proof");
        }
        Ok(Released {
            events: answer::known_as(&own, &ingested),
            is_duplicate: answer::is_duplicate(&ingested),
        })
    }

    /// The events that a request is, at least one; what its sender wants to have confirmed
    /// before is.
    async fn events(
        &self,
        row: &QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> Result<Vec<NewEvent>, ReleaseError> {
        let Judged { new, confirm } = self.judged(row, request, is_forced).await?;
        if let Some(url) = confirm {
            self.fetched.visit(&url).await?;
        }
        Ok(match is_forced {
            true => new.into_iter().map(NewEvent::forced).collect(),
            false => new,
        })
    }

    async fn judged(
        &self,
        row: &QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> Result<Judged, ReleaseError> {
        let source = self.sources.named(&row.source);
        let source = source.ok_or_else(|| ReleaseError::NoSource(row.source.clone()))?;
        let demand = match is_forced {
            true => Demand::Nothing,
            false => Demand::Proof,
        };
        self.judge(row, source, request, demand).await
    }

    async fn judge(
        &self,
        row: &QuarantinedRow,
        source: Arc<Source>,
        request: RawRequest,
        demand: Demand,
    ) -> Result<Judged, ReleaseError> {
        let (board, hints) = (Arc::clone(&self.board), Arc::clone(&self.hints));
        let received_at = row.received_at;
        let known = source.keys();
        let keys = known.clone();
        // By now, not by receipt: whoever reads events in their order must not miss it.
        let numbered_at = self.clock.now();
        let said = match demand {
            Demand::Proof => self.said(&source, &request, received_at).await,
            Demand::Nothing => None,
        };
        let judge = move |keys: Keyring, request: RawRequest, said: Option<Said>| {
            let asked = (demand, said);
            let genuine = genuine(&hints, &source, &keys, &request, received_at, asked)?;
            let confirm = genuine.confirm.clone();
            let received = Received {
                numbered_at,
                received_at,
                headers: request.headers,
                body: request.body,
            };
            let (new, _) = received.into_events(&board.load(), &source, genuine);
            Ok(Judged { new, confirm })
        };
        let (first, again) = (judge.clone(), request.clone());
        let judged = off_the_async_threads(move || first(keys, again, said)).await;
        let Err(ReleaseError::NoVerdict(Rejection::NeedsKey(url))) = judged else {
            return judged;
        };
        let keys = match self.fetched.key(&url).await {
            Some(key) => known.with_key(&url, key),
            None => return Err(ReleaseError::NoVerdict(Rejection::NeedsKey(url))),
        };
        off_the_async_threads(move || judge(keys, request, None)).await
    }

    /// What the source's verifier plugin says now, if it has one.
    async fn said(
        &self,
        source: &Source,
        raw: &RawRequest,
        received_at: Timestamp,
    ) -> Option<Said> {
        let url = format!("{}{}", source.config.public_url, raw.target);
        let request = Request {
            method: &raw.method,
            url: &url,
            headers: &raw.headers,
            body: &raw.body,
        };
        let verifiers = self.verifiers.as_ref();
        verifier::ask(verifiers, source, request, raw.body.clone(), received_at).await
    }
}

async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReleaseError> + Send + 'static,
) -> Result<T, ReleaseError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(ReleaseError::Stopping))
}

/// What a request says, if it is genuine as of its receipt, or nobody asks.
fn genuine(
    hints: &Hints,
    source: &Source,
    keys: &Keyring,
    raw: &RawRequest,
    received_at: Timestamp,
    (demand, said): (Demand, Option<Said>),
) -> Result<Contents, ReleaseError> {
    let url = format!("{}{}", source.config.public_url, raw.target);
    let request = Request {
        method: &raw.method,
        url: &url,
        headers: &raw.headers,
        body: &raw.body,
    };
    if demand == Demand::Nothing {
        return Ok(contents::unproven(source, keys, &request, Events::Each));
    }
    // It counts against no rate.
    match examine::examine(source, keys, &request, received_at, said, || Ok(())) {
        Ok(Finding::Genuine(genuine)) => Ok(genuine),
        Ok(Finding::Question(_) | Finding::Secret(..)) => Err(ReleaseError::Question),
        Err(Refusal::NotGenuine(rejection)) if !rejection.is_verdict() => {
            Err(ReleaseError::NoVerdict(rejection))
        }
        Err(refusal) => Err(ReleaseError::Refused(Reason {
            code: refusal.code().to_owned(),
            message: refusal.to_string(),
            hint: hints.hint(source, &request, received_at, &refusal),
        })),
    }
}

impl Prove for Release {
    fn is_genuine<'a>(
        &'a self,
        row: &'a QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.judged(row, request, is_forced).await.is_ok() })
    }

    fn events<'a>(
        &'a self,
        row: &'a QuarantinedRow,
        request: RawRequest,
        is_forced: bool,
    ) -> BoxFuture<'a, Option<Vec<NewEvent>>> {
        Box::pin(async move { self.events(row, request, is_forced).await.ok() })
    }
}
