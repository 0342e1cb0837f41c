//! Sets refused requests aside, behind everything else.
//!
//! Whoever can reach an address can have requests refused by it, as many as they like. So
//! each source has an allowance of requests and bytes: what is over it is not kept, which
//! leaves a sample. What its sender has proven, but which is not what it must be, uses none of
//! it: that is the source's own traffic, and counts against its rate. Nor can a forger take
//! all of the queue or of the disk from it. The queue is bounded and nobody waits for it; what
//! does not fit is dropped and counted. The task behind it writes small batches and rests
//! after each for as long as it took, so that events have the database for at least half of
//! the time. What all of it may take on disk is the store's to hold to, and the
//! configuration's to say.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::event::EventId;
use crate::metrics::{Metrics, SetAside};
use crate::store::{NewQuarantined, QuarantineBounds, QuarantinedRow, RawRequest, Store};

use super::Refused;
use super::hint::Hints;
use super::refusal::Refusal;
use super::source::Source;
use super::verify::Request;

/// Requests that may wait.
const QUEUE: usize = 1024;
/// Bytes of those that wait.
const QUEUE_BYTES: usize = 64 << 20;
/// The grain of these bytes.
const GRAIN: usize = 4 << 10;
/// Requests of one batch.
const BATCH: usize = 64;
/// Bytes of one batch, unless a single request has more.
const BATCH_BYTES: usize = 1 << 20;
/// What a source may have set aside: a request each tenth of a second, or 1 MiB in a
/// second where that is less.
const REQUEST_US: i64 = 100_000;
const BYTES_PER_SECOND: i64 = 1 << 20;
/// How much of it is saved up while nothing comes: 50 requests.
const BURST_US: i64 = 5_000_000;
/// The longest rest after a batch.
const REST_MAX: Duration = Duration::from_secs(2);
/// The part of the bound that one source may have: others must have room left.
const SOURCE_SHARE: u64 = 2;
/// The part of the queue, of its bytes, and of a source's share that is left to what was
/// proven.
const PROVEN_SHARE: usize = 4;

/// Takes refused requests; clones share the queue.
#[derive(Clone)]
pub struct Quarantine {
    queue: mpsc::Sender<Waiting>,
    memory: Arc<Semaphore>,
    /// When the allowance of each source would be whole again, in microseconds since 1970.
    allowances: Arc<Mutex<HashMap<String, i64>>>,
    metrics: Arc<Metrics>,
}

/// The task behind the queue.
pub struct QuarantineTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Waiting {
    source: Arc<Source>,
    id: EventId,
    request: RawRequest,
    received_at: Timestamp,
    remote: IpAddr,
    refusal: Refusal,
    is_proven: bool,
    /// Its part of the memory for what waits.
    part: OwnedSemaphorePermit,
}

/// What the task works with.
struct Keeper {
    store: Store,
    config: watch::Receiver<Arc<Config>>,
    hints: Arc<Hints>,
    metrics: Arc<Metrics>,
}

impl Quarantine {
    /// Starts the task.
    pub fn start(
        store: Store,
        config: watch::Receiver<Arc<Config>>,
        hints: Arc<Hints>,
        metrics: Arc<Metrics>,
    ) -> (Self, QuarantineTask) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let keeper = Keeper {
            store,
            config,
            hints,
            metrics: Arc::clone(&metrics),
        };
        let task = tokio::spawn(keeper.run(waiting, stop.clone()));
        let quarantine = Self {
            queue,
            memory: Arc::new(Semaphore::new(QUEUE_BYTES / GRAIN)),
            allowances: Arc::default(),
            metrics,
        };
        (quarantine, QuarantineTask { stop, task })
    }

    /// Takes a refused request, if it may be an event after all and there is room for it.
    pub(super) fn offer(&self, source: &Arc<Source>, id: EventId, refused: Refused) {
        let Refused { refusal, arrived } = refused;
        if !is_kept(&refusal) {
            return;
        }
        let name = source.config.name.as_str();
        let public_url = &source.config.public_url;
        let target = arrived.url.strip_prefix(public_url.as_str());
        let request = RawRequest {
            target: target.unwrap_or(&arrived.url).to_owned(),
            method: arrived.method,
            headers: arrived.headers,
            // Its part of the memory for bodies goes: others wait for that.
            body: arrived.body.bytes,
        };
        let bytes = weight(&request);
        // Of a source that checks nothing, nothing is proven.
        let is_proven = refusal.is_of_the_proven() && source.config.provider.proof.needs_secret();
        if !is_proven && !self.is_allowed(name, bytes, arrived.received_at) {
            return self.metrics.proofs.set_aside(name, SetAside::OverRate, 1);
        }
        let is_taken = self.part(bytes, is_proven).is_some_and(|part| {
            let waiting = Waiting {
                source: Arc::clone(source),
                id,
                request,
                received_at: arrived.received_at,
                remote: arrived.remote,
                refusal,
                is_proven,
                part,
            };
            self.queue.try_send(waiting).is_ok()
        });
        if !is_taken {
            self.metrics.proofs.set_aside(name, SetAside::QueueFull, 1);
        }
    }

    /// A part of the memory, if there is one left, and a place in the queue beside.
    fn part(&self, bytes: usize, is_proven: bool) -> Option<OwnedSemaphorePermit> {
        let grains = bytes / GRAIN + 1;
        let (places_kept, grains_kept) = match is_proven {
            true => (0, 0),
            false => (QUEUE / PROVEN_SHARE, QUEUE_BYTES / GRAIN / PROVEN_SHARE),
        };
        if self.queue.capacity() <= places_kept
            || self.memory.available_permits() < grains + grains_kept
        {
            return None;
        }
        let grains = u32::try_from(grains).ok()?;
        let memory = Arc::clone(&self.memory);
        memory.try_acquire_many_owned(grains).ok()
    }

    /// Whether the source has an allowance left, which this then uses. A large request
    /// uses more than there is, and those after it wait for it.
    fn is_allowed(&self, source: &str, bytes: usize, now: Timestamp) -> bool {
        let now_us = now.millis().saturating_mul(1000);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let cost_us = bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND;
        let mut allowances = self
            .allowances
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !allowances.contains_key(source) {
            allowances.insert(source.to_owned(), 0);
        }
        let Some(whole_us) = allowances.get_mut(source) else {
            return false;
        };
        if *whole_us >= now_us.saturating_add(BURST_US) {
            return false;
        }
        *whole_us = (*whole_us)
            .max(now_us)
            .saturating_add(cost_us.max(REQUEST_US));
        true
    }
}

/// Whether what is refused for this reason may be an event after all. What has no verdict
/// yet is sent again.
fn is_kept(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::NotGenuine(rejection) => rejection.is_verdict(),
        Refusal::InflatesTooLarge { .. } => true,
        refusal => refusal.is_of_the_proven(),
    }
}

impl QuarantineTask {
    /// Takes nothing more, and waits until what was taken is set aside.
    pub async fn end(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("the task that sets refused requests aside panicked");
        }
    }
}

impl Keeper {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>, stop: CancellationToken) {
        let mut left_over: Option<Waiting> = None;
        loop {
            let first = match left_over.take() {
                Some(first) => Some(first),
                None => tokio::select! {
                    biased;
                    one = waiting.recv() => one,
                    () = stop.cancelled() => {
                        waiting.close();
                        waiting.recv().await
                    }
                },
            };
            let Some(first) = first else { return };
            let began = Instant::now();
            let batch = fill(first, &mut waiting, &mut left_over);
            self.keep(batch).await;
            tokio::select! {
                () = tokio::time::sleep(began.elapsed().min(REST_MAX)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn keep(&self, batch: Vec<Waiting>) {
        let mut names: HashMap<String, u64> = HashMap::new();
        for one in &batch {
            *names.entry(one.source.config.name.to_string()).or_default() += 1;
        }
        let hints = Arc::clone(&self.hints);
        let made = tokio::task::spawn_blocking(move || {
            let mut parts = Vec::with_capacity(batch.len());
            let made = batch.into_iter().map(|one| {
                let new = one.row(&hints);
                parts.push(one.part);
                new
            });
            (made.collect::<Vec<_>>(), parts)
        });
        let Ok((made, parts)) = made.await else {
            return tracing::error!("refused requests cannot be set aside: the host is stopping");
        };
        let kept = self.store.quarantine(made, bounds(&self.config.borrow()));
        match kept.await {
            Ok(kept) => self.count(&names, &kept),
            Err(error) => {
                tracing::warn!(%error, "refused requests cannot be set aside now; they are dropped");
                for (name, count) in &names {
                    self.metrics
                        .proofs
                        .set_aside(name, SetAside::StoreAway, *count);
                }
            }
        }
        drop(parts);
    }

    fn count(&self, offered: &HashMap<String, u64>, kept: &HashMap<String, u64>) {
        for (name, offered) in offered {
            let kept = kept.get(name).copied().unwrap_or(0);
            let full = offered.saturating_sub(kept);
            self.metrics.proofs.set_aside(name, SetAside::Kept, kept);
            self.metrics.proofs.set_aside(name, SetAside::Full, full);
        }
    }
}

fn bounds(config: &Config) -> QuarantineBounds {
    let all = config.retention.quarantine_bytes();
    let source = all / SOURCE_SHARE;
    QuarantineBounds {
        all,
        source,
        for_proven: source / PROVEN_SHARE as u64,
    }
}

/// A batch of what waits by now, within its bounds.
fn fill(
    first: Waiting,
    waiting: &mut mpsc::Receiver<Waiting>,
    left_over: &mut Option<Waiting>,
) -> Vec<Waiting> {
    let mut bytes = weight(&first.request);
    let mut batch = vec![first];
    while batch.len() < BATCH {
        let Ok(one) = waiting.try_recv() else { break };
        bytes += weight(&one.request);
        if bytes > BATCH_BYTES {
            *left_over = Some(one);
            break;
        }
        batch.push(one);
    }
    batch
}

/// Bytes that a request holds in memory, about.
fn weight(request: &RawRequest) -> usize {
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| name.len() + value.len());
    headers.sum::<usize>() + request.target.len() + request.body.len()
}

impl Waiting {
    fn row(&self, hints: &Hints) -> NewQuarantined {
        let (source, raw) = (&self.source, &self.request);
        let url = format!("{}{}", source.config.public_url, raw.target);
        let request = Request {
            method: &raw.method,
            url: &url,
            headers: &raw.headers,
            body: &raw.body,
        };
        let about = QuarantinedRow {
            id: self.id,
            source: source.config.name.to_string(),
            received_at: self.received_at,
            code: self.refusal.code().to_owned(),
            message: self.refusal.to_string(),
            hint: hints.hint(source, &request, self.received_at, &self.refusal),
            remote_addr: Some(self.remote.to_string()),
            size_bytes: i64::try_from(raw.body.len()).unwrap_or(i64::MAX),
        };
        let new = NewQuarantined::new(about, raw);
        match self.is_proven {
            true => new.proven(),
            false => new,
        }
    }
}
