//! Relays events to an HTTP address, signed by Standard Webhooks.
//!
//! The body goes out as it came, with its content type. The receiver needs to know one way of
//! signing, whoever sent the webhook, and any library for
//! [Standard Webhooks](https://www.standardwebhooks.com) checks it: `webhook-id` is the
//! event's id, the same however often it is sent, so that a receiver that remembers ids acts
//! once; the signature is made by the host, with a secret that this plugin never sees.
//!
//! It has no triggers of its own: the operator says which events go where, with a
//! `[plugins.NAME]` for each address, all with `file = "forward.wasm"`.

use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookbay_plugin::crypto::{self, KeyEncoding};
use hookbay_plugin::http::{self, Request};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, clock, config, manifest};

struct Forward;

hookbay_plugin::export!(Forward);

const TARGET: &str = "target";
const SECRET: &str = "FORWARD_SECRET";

impl Plugin for Forward {
    fn manifest() -> Manifest {
        manifest!()
            .custom_endpoint(TARGET, "the server that events are relayed to")
            .secret(
                SECRET,
                "`whsec_` and base64 of 24 to 64 bytes, which the receiver has too",
            )
            .reads_config("path", "where on the server, `/` without it")
            .reads_config(
                "retry_4xx",
                "`true`: the receiver's refusals are tried again too",
            )
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let path = config::get("path").unwrap_or("/".to_owned());
        let request = http::post(TARGET, &path).body(event.body.clone());
        let answer = signed(described(request, event, run), event)?.send()?;
        let status = answer.status;
        if answer.is_success() {
            return Ok(Success::new(format!("{} relayed: {status}", event.kind)));
        }
        let refused = answer.error_for_status().err();
        let failure = refused.unwrap_or_else(|| Failure::permanent("no answer"));
        Err(match status {
            410 => Failure::permanent(format!(
                "{failure}. The receiver is gone for good and wants no more: take this plugin's \
                 trigger away, or pause it"
            )),
            400..=499 if config::get("retry_4xx").is_some_and(|set| set == "true") => {
                worth_a_retry(failure)
            }
            _ => failure,
        })
    }
}

/// Adds what the receiver may want to know of the event.
fn described(request: Request, event: &Event, run: &Run) -> Request {
    let request = request
        .header("hookbay-event-id", &event.id)
        .header("hookbay-source", &event.source)
        .header("hookbay-kind", &event.kind)
        .header("hookbay-attempt", run.attempt.to_string());
    match &event.content_type {
        Some(content_type) => request.header("content-type", content_type),
        None => request,
    }
}

/// Adds the three headers of Standard Webhooks, for now and this body.
fn signed(request: Request, event: &Event) -> Result<Request, Failure> {
    let since_1970 = clock::now().duration_since(UNIX_EPOCH);
    let timestamp = since_1970.map_err(Failure::permanent)?.as_secs();
    let mut message = format!("{}.{timestamp}.", event.id).into_bytes();
    message.extend_from_slice(&event.body);
    let signature = crypto::hmac_sha256(SECRET, KeyEncoding::Whsec, &message)?;
    Ok(request
        .header("webhook-id", &event.id)
        .header("webhook-timestamp", timestamp.to_string())
        .header(
            "webhook-signature",
            format!("v1,{}", STANDARD.encode(signature)),
        ))
}

fn worth_a_retry(failure: Failure) -> Failure {
    match failure {
        Failure::Permanent { reason } => Failure::retry(reason),
        retry @ Failure::Retry { .. } => retry,
    }
}

#[cfg(test)]
mod tests;
