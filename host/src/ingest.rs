//! The door: what happens between a request's head and its answer.
//!
//! [`receive`] goes through the checks in the order that the design fixes: method, address
//! and size here, the rest in `examine`; the source was found before, in `http`. What
//! passes becomes an event with its runs in one commit (`admit`), and only then is
//! answered with a 2xx. No guest code runs here, and no database work: that is
//! done by tasks of their own, which a disconnect cannot cut off.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, request};
use tokio::runtime::Handle;

use crate::clock::{Clock, Timestamp};
use crate::dispatch::SharedBoard;
use crate::event::{EventId, Headers};
use crate::gzip;
use crate::metrics::Metrics;

pub mod address;
mod admit;
mod answer;
mod batch;
mod body;
mod contents;
pub(crate) mod delivery;
mod examine;
mod failures;
mod fetched;
pub mod filter;
pub mod forwarded;
pub mod handshake;
mod hint;
pub mod indexed;
pub mod inject;
pub mod learnt;
pub mod pauses;
mod quarantine;
mod refusal;
mod release;
pub(crate) mod sample;
pub mod schema;
pub mod scheme;
mod shown;
mod source;
pub mod verifier;
pub mod verify;

pub use batch::{Batcher, BatcherTask};
pub use failures::Failures;
pub use fetched::{Fetch, Fetched, NotFetched};
pub use hint::Hints;
pub use learnt::Learnt;
pub use quarantine::{Quarantine, QuarantineTask};
pub use release::{Reason, Release, ReleaseError, Released};
pub use shown::{shown_body, shown_headers};
pub use source::{Source, Sources};

use admit::{Admitted, admit};
use answer::Receipt;
pub use body::Budget;
use body::{ReadBody, Reading, unproven_max};
use failures::Room;
use refusal::Refusal;
use scheme::key::Keyring;
use verifier::{Said, Verifiers};
use verify::Rejection;

/// From this size on, a body is looked at off the async threads.
const LARGE: usize = 256 << 10;

/// Everything that receiving a webhook needs.
pub struct Door {
    /// The inbound addresses.
    pub sources: Arc<Sources>,
    /// Where to put events.
    pub batcher: Batcher,
    /// Which plugins want an event.
    pub board: SharedBoard,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
    /// Memory for bodies that are being received or wait for their commit.
    pub budget: Budget,
    /// What checks the proofs that plugins check.
    pub verifiers: Arc<dyn Verifiers>,
    /// What becomes of refused requests.
    pub quarantine: Quarantine,
    /// Certificates that senders name.
    pub fetched: Arc<Fetched>,
    /// Secrets that senders bring.
    pub learnt: Learnt,
    /// What addresses have failed to prove of late.
    pub failures: Failures,
}

/// A request that has arrived whole, of which nothing is proven.
struct Arrived {
    method: String,
    /// The address as the sender knows it.
    url: String,
    headers: Headers,
    body: ReadBody,
    /// When the last byte was read: what follows does not age it.
    received_at: Timestamp,
    /// The address it came from.
    remote: IpAddr,
}

/// A request that is not taken, with all that came of it.
struct Refused {
    refusal: Refusal,
    arrived: Arrived,
}

/// Receives one webhook for `source`, from `peer`: verified, stored, acknowledged.
pub async fn receive(
    door: &Door,
    source: &Arc<Source>,
    request: Request<Body>,
    peer: IpAddr,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let remote = door.sources.remote(peer, &head.headers);
    let id = EventId::new(door.clock.now());
    let mut receipt = Receipt::new(source, &door.metrics, id, remote, Instant::now());
    if let Err(refusal) = let_in(door, source, &head, remote) {
        return receipt.refuse(&refusal);
    }
    let limit = source.config.max_body;
    let body = match door.budget.read(body, &head.headers, limit).await {
        Ok(body) => body,
        Err(refusal) => return receipt.refuse(&refusal),
    };
    let received_at = door.clock.now();
    let arrived = Arrived::new(source, &head, body, received_at, remote);
    let (new, part) = match proven(door, source, arrived).await {
        Ok(Admitted::Events {
            new,
            part,
            about,
            confirm,
        }) => {
            if let Some(url) = confirm
                && let Err(error) = door.fetched.visit(&url).await
            {
                return receipt.refuse(&Refusal::Unconfirmed(error));
            }
            receipt.is_about(*about);
            (new, part)
        }
        Ok(Admitted::Question(answer)) => return receipt.answer_question(answer),
        Ok(Admitted::Secret(secret, answer)) => {
            return match door.learnt.learn(source, &secret).await {
                Ok(()) => receipt.answer_question(answer),
                Err(refusal) => match over_budget(door, &refusal, remote, received_at) {
                    Some(is_news) => receipt.refuse_barely(&refusal, is_news),
                    None => receipt.refuse(&refusal),
                },
            };
        }
        Err(Unproven::Refused(refused)) => {
            if let Some(is_news) = over_budget(door, &refused.refusal, remote, received_at) {
                return receipt.refuse_barely(&refused.refusal, is_news);
            }
            let answer = receipt.refuse(&refused.refusal);
            door.quarantine.offer(source, id, *refused);
            return answer;
        }
        Err(Unproven::NotNow(refusal)) => return receipt.refuse(&refusal),
    };
    match door.batcher.store(new, part).await {
        Ok(ingested) => receipt.acknowledge(&ingested),
        Err(refusal) => receipt.refuse(&refusal),
    }
}

/// Why nothing becomes of a request.
enum Unproven {
    /// It is refused.
    Refused(Box<Refused>),
    /// What it takes to say so is not at hand.
    NotNow(Refusal),
}

/// Examines a request; once more where that takes a certificate which has to be fetched, or
/// a secret which another host has learnt.
async fn proven(door: &Door, source: &Arc<Source>, arrived: Arrived) -> Result<Admitted, Unproven> {
    let keys = source.keys();
    let verifiers = door.verifiers.as_ref();
    let (request, body) = (arrived.request(), arrived.body.bytes.clone());
    let said = verifier::ask(verifiers, source, request, body, arrived.received_at).await;
    let refused = match examined(door, source, &keys, arrived, said).await? {
        Ok(admitted) => return Ok(admitted),
        Err(refused) => refused,
    };
    let keys = match &refused.refusal {
        Refusal::NotGenuine(Rejection::NeedsKey(url)) => match door.fetched.key(url).await {
            Some(key) => keys.with_key(url, key),
            None => return Err(Unproven::Refused(refused)),
        },
        Refusal::NotGenuine(_) => match door.learnt.look_up(source).await {
            Ok(true) => source.keys(),
            Ok(false) => return Err(Unproven::Refused(refused)),
            Err(refusal) => return Err(Unproven::NotNow(refusal)),
        },
        _ => return Err(Unproven::Refused(refused)),
    };
    let again = examined(door, source, &keys, refused.arrived, None).await?;
    again.map_err(Unproven::Refused)
}

async fn examined(
    door: &Door,
    source: &Arc<Source>,
    keys: &Keyring,
    arrived: Arrived,
    said: Option<Said>,
) -> Result<Result<Admitted, Box<Refused>>, Unproven> {
    let is_compressed = gzip::is_compressed(&arrived.headers);
    if arrived.body.bytes.len() < LARGE && !is_compressed {
        return Ok(admit(&door.board, source, keys, arrived, said, || None));
    }
    // Not too many at once may become larger than they came. What strangers send has a room
    // of its own: it keeps nobody waiting who has proven who it is.
    let sent_bytes = arrived.body.bytes.len() as u64;
    let is_document = source.config.schema.is_some();
    let has_turn = is_compressed || is_document;
    let (unproven_bytes, plain_bytes) = match is_compressed {
        true => (unproven_max(sent_bytes), source.config.max_body),
        false => (sent_bytes, sent_bytes),
    };
    let unproven = match has_turn {
        true => door.budget.turn_of_a_stranger(unproven_bytes).await,
        false => None,
    };
    let reading = Reading {
        plain_bytes,
        is_document,
    };
    let (budget, runtime) = (door.budget.clone(), Handle::current());
    let (board, source, keys) = (Arc::clone(&door.board), Arc::clone(source), keys.clone());
    let admit = move || {
        let _unproven = unproven;
        let turn = || has_turn.then(|| runtime.block_on(budget.turn(reading)))?;
        admit(&board, &source, &keys, arrived, said, turn)
    };
    let admitted = tokio::task::spawn_blocking(admit).await;
    admitted.map_err(|_| Unproven::NotNow(Refusal::Overloaded("the host is stopping")))
}

/// Whether a refusal is over what its address may fail, and if so, whether the log is to
/// hear of it: it is only counted then.
fn over_budget(
    door: &Door,
    refusal: &Refusal,
    remote: IpAddr,
    received_at: Timestamp,
) -> Option<bool> {
    if !refusal.is_failed_proof() {
        return None;
    }
    match door.failures.note(remote, received_at) {
        Room::Left => None,
        Room::Over { is_news } => Some(is_news),
    }
}

/// What is checked before the body is read.
fn let_in(
    door: &Door,
    source: &Source,
    head: &request::Parts,
    remote: IpAddr,
) -> Result<(), Refusal> {
    if !source.takes(head.method.as_str()) {
        return Err(Refusal::WrongMethod(source.methods()));
    }
    let allowed = source.config.allow_ips.as_ref();
    if allowed.is_some_and(|allowed| !allowed.contains(remote)) {
        return Err(Refusal::AddressNotAllowed(remote));
    }
    if door.sources.is_paused(source) {
        return Err(Refusal::Paused);
    }
    Ok(())
}

impl Arrived {
    fn new(
        source: &Source,
        head: &request::Parts,
        body: ReadBody,
        received_at: Timestamp,
        remote: IpAddr,
    ) -> Self {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        Self {
            method: head.method.as_str().to_owned(),
            url: format!("{}{path}", source.config.public_url),
            headers: headers(&head.headers),
            body,
            received_at,
            remote,
        }
    }

    /// As the sender signed it.
    fn request(&self) -> verify::Request<'_> {
        verify::Request {
            method: &self.method,
            url: &self.url,
            headers: &self.headers,
            body: &self.body.bytes,
        }
    }
}

fn headers(map: &HeaderMap) -> Headers {
    let pairs = map
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Headers::new(pairs.collect())
}
