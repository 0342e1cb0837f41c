//! `hookbay listen`: a remote Hookbay's events, sent on to a local address one by one.
//!
//! An event is done with when the local address answers 2xx; until then it is sent again.
//! Its place is then noted before anything else happens, so that a broken connection, or
//! the end of this process, leaves nothing out and repeats nothing that was acknowledged.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::client::{AdminArgs, AdminClient, ClientError, http_builder, http_url, root_cause};
use super::table::{Reader, print};
use super::{CommandError, complain, text};

mod cursor;
mod messages;
mod stop;

use cursor::Cursor;
use messages::{Message, Messages};
use stop::Stop;

/// The host says something at least every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Between tries: first, and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Headers that belong to one connection, or that the next request has of its own.
const NOT_SENT_ON: [&str; 10] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-authorization",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to send events, such as http://localhost:3000/hooks
    #[arg(long, value_name = "URL")]
    to: String,
    /// Only from this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only of this kind; `*` is one segment, `**` the rest
    #[arg(long, value_name = "PATTERN")]
    kind: Option<String>,
    /// The file that says where to go on [default: one of its own in the user's state folder]
    #[arg(long, value_name = "FILE")]
    cursor: Option<PathBuf>,
    /// Go on behind an event that the address refuses, instead of sending it until it is taken
    #[arg(long)]
    skip_refused: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Who sends events on.
struct Listener {
    client: AdminClient,
    local: reqwest::Client,
    to: Url,
    args: Args,
    cursor: Cursor,
    /// Events that were left out, since they are damaged.
    n_damaged: u64,
    /// The event that waits for its key, of which that was said.
    awaited: Option<String>,
    stop: Stop,
}

/// Why a stream ended.
enum Ended {
    /// It is to be asked for again.
    Broken(String),
    /// It makes no sense to go on.
    Fatal(CommandError),
    /// The user wants no more.
    Stopped,
}

/// What is needed of an event.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    source: String,
    kind: String,
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

pub(crate) async fn run(config_path: Option<&Path>, args: Args) -> Result<(), CommandError> {
    let to = http_url(&args.to).ok_or_else(|| {
        CommandError::Usage(format!("`{}` is not of the form http://host/path", args.to))
    })?;
    let client = AdminClient::new(config_path, &args.admin)?;
    let path = cursor_file(&args, client.base())?;
    let cursor = Cursor::open(&path).map_err(|error| unusable(&path, &error))?;
    let local = http_builder(&to).build().map_err(|error| {
        CommandError::Failed(format!("cannot speak HTTP: {}", root_cause(&error)))
    })?;
    let from = match cursor.position() {
        Some(position) => format!("from {position} on"),
        None => "from now on".to_owned(),
    };
    complain(&format!(
        "events of {} go to {to}, {from} (noted in {})",
        client.base(),
        path.display()
    ));
    let listener = Listener {
        client,
        local,
        to,
        args,
        cursor,
        n_damaged: 0,
        awaited: None,
        stop: Stop::on_ctrl_c(),
    };
    listener.listen().await
}

/// One file for each stream and address, so that several go on by themselves.
fn cursor_file(args: &Args, base: &Url) -> Result<PathBuf, CommandError> {
    if let Some(file) = &args.cursor {
        return Ok(file.clone());
    }
    let folder = crate::config::state_dir().ok_or_else(|| {
        CommandError::Usage("there is no HOME to keep the place in; pass --cursor FILE".to_owned())
    })?;
    let stream = json!([base.as_str(), args.to, args.source, args.kind]).to_string();
    let name = hex::encode(&Sha256::digest(stream)[..8]);
    Ok(folder.join(format!("listen-{name}.cursor")))
}

fn unusable(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("cannot use `{}`: {error}", path.display()))
}

impl Listener {
    /// Follows the stream, again and again.
    async fn listen(mut self) -> Result<(), CommandError> {
        let mut pause = AGAIN_FIRST;
        loop {
            let began = self.cursor.position().map(str::to_owned);
            match self.follow().await {
                Ended::Stopped => return self.verdict(),
                Ended::Fatal(error) => return Err(error),
                Ended::Broken(why) => complain(&format!(
                    "the stream broke ({}); going on from where it was",
                    text::harmless(&why)
                )),
            }
            if self.cursor.position() != began.as_deref() {
                pause = AGAIN_FIRST;
            }
            if !self.waited(&mut pause).await {
                return self.verdict();
            }
        }
    }

    /// What is to be said at the end.
    fn verdict(&self) -> Result<(), CommandError> {
        match self.n_damaged {
            0 => Ok(()),
            n => Err(CommandError::Failed(format!(
                "{n} of the events could not be read by the host and were left out"
            ))),
        }
    }

    /// Waits before the next try, longer each time; false if the user wants no more.
    async fn waited(&self, pause: &mut Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = self.stop.soon() => return false,
        }
        *pause = (*pause * 2).min(AGAIN_MAX);
        true
    }

    /// Follows one connection to its end.
    async fn follow(&mut self) -> Ended {
        let parameters = [
            ("source", self.args.source.as_deref()),
            ("kind", self.args.kind.as_deref()),
        ];
        let opened = self
            .client
            .open_stream(&["stream"], &parameters, self.cursor.position());
        let opened = tokio::select! {
            opened = opened => opened,
            () = self.stop.soon() => return Ended::Stopped,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return ended(error),
        };
        let mut messages = Messages::default();
        loop {
            while let Some(message) = messages.next() {
                if let Err(ended) = self.heard(message).await {
                    return ended;
                }
                if self.stop.is_wanted() {
                    return Ended::Stopped;
                }
            }
            let piece = tokio::select! {
                piece = tokio::time::timeout(SILENCE_MAX, self.client.next_chunk(&mut stream)) => piece,
                () = self.stop.soon() => return Ended::Stopped,
            };
            match piece {
                Ok(Ok(Some(piece))) if messages.take(piece.as_ref()) => {}
                Ok(Ok(Some(_))) => return Ended::Broken("it says what has no end".to_owned()),
                Ok(Ok(None)) => return Ended::Broken("the host ended it".to_owned()),
                Ok(Err(error)) => return Ended::Broken(error.to_string()),
                Err(_) => return Ended::Broken("nothing came for long".to_owned()),
            }
        }
    }

    async fn heard(&mut self, message: Message) -> Result<(), Ended> {
        if message.name == "event" {
            let named: Named = serde_json::from_str(&message.data)
                .map_err(|error| Ended::Broken(format!("an event is not JSON: {error}")))?;
            self.send_on(&named.id).await?;
        }
        let Some(position) = message.id else {
            return Ok(());
        };
        self.cursor.advance(position).map_err(|error| {
            // To go on would be to repeat.
            Ended::Fatal(CommandError::Failed(format!(
                "the place cannot be noted: {error}"
            )))
        })
    }

    /// Sends an event on until it is taken.
    async fn send_on(&mut self, id: &str) -> Result<(), Ended> {
        let Some((event, body)) = self.had(id).await? else {
            return Ok(());
        };
        let headers = headers(&event);
        let mut pause = AGAIN_FIRST;
        loop {
            let began = Instant::now();
            let request = self.local.post(self.to.clone());
            let request = request.headers(headers.clone()).body(body.clone());
            let sent = tokio::select! {
                sent = request.send() => sent,
                () = self.stop.at_once() => return Err(Ended::Stopped),
            };
            let (outcome, is_taken) = match sent {
                Ok(answer) => {
                    let status = answer.status();
                    let is_taken = status.is_success() || self.args.skip_refused;
                    (Ok(status.as_u16()), is_taken)
                }
                Err(error) => (Err(root_cause(&error)), false),
            };
            if self.say(&event, &outcome, began.elapsed()) == Reader::Gone {
                complain("nobody reads what is said here any more");
            }
            if is_taken {
                return Ok(());
            }
            if !self.waited(&mut pause).await {
                return Err(Ended::Stopped);
            }
        }
    }

    /// An event with its body, once a host has its key; nothing if it is left out.
    ///
    /// It is never skipped for want of a key: another host behind the same address may have
    /// it, or this one when it has started again.
    async fn had(&mut self, id: &str) -> Result<Option<(Event, Vec<u8>)>, Ended> {
        let mut pause = AGAIN_FIRST;
        loop {
            let fetched = tokio::select! {
                fetched = self.fetch(id) => fetched,
                () = self.stop.soon() => return Err(Ended::Stopped),
            };
            match fetched {
                Ok(fetched) => return Ok(Some(fetched)),
                Err(error) if error.is_of_missing_key() => self.say_that_it_waits(id, &error),
                Err(error) => return self.left_out(id, error).map(|()| None),
            }
            if !self.waited(&mut pause).await {
                return Err(Ended::Stopped);
            }
        }
    }

    /// Once for each event, however often it is asked for.
    fn say_that_it_waits(&mut self, id: &str, error: &ClientError) {
        if self.awaited.as_deref() == Some(id) {
            return;
        }
        self.awaited = Some(id.to_owned());
        complain(&format!(
            "event {} waits, and with it what is behind it: {}",
            text::harmless(id),
            text::harmless(&error.to_string())
        ));
    }

    async fn fetch(&self, id: &str) -> Result<(Event, Vec<u8>), ClientError> {
        let event = self.client.get_json(&["events", id], &[]).await?;
        let body = self.client.get_whole(&["events", id, "body"]).await?;
        Ok((event, body))
    }

    /// Goes on behind an event that can never be had: it keeps nobody from others.
    fn left_out(&mut self, id: &str, error: ClientError) -> Result<(), Ended> {
        let why = match error.status() {
            Some(StatusCode::NOT_FOUND) => "it is not kept any more".to_owned(),
            Some(StatusCode::GONE) => {
                self.n_damaged += 1;
                text::harmless(&error.to_string())
            }
            _ => return Err(ended(error)),
        };
        complain(&format!("event {} is left out: {why}", text::harmless(id)));
        Ok(())
    }

    fn say(&self, event: &Event, outcome: &Result<u16, String>, took: Duration) -> Reader {
        let took_ms = took.as_millis();
        let line = if self.args.admin.json {
            let (status, error) = match outcome {
                Ok(status) => (Value::from(*status), Value::Null),
                Err(error) => (Value::Null, Value::from(error.as_str())),
            };
            json!({
                "event_id": event.id, "source": event.source, "kind": event.kind,
                "status": status, "error": error, "duration_ms": took.as_secs_f64() * 1000.0,
            })
            .to_string()
        } else {
            let outcome = match outcome {
                Ok(status) => format!("{status} in {took_ms} ms"),
                Err(error) => error.clone(),
            };
            text::harmless(&format!(
                "{}  {}  {}  {outcome}",
                event.id, event.source, event.kind
            ))
        };
        // A full disk behind stdout must not keep events from being sent on.
        print(&format!("{line}\n")).unwrap_or(Reader::Gone)
    }
}

fn ended(error: ClientError) -> Ended {
    match error {
        ClientError::Problem { status, .. } if status.is_client_error() => {
            Ended::Fatal(error.into())
        }
        ClientError::Unauthorized { .. } => Ended::Fatal(error.into()),
        error => Ended::Broken(error.to_string()),
    }
}

/// The event's headers, but those of the connection by which it came.
fn headers(event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &event.headers {
        let is_sent_on = !NOT_SENT_ON.contains(&name.as_str());
        if let (true, Ok(name), Ok(value)) = (
            is_sent_on,
            HeaderName::try_from(name),
            HeaderValue::try_from(value),
        ) {
            headers.append(name, value);
        }
    }
    if let Ok(id) = HeaderValue::try_from(&event.id) {
        headers.insert("hookbay-event-id", id);
    }
    headers
}
