//! The bounds of one attempt that are the same for every plugin, and what it
//! means to reach one.

use std::time::Duration;

use crate::run::Outcome;

/// Longest summary, in bytes.
pub const SUMMARY_MAX: usize = 4 << 10;
/// Longest `data` of a success, in bytes.
pub const DATA_MAX: usize = 256 << 10;
/// Most lines an attempt may log, stdout and stderr included.
pub const LOG_LINES_MAX: usize = 1000;
/// Most bytes an attempt may log, stdout and stderr included.
pub const LOG_BYTES_MAX: usize = 128 << 10;
/// What a field of the log weighs besides its text.
pub const LOG_LINE_WEIGHT: usize = 64;
/// Most calls of host functions.
pub const CALLS_MAX: u32 = 10_000;
/// Most resources that a guest may hold open.
pub const HANDLES_MAX: u32 = 1000;
/// Most elements of one table.
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Longest key, in bytes.
pub const KV_KEY_MAX: usize = 512;
/// Longest value, in bytes.
pub const KV_VALUE_MAX: usize = 256 << 10;
/// Most bytes of keys and values that an attempt may write.
pub const KV_BYTES_MAX: usize = 4 << 20;
/// Most bytes of keys and values that an attempt may read.
pub const KV_READ_BYTES_MAX: usize = 8 << 20;
/// What a key that was listed weighs besides its text: it is compared at commit.
pub const KV_KEY_WEIGHT: usize = 64;
/// Most calls of `kv.list`: each is looked at again when the run commits.
pub const KV_LISTS_MAX: u32 = 100;
/// Most keys that one `list` returns.
pub const KV_LIST_MAX: u32 = 1000;
/// Most requests that an attempt may send.
pub const FETCHES_MAX: u32 = 50;
/// Most events that an attempt may emit.
pub const EMITS_MAX: u32 = 100;
/// Longest body of an emitted event, in bytes.
pub const EMIT_BODY_MAX: usize = 1 << 20;
/// Most bytes of bodies that an attempt may emit.
pub const EMIT_BYTES_MAX: usize = 4 << 20;
/// Longest kind of an emitted event, in bytes.
pub const EMIT_KIND_MAX: usize = 200;
/// How long a chain of events may be that follow from one another; the webhook that
/// came from outside is at depth 0.
pub const DEPTH_MAX: u32 = 8;
/// Most looks at a clock, which are recorded each.
pub const READINGS_MAX: u32 = 100_000;
/// Most bytes of calls and answers that a journal keeps.
pub const JOURNAL_BYTES_MAX: usize = 16 << 20;
/// Longest text of a journal, in bytes: what is kept of it.
pub const JOURNAL_TEXT_MAX: usize = 32 << 20;
/// Most bytes that one call may move from the guest to the host.
pub const CALL_BYTES_MAX: usize = 4 << 20;
/// Longest body of a request that goes out, in bytes.
pub const HTTP_REQUEST_BODY_MAX: usize = 1 << 20;
/// Longest body of an answer, in bytes.
pub const HTTP_RESPONSE_BODY_MAX: usize = 1 << 20;
/// Most headers of a request that goes out, and of an answer.
pub const HTTP_HEADERS_MAX: usize = 100;
/// Most bytes of a request's headers, and of an answer's head.
pub const HTTP_HEADER_BYTES_MAX: usize = 64 << 10;
/// Longest path of a request that goes out, query included, in bytes.
pub const HTTP_PATH_MAX: usize = 8 << 10;
/// Most bytes of `wasi:http` that are open at once: what is written of requests, what is not
/// read of answers, and headers.
pub const HTTP_KEPT_BYTES_MAX: usize = 8 << 20;
/// What a header weighs there besides its text.
pub const HTTP_KEPT_HEADER_WEIGHT: usize = 48;
/// Longest method, scheme and authority of a request of `wasi:http`, in bytes.
pub const HTTP_WORD_MAX: usize = 300;
/// How long a sender may be kept waiting by a verifier.
pub const VERIFIER_WALL_MAX: Duration = Duration::from_secs(1);
/// Instructions that a verifier has for each millisecond of its plugin's CPU limit: a
/// verdict must not depend on how busy the machine is.
pub const VERIFIER_FUEL_PER_MS: u64 = 1_000_000;
/// Requests that one verifier looks at at once; more wait.
pub const VERIFIER_TURNS: usize = 8;
/// Requests that all verifiers of a host look at at once.
pub const VERIFIERS_MAX: u32 = 32;
/// How long a request waits for its turn before its sender is asked to come again.
pub const VERIFIER_PATIENCE: Duration = Duration::from_millis(500);
/// Bytes that a verifier may have the host compute over, beside eight times the body.
pub const ORACLE_BYTES_MIN: usize = 4 << 20;
/// What a call of the oracle weighs besides its bytes.
pub const ORACLE_CALL_WEIGHT: usize = 1 << 10;
/// What checking a public key's signature weighs: as much as hashing so many bytes.
pub const ORACLE_SIGNATURE_WEIGHT: usize = 64 << 10;
/// Longest reason of a rejection, in bytes; more is cut.
pub const REJECTION_DETAIL_MAX: usize = 500;

/// A bound that was reached: the attempt ends with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Exceeded {
    /// What it counts as.
    pub outcome: Outcome,
    /// Which bound, and its value.
    pub message: String,
}

impl Exceeded {
    /// Something written is too long or too much.
    pub fn output(what: &str, limit: usize) -> Self {
        Self {
            outcome: Outcome::Output,
            message: format!("{what} is over its limit of {limit}"),
        }
    }

    /// Too many calls.
    pub fn calls(what: &str, limit: u32) -> Self {
        Self {
            outcome: Outcome::Calls,
            message: format!("more than {limit} {what}"),
        }
    }
}
