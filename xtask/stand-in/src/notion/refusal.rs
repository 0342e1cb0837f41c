//! Notion's errors (<https://developers.notion.com/reference/status-codes>).

use serde_json::json;

use super::VERSION;
use crate::http::Answer;

/// The error of a status, as Notion words it where no request is to blame.
pub(super) fn of_status(status: u16) -> Answer {
    let (code, message) = match status {
        400 => ("validation_error", "body failed validation."),
        401 => ("unauthorized", "API token is invalid."),
        403 => (
            "restricted_resource",
            "Insufficient permissions for this endpoint.",
        ),
        404 => ("object_not_found", "Could not find the object."),
        409 => (
            "conflict_error",
            "Conflict occurred while saving. Please try again.",
        ),
        429 => (
            "rate_limited",
            "You have been rate limited. Please try again in a few minutes.",
        ),
        502 => ("bad_gateway", "Bad gateway."),
        503 => ("service_unavailable", "Notion is currently unavailable."),
        504 => ("gateway_timeout", "Gateway timeout."),
        _ => ("internal_server_error", "Unexpected error occurred."),
    };
    refuse(status, code, message)
}

/// An error.
pub(super) fn refuse(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "object": "error",
        "status": status,
        "code": code,
        "message": message,
        "request_id": "5aca1e00-d00d-4000-8000-0000000e4404",
    });
    Answer::json(status, &body).with_note(message)
}

/// What is asked is not as it has to be.
pub(super) fn invalid(message: &str) -> Answer {
    refuse(400, "validation_error", message)
}

/// There is no such thing, or the integration may not see it.
pub(super) fn not_found(what: &str, id: &str) -> Answer {
    let message = format!(
        "Could not find {what} with ID: {id}. Make sure the relevant pages and databases are \
         shared with your integration."
    );
    refuse(404, "object_not_found", &message)
}

/// Refuses a request that does not say which version it wants, or another than ours.
pub(super) fn check_version(given: Option<&str>) -> Result<(), Answer> {
    match given {
        Some(VERSION) => Ok(()),
        Some(other) => Err(invalid(&format!(
            "Notion-Version header failed validation: Notion-Version header should be \
             `\"{VERSION}\"`, instead was `\"{other}\"`."
        ))),
        None => Err(refuse(
            400,
            "missing_version",
            "Notion-Version header failed validation: Notion-Version header should be defined, \
             instead was `undefined`.",
        )),
    }
}
