//! What a guest may call: every import passes [`Gate`], the one place where calls are
//! counted, limited, recorded, and answered from the world or from a recording.
//!
//! `bridge` and `wasi` only carry arguments and answers across; what answers from
//! outside is [`Outside`].

use std::time::{Duration, Instant};

use crate::clock::{Clock, Timestamp};
use crate::kv::KvEffects;
use crate::run::{LogLevel, LogLine};

use super::egress::Fetch;
use super::journal::{Divergence, Journal, Recorder};
use super::limits::{
    CALLS_MAX, DEPTH_MAX, EMIT_BODY_MAX, EMIT_BYTES_MAX, EMIT_KIND_MAX, EMITS_MAX, Exceeded,
    FETCHES_MAX, READINGS_MAX,
};
use super::log::Log;

pub(super) mod call;
mod kv;
mod outside;

pub use outside::{Grants, Seen, StateReader};
pub(super) use outside::{Outside, World};

use call::{Blob, Call, Refusal, Reply};
use kv::{Look, View};

/// A follow-up event that an attempt emits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Its kind.
    pub kind: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// The choke point of one attempt.
pub(super) struct Gate {
    /// None where there is nothing to call: in `describe`, and around verifiers.
    outside: Option<Outside>,
    /// Where the clocks stand still then.
    still_ns: u64,
    clock: Clock,
    log: Log,
    recorder: Option<Recorder>,
    n_calls: u32,
    n_fetches: u32,
    n_readings: u32,
    view: View,
    emitted: Vec<Emitted>,
    emitted_bytes: usize,
    egress_bytes: usize,
    calling: Duration,
    /// When the call that is under way began.
    since: Instant,
}

/// What is left of an attempt at the choke point.
#[derive(Default)]
pub(super) struct Passed {
    /// What it read and wrote.
    pub(super) effects: KvEffects,
    /// What it emitted.
    pub(super) emitted: Vec<Emitted>,
    /// Bytes that it sent and received.
    pub(super) egress_bytes: usize,
    /// Time that it spent in calls of the host.
    pub(super) calling: Duration,
    /// The recording of it.
    pub(super) journal: Option<Journal>,
    /// Where it left the recording that it was played from.
    pub(super) divergence: Option<Divergence>,
}

impl Gate {
    pub(super) fn new(
        outside: Option<Outside>,
        clock: Clock,
        log: Log,
        recorder: Option<Recorder>,
    ) -> Self {
        Self {
            outside,
            still_ns: 0,
            clock,
            log,
            recorder,
            n_calls: 0,
            n_fetches: 0,
            n_readings: 0,
            view: View::default(),
            emitted: Vec::new(),
            emitted_bytes: 0,
            egress_bytes: 0,
            calling: Duration::ZERO,
            since: Instant::now(),
        }
    }

    /// A choke point with nothing behind it, and a clock that stands still.
    pub(super) fn still(at: Timestamp, clock: Clock, log: Log) -> Self {
        let ms = u64::try_from(at.millis()).unwrap_or(0);
        Self {
            still_ns: ms.saturating_mul(1_000_000),
            ..Self::new(None, clock, log, None)
        }
    }

    pub(super) fn into_passed(self) -> Passed {
        Passed {
            effects: self.view.into_effects(),
            emitted: self.emitted,
            egress_bytes: self.egress_bytes,
            calling: self.calling,
            journal: self.recorder.map(Recorder::into_journal),
            divergence: match self.outside {
                Some(Outside::Recording(recording)) => recording.into_divergence(),
                Some(Outside::World(_)) | None => None,
            },
        }
    }

    /// Answers one call, or ends the attempt.
    ///
    /// # Errors
    /// A trap: [`Exceeded`], a call from `describe`, or one that was not recorded.
    pub(super) async fn pass(&mut self, call: Call) -> wasmtime::Result<Reply> {
        self.begin(&call)?;
        let answered = self.answer(call).await;
        let ended = match &answered {
            Ok(reply) => self.end(reply),
            Err(exceeded) => self.end(&Reply::Ended(exceeded.message.clone())),
        };
        ended?;
        Ok(answered?)
    }

    /// Lets a call begin; whoever answers it says with what, to [`Gate::end`].
    ///
    /// # Errors
    /// As [`Gate::pass`].
    pub(super) fn begin(&mut self, call: &Call) -> wasmtime::Result<()> {
        let Some(outside) = &mut self.outside else {
            if call.is_wasi() {
                return Ok(());
            }
            let message = format!("`describe` may call nothing, but called {}", call.name());
            return Err(wasmtime::Error::msg(message));
        };
        self.n_calls += 1;
        if self.n_calls > CALLS_MAX {
            return Err(Exceeded::calls("calls of host functions", CALLS_MAX).into());
        }
        self.since = Instant::now();
        if let Outside::Recording(recording) = outside {
            recording.begin(call)?;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(call);
        }
        Ok(())
    }

    /// Notes what a call answers.
    ///
    /// # Errors
    /// The recording that is played answers otherwise.
    pub(super) fn end(&mut self, reply: &Reply) -> wasmtime::Result<()> {
        self.calling += self.since.elapsed();
        if let Some(recorder) = &mut self.recorder {
            recorder.end(reply);
        }
        if let Some(Outside::Recording(recording)) = &mut self.outside {
            recording.end(reply)?;
        }
        Ok(())
    }

    /// What the recording answers the call that is under way, if one is played.
    pub(super) fn recorded(&self) -> Option<Reply> {
        match &self.outside {
            Some(Outside::Recording(recording)) => recording.answer().cloned(),
            Some(Outside::World(_)) | None => None,
        }
    }

    /// Nanoseconds since 1970, to the millisecond.
    ///
    /// # Errors
    /// A look too many, or one that was not recorded.
    pub(super) fn wall_ns(&mut self) -> wasmtime::Result<u64> {
        self.read_clock(Outside::wall_ns, Recorder::wall_ns)
    }

    /// Nanoseconds since the attempt began.
    ///
    /// # Errors
    /// A look too many, or one that was not recorded.
    pub(super) fn monotonic_ns(&mut self) -> wasmtime::Result<u64> {
        self.read_clock(Outside::monotonic_ns, Recorder::monotonic_ns)
    }

    fn read_clock(
        &mut self,
        look: impl FnOnce(&mut Outside) -> Option<u64>,
        note: impl FnOnce(&mut Recorder, u64),
    ) -> wasmtime::Result<u64> {
        let Some(outside) = &mut self.outside else {
            return Ok(self.still_ns);
        };
        self.n_readings += 1;
        if self.n_readings > READINGS_MAX {
            return Err(Exceeded::calls("looks at a clock", READINGS_MAX).into());
        }
        let reading = look(outside).ok_or(super::journal::Diverged)?;
        if let Some(recorder) = &mut self.recorder {
            note(recorder, reading);
        }
        Ok(reading)
    }

    async fn answer(&mut self, call: Call) -> Result<Reply, Exceeded> {
        let Some(outside) = &self.outside else {
            return Ok(Reply::Done);
        };
        match call {
            Call::Log {
                level,
                message,
                fields,
            } => self.write_log(level, message, fields),
            Call::ConfigGet { key } => Ok(Reply::Text(outside.config(&key))),
            Call::KvGet { key } => self.kv_get(key).await,
            Call::KvSet { key, value } => self.view.set(key, value.0),
            Call::KvDelete { key } => self.view.delete(key),
            Call::KvList { prefix, limit } => self.kv_list(prefix, limit).await,
            Call::KvIncrement { key, by } => self.view.increment(key, by),
            Call::Fetch(fetch) => self.fetch(fetch).await,
            Call::Hmac {
                secret,
                key_encoding,
                message,
            } => Ok(match outside.hmac(&secret, key_encoding, &message.0) {
                Ok(signature) => Reply::Bytes(Blob(signature)),
                Err(refusal) => Reply::Refused(refusal),
            }),
            Call::Emit { kind, body } => self.emit(kind, body.0),
            // Answered where the pollables are.
            Call::Poll { .. } | Call::Ready | Call::Block => Ok(Reply::Done),
        }
    }

    fn write_log(
        &mut self,
        level: LogLevel,
        mut message: String,
        mut fields: Vec<(String, String)>,
    ) -> Result<Reply, Exceeded> {
        if let Some(outside) = &self.outside {
            outside.scrub(&mut message);
            for (name, value) in &mut fields {
                outside.scrub(name);
                outside.scrub(value);
            }
        }
        let at: Timestamp = self.clock.now();
        self.log.write(LogLine {
            at,
            level,
            message,
            fields,
        })?;
        Ok(Reply::Done)
    }

    async fn kv_get(&mut self, key: String) -> Result<Reply, Exceeded> {
        if let Look::Known(reply) = self.view.look(&key) {
            return Ok(reply);
        }
        let Some(outside) = &self.outside else {
            return Ok(Reply::Done);
        };
        match outside.kv_get(&key).await {
            Ok(found) => {
                let committed = found.as_ref().map(|(value, _)| Blob(value.clone()));
                let reply = self.view.saw(key, found)?;
                self.note_committed(Reply::Value(committed), &reply);
                Ok(reply)
            }
            Err(refusal) => Ok(Reply::Refused(refusal)),
        }
    }

    async fn kv_list(&mut self, prefix: String, limit: u32) -> Result<Reply, Exceeded> {
        let wanted = match self.view.list(&prefix, limit)? {
            Ok(wanted) => wanted,
            Err(refused) => return Ok(refused),
        };
        let Some(outside) = &self.outside else {
            return Ok(Reply::Done);
        };
        match outside.kv_list(&prefix, wanted).await {
            Ok(keys) => {
                let committed = Reply::Keys(keys.clone());
                let reply = self.view.listed(prefix, limit, wanted, keys)?;
                self.note_committed(committed, &reply);
                Ok(reply)
            }
            Err(refusal) => Ok(Reply::Refused(refusal)),
        }
    }

    /// Records what the store had, where the attempt's own writes hide it.
    fn note_committed(&mut self, committed: Reply, reply: &Reply) {
        if let Some(recorder) = &mut self.recorder
            && committed != *reply
        {
            recorder.committed(committed);
        }
    }

    async fn fetch(&mut self, fetch: Fetch) -> Result<Reply, Exceeded> {
        self.n_fetches += 1;
        if self.n_fetches > FETCHES_MAX {
            return Err(Exceeded::calls("requests", FETCHES_MAX));
        }
        let Some(outside) = &self.outside else {
            return Ok(Reply::Done);
        };
        let fetched = outside.fetch(&fetch).await;
        if !matches!(fetched, Err(ref error) if !error.was_sent()) {
            self.egress_bytes += fetch.weight();
        }
        Ok(match fetched {
            Ok(fetched) => {
                self.egress_bytes += fetched.weight();
                Reply::Fetched(fetched)
            }
            Err(error) => Reply::Failed(error),
        })
    }

    fn emit(&mut self, kind: String, body: Vec<u8>) -> Result<Reply, Exceeded> {
        let depth = self.outside.as_ref().map_or(0, Outside::depth);
        if !is_kind(&kind) {
            let problem = format!(
                "`{}` is no kind: 1 to {EMIT_KIND_MAX} of letters, digits, `_` and `-`, in segments between dots",
                kind.escape_debug()
            );
            return Ok(Reply::Refused(Refusal::Invalid(problem)));
        }
        if depth >= DEPTH_MAX {
            let problem = format!("{DEPTH_MAX} events led here one by one, which is the most");
            return Ok(Reply::Refused(Refusal::TooDeep(problem)));
        }
        if self.emitted.len() >= EMITS_MAX as usize {
            return Err(Exceeded::calls("emitted events", EMITS_MAX));
        }
        if body.len() > EMIT_BODY_MAX {
            return Err(Exceeded::output(
                &format!("the body of an emitted `{kind}` ({} bytes)", body.len()),
                EMIT_BODY_MAX,
            ));
        }
        self.emitted_bytes += body.len();
        if self.emitted_bytes > EMIT_BYTES_MAX {
            return Err(Exceeded::output(
                "what the attempt emits, in bytes,",
                EMIT_BYTES_MAX,
            ));
        }
        self.emitted.push(Emitted { kind, body });
        Ok(Reply::Done)
    }
}

/// Segments of letters, digits, `_` and `-`, parted by dots.
fn is_kind(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    kind.len() <= EMIT_KIND_MAX
        && kind
            .split('.')
            .all(|segment| !segment.is_empty() && segment.bytes().all(plain))
}
