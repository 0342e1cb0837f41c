//! `hookbay send`: one sample event, signed and sent as its provider would.
//!
//! Whom it is for is [`recipient`]'s to say, what is in it [`delivery`]'s. It goes to the
//! public address like any webhook: the host cannot tell it from a real one.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;
use uuid::Uuid;

use super::client::{http_builder, root_cause};
use super::table::{facts, print};
use super::{CommandError, text};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::ingest::{delivery, sample};

pub(super) mod recipient;

use recipient::{Choice, Recipient};

/// As much of an answer as is read and shown; our own have under 200 bytes.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// How long the receiver may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Who seems to send, such as github, stripe or generic
    #[arg(value_name = "PROVIDER")]
    provider: String,
    /// What happened, such as pull_request for github [default: the provider's first sample]
    #[arg(value_name = "KIND")]
    kind: Option<String>,
    /// The configured source to send to [default: the first with this provider]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The address to send to [default: the source's on the configured host]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Send the bytes of this file instead of the sample
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Sign with the secret in this file instead of the configured one
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Print the sample's body and send nothing
    #[arg(long, conflicts_with_all = ["source", "to", "body", "secret_file"])]
    print: bool,
}

/// What goes out.
struct Delivery {
    /// None where nothing of the request tells it.
    kind: Option<String>,
    /// None where the provider has no header for it.
    id: Option<String>,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

pub(crate) async fn run(config_path: Option<&Path>, args: Args) -> Result<(), CommandError> {
    if args.print {
        let id = Uuid::new_v4().to_string();
        let sample = sample::filled(&args.provider, args.kind.as_deref(), &id, None)
            .map_err(CommandError::Failed)?;
        print(&String::from_utf8_lossy(&sample.body))?;
        return Ok(());
    }
    let config = Config::load(config_path)?;
    let choice = Choice {
        provider: &args.provider,
        source: args.source.as_deref(),
        to: args.to.as_deref(),
        secret: args
            .secret_file
            .as_deref()
            .map(recipient::read_secret)
            .transpose()?,
    };
    let recipient = choice.recipient(&config)?;
    let delivery = prepare(&recipient, &args, Clock::system().now())?;
    print(&facts(&[
        ("provider", Some(recipient.provider.name.clone())),
        ("kind", delivery.kind.clone()),
        ("delivery", delivery.id.clone()),
        ("size", Some(text::size(delivery.body.len() as u64))),
        ("to", Some(delivery.url.to_string())),
    ]))?;
    let (status, answer) = post(delivery).await?;
    print(&facts(&[
        ("answer", Some(status.to_string())),
        ("body", (!answer.is_empty()).then(|| answer.clone())),
    ]))?;
    if !status.is_success() {
        return Err(CommandError::Failed(refusal(status)));
    }
    if let Some(hint) = hint(&answer) {
        print(&format!("\n{}\n", text::harmless(&hint)))?;
    }
    Ok(())
}

/// One delivery, signed at `now`.
fn prepare(recipient: &Recipient, args: &Args, now: Timestamp) -> Result<Delivery, CommandError> {
    let own_body = match &args.body {
        Some(file) => Some(std::fs::read(file).map_err(|error| unreadable(file, &error))?),
        None => None,
    };
    let sender = delivery::Sender {
        provider: &recipient.provider,
        keys: &recipient.keys,
        url: recipient.url.as_str(),
        public_url: recipient.public_url.as_deref(),
    };
    let signed = delivery::prepare(&sender, args.kind.as_deref(), own_body, now)
        .map_err(CommandError::Failed)?;
    Ok(Delivery {
        kind: signed.kind,
        id: signed.id,
        url: signed.url.parse().unwrap_or(recipient.url.clone()),
        headers: header_map(signed.headers)?,
        body: signed.body,
    })
}

fn header_map(pairs: Vec<(String, String)>) -> Result<HeaderMap, CommandError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let (name, value) = header(&name, &value).ok_or_else(|| {
            CommandError::Failed(format!("header `{name}` cannot carry `{value}`"))
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// Sends, and returns the status and the beginning of what was answered.
async fn post(delivery: Delivery) -> Result<(StatusCode, String), CommandError> {
    let url = &delivery.url;
    let failed = |error: reqwest::Error| {
        let reason = if error.is_timeout() {
            "it took too long".to_owned()
        } else {
            root_cause(&error)
        };
        let hint = if error.is_connect() {
            "; is hookbay running there? `hookbay serve` starts a host"
        } else {
            ""
        };
        CommandError::Failed(format!("no answer from {url}: {reason}{hint}"))
    };
    let http = http_builder(url)
        .timeout(ANSWER_TIMEOUT)
        .build()
        .map_err(|error| {
            let reason = root_cause(&error);
            CommandError::Failed(format!("cannot make an HTTP client: {reason}"))
        })?;
    let request = http
        .post(url.clone())
        .headers(delivery.headers)
        .body(delivery.body);
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let answer = beginning(response).await.map_err(failed)?;
    Ok((status, answer))
}

async fn beginning(mut response: Response) -> Result<String, reqwest::Error> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MAX {
        let Some(chunk) = response.chunk().await? else {
            break;
        };
        answer.extend_from_slice(&chunk);
    }
    answer.truncate(ANSWER_BYTES_MAX);
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

fn refusal(status: StatusCode) -> String {
    let mut reason = format!("the event was not taken: {status}");
    let hint = match status {
        StatusCode::UNAUTHORIZED => Some("the receiver has another secret"),
        StatusCode::NOT_FOUND => Some("the receiver has no such source"),
        _ => None,
    };
    if let Some(hint) = hint {
        write!(reason, "; {hint}").expect("a String takes every write");
    }
    reason
}

/// What to do next with an answer of ours.
fn hint(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let id = answer.get("event_id")?.as_str()?;
    Some(format!("next: hookbay events show {id}"))
}

fn unreadable(file: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests;
