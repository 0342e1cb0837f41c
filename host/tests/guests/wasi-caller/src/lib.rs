//! A test guest that sends requests by `wasi:http` alone, as code does that was written for
//! WASI and not for Hookbay, and says what came of them.

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, manifest};
use serde::{Deserialize, Serialize};

use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{
    ErrorCode, Fields, HeaderError, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use bindings::wasi::io::streams::StreamError;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "generated code"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wasi-http",
        world: "hookbay:wasi-http/outgoing",
        generate_all,
    });
}

struct WasiCaller;

hookbay_plugin::export!(WasiCaller);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    #[serde(default)]
    what: What,
    #[serde(default)]
    http: bool,
    authority: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// How often the body is written.
    #[serde(default = "once")]
    times: u32,
    timeout_ms: Option<u64>,
    /// How many requests like this one.
    #[serde(default = "once")]
    requests: u32,
}

#[derive(Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum What {
    #[default]
    Call,
    /// Asks for the answer before the body is finished, and then again.
    AskEarly,
    /// Drops the body.
    DropBody,
    /// Asks for the answer twice.
    AskTwice,
    /// Makes an answer instead of a request.
    Serve,
    /// Collects headers without end.
    Hoard,
    /// Copies headers without end.
    HoardCopies,
}

fn get() -> String {
    "GET".to_owned()
}

fn once() -> u32 {
    1
}

/// The answer as the guest saw it.
#[derive(Serialize)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Plugin for WasiCaller {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::source("wasi-caller", "**"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let call: Call = event.json()?;
        match call.what {
            What::Hoard => hoard(),
            What::HoardCopies => hoard_copies(),
            What::Call | What::AskEarly | What::DropBody | What::AskTwice | What::Serve => {}
        }
        let mut seen = call.send().map_err(Failure::permanent)?;
        for _ in 1..call.requests {
            seen = call.send().map_err(Failure::permanent)?;
        }
        Success::new(format!("{} {}", seen.status, seen.body)).with_data(&seen)
    }
}

fn hoard() {
    let fields = Fields::new();
    loop {
        // An error is an answer too: the loop goes on.
        std::hint::black_box(fields.append("x-more", &vec![b'x'; 1000]).is_ok());
    }
}

fn hoard_copies() {
    let fields = Fields::new();
    for _ in 0..60 {
        let added = fields.append("x-more", &vec![b'x'; 1000]);
        added.expect("so much may be added");
    }
    let mut copies = Vec::new();
    loop {
        copies.push(fields.clone());
    }
}

impl Call {
    fn send(&self) -> Result<Seen, String> {
        let fields = Fields::new();
        for (name, value) in &self.headers {
            let added = fields.append(name, &value.clone().into_bytes());
            added.map_err(|error| format!("{name}: {}", said(error)))?;
        }
        if self.what == What::Serve {
            drop(bindings::wasi::http::types::OutgoingResponse::new(fields));
            return Err("an answer was made".to_owned());
        }
        let request = OutgoingRequest::new(fields);
        let set = request
            .set_method(&self.method())
            .and_then(|()| request.set_scheme(self.http.then_some(&Scheme::Http)))
            .and_then(|()| request.set_authority(Some(&self.authority)))
            .and_then(|()| request.set_path_with_query(self.path.as_deref()));
        set.map_err(|()| "it cannot be set".to_owned())?;
        let body = self.body.is_some().then(|| request.body());
        let body = body
            .transpose()
            .map_err(|()| "there is no body".to_owned())?;
        let options = self.timeout_ms.map(|ms| {
            let options = RequestOptions::new();
            let nanoseconds = ms * 1_000_000;
            options
                .set_first_byte_timeout(Some(nanoseconds))
                .map(|()| options)
        });
        let options = options.transpose().map_err(|()| "no timeout".to_owned())?;
        let answer =
            outgoing_handler::handle(request, options).map_err(|code| format!("{code:?}"))?;
        if self.what == What::AskEarly && answer.get().is_some() {
            return Err("the answer is there before the request".to_owned());
        }
        match body {
            Some(body) if self.what == What::DropBody => drop(body),
            Some(body) => self.write(body)?,
            None => {}
        }
        answer.subscribe().block();
        let first = answer.get().ok_or("the answer is not there")?;
        if self.what == What::AskTwice && !matches!(answer.get(), Some(Err(()))) {
            return Err("the answer is there twice".to_owned());
        }
        let incoming = first
            .map_err(|()| "the answer is taken".to_owned())?
            .map_err(|code: ErrorCode| format!("{code:?}"))?;
        read(&incoming)
    }

    fn method(&self) -> Method {
        match self.method.as_str() {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            other => Method::Other(other.to_owned()),
        }
    }

    fn write(&self, body: OutgoingBody) -> Result<(), String> {
        let stream = body.write().map_err(|()| "there is no stream".to_owned())?;
        let text = self.body.as_deref().unwrap_or_default().as_bytes();
        for _ in 0..self.times {
            for chunk in text.chunks(4096) {
                let written = stream.blocking_write_and_flush(chunk);
                written.map_err(|error| format!("{error:?}"))?;
            }
        }
        drop(stream);
        OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))
    }
}

fn said(error: HeaderError) -> &'static str {
    match error {
        HeaderError::InvalidSyntax => "invalid",
        HeaderError::Forbidden => "forbidden",
        HeaderError::Immutable => "immutable",
    }
}

fn read(incoming: &IncomingResponse) -> Result<Seen, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = incoming.headers();
    if headers.append("x-more", b"more".as_ref()).is_ok() {
        return Err("the answer's headers can be changed".to_owned());
    }
    let body = incoming.consume().map_err(|()| "no body".to_owned())?;
    let stream = body.stream().map_err(|()| "no stream".to_owned())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    let entries = headers.entries();
    Ok(Seen {
        status: incoming.status(),
        headers: entries
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        body: text(&bytes),
    })
}
