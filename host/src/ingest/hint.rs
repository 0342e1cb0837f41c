//! What has probably happened to a request that was refused, for its operator: the diagnosis
//! of `hookbay verify`. Slow beside the door; nobody waits for it there.

use std::sync::OnceLock;

use crate::clock::Timestamp;
use crate::config::provider;

use super::refusal::Refusal;
use super::scheme::Provider;
use super::source::Source;
use super::verify::diagnosis::{Case, explain};
use super::verify::{Rejection, Request};

/// Largest body that is looked at: each accident is tried on all of it.
const BODY_BYTES_MAX: usize = 1 << 20;
const NOT_JSON: &str = "the provider's bodies are JSON: this one was cut or encoded anew on the way, or it \
                        has another content type, which the sender's settings say";
const NOT_AS_AGREED: &str = "the sender's bodies have changed, or `schema` is stricter than they are: once the \
                             file is corrected, release it";
const NOT_GZIP: &str = "`Content-Encoding` says gzip: the body was cut on the way, or something on the way \
                        inflated it and left the header";
const TOO_LARGE: &str = "a body that is mostly repetition, or an attack; if it is the sender's, `max_body` says how \
                         large it may become, and a request that nobody has proven never becomes more than 1 MiB or \
                         64 times what was sent";
const TOO_MANY: &str =
    "the sender can be told to send smaller batches; forced, it is released as one event";

/// Knows the other providers that there are.
#[derive(Default)]
pub struct Hints {
    siblings: OnceLock<Vec<Provider>>,
}

impl Hints {
    /// What has probably happened; none where that cannot be told.
    pub(super) fn hint(
        &self,
        source: &Source,
        request: &Request<'_>,
        received_at: Timestamp,
        refusal: &Refusal,
    ) -> Option<String> {
        match refusal {
            // What a plugin found is its own words.
            Refusal::NotGenuine(Rejection::ByVerifier { .. }) => None,
            Refusal::NotGenuine(rejection) if request.body.len() <= BODY_BYTES_MAX => {
                let siblings = self
                    .siblings
                    .get_or_init(|| provider::names().filter_map(provider::named).collect());
                let case = Case {
                    provider: &source.config.provider,
                    credentials: &source.config.secrets,
                    request,
                    now: received_at,
                };
                Some(explain(&case, rejection, siblings))
            }
            Refusal::NotJson(_) => Some(NOT_JSON.to_owned()),
            Refusal::SchemaMismatch(_) => Some(NOT_AS_AGREED.to_owned()),
            Refusal::NotGzip(_) => Some(NOT_GZIP.to_owned()),
            Refusal::InflatesTooLarge { .. } => Some(TOO_LARGE.to_owned()),
            Refusal::TooManyItems { .. } => Some(TOO_MANY.to_owned()),
            _ => None,
        }
    }
}
