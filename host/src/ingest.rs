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

use crate::clock::{Clock, Timestamp};
use crate::dispatch::SharedBoard;
use crate::event::{EventId, Headers};
use crate::metrics::Metrics;

pub mod address;
mod admit;
mod answer;
mod batch;
mod body;
pub(crate) mod delivery;
mod examine;
pub mod forwarded;
pub mod handshake;
pub mod pauses;
mod refusal;
pub(crate) mod sample;
pub mod scheme;
mod source;
pub mod verifier;
pub mod verify;

pub use batch::{Batcher, BatcherTask};
pub use source::{Source, Sources};

use admit::{Admitted, admit};
use answer::Receipt;
pub use body::Budget;
use body::ReadBody;
use refusal::Refusal;
use verifier::Verifiers;

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
    #[expect(dead_code, reason = "quarantine will keep it")]
    remote: IpAddr,
}

/// A request that is not taken, with all that came of it.
struct Refused {
    refusal: Refusal,
    #[expect(dead_code, reason = "quarantine will keep it")]
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
    let arrived = Arrived::new(source, &head, body, door.clock.now(), remote);
    let said = verifier::ask(door.verifiers.as_ref(), source, &arrived).await;
    let admitted = if arrived.body.bytes.len() < LARGE {
        admit(&door.board, source, arrived, said)
    } else {
        let (board, source) = (Arc::clone(&door.board), Arc::clone(source));
        let admit = move || admit(&board, &source, arrived, said);
        match tokio::task::spawn_blocking(admit).await {
            Ok(admitted) => admitted,
            Err(_) => return receipt.refuse(&Refusal::Overloaded("the host is stopping")),
        }
    };
    let (new, part) = match admitted {
        Ok(Admitted::Event { new, part, about }) => {
            receipt.is_about(about);
            (*new, part)
        }
        Ok(Admitted::Question(answer)) => return receipt.answer_question(answer),
        Err(refused) => return receipt.refuse(&refused.refusal),
    };
    match door.batcher.store(new, part).await {
        Ok(ingested) => receipt.acknowledge(ingested),
        Err(refusal) => receipt.refuse(&refusal),
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
