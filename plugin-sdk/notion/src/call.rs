//! One request to Notion, and which failure its refusal is.

use std::time::Duration;

use hookbay_plugin::Failure;
use hookbay_plugin::http::{Request, Response};
use serde_json::Value as Json;

use crate::TOKEN;

const VERSION: &str = "2025-09-03";

/// When to try again after a request that may have made a page.
const IN_DOUBT: Duration = Duration::from_secs(10);

/// A request that Notion did not carry out, or may not have.
pub(crate) struct Refusal {
    /// None where there was no answer.
    pub(crate) status: Option<u16>,
    pub(crate) failure: Failure,
}

/// Sends a request; any status but success is a refusal, in Notion's words.
pub(crate) fn ask(request: Request) -> Result<Response, Refusal> {
    let request = request.bearer(TOKEN).header("Notion-Version", VERSION);
    let answer = request.send().map_err(|error| Refusal {
        status: None,
        failure: error.into(),
    })?;
    if answer.is_success() {
        return Ok(answer);
    }
    let (status, error) = (answer.status, answer.json::<Json>().unwrap_or_default());
    answer.error_for_status().map_err(|failure| Refusal {
        status: Some(status),
        failure: match (error["code"].as_str(), error["message"].as_str()) {
            (Some(code), Some(message)) => {
                reworded(failure, format!("Notion: {message} ({status} {code})"))
            }
            _ => failure,
        },
    })
}

/// The same failure for another reason.
fn reworded(failure: Failure, reason: String) -> Failure {
    match failure {
        Failure::Retry { after, .. } => Failure::Retry { reason, after },
        Failure::Permanent { .. } => Failure::Permanent { reason },
    }
}

impl Refusal {
    /// Whether it may have been carried out all the same.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }

    /// A failure that is not tried again before a search sees what was done.
    pub(crate) fn later(self) -> Failure {
        match self.failure {
            Failure::Retry { reason, after } => in_doubt(&reason, after.unwrap_or_default()),
            failure @ Failure::Permanent { .. } => failure,
        }
    }
}

/// A failure of a request that may have made a page: not tried again before a search sees it.
pub(crate) fn in_doubt(reason: &str, after: Duration) -> Failure {
    Failure::Retry {
        reason: format!("{reason}; the page may have been made"),
        after: Some(after.max(IN_DOUBT)),
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure
    }
}
