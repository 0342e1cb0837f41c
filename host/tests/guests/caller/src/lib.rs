//! A test guest that calls an endpoint as the event's body says, and shows all that it
//! got wherever a guest can show something.

use hookbay_plugin::{
    Event, Failure, Manifest, Plugin, Run, Success, Trigger, crypto, http, kv, log, manifest,
};
use serde::{Deserialize, Serialize};

struct Caller;

hookbay_plugin::export!(Caller);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    endpoint: String,
    path: String,
    /// Sent as a bearer token.
    secret: Option<String>,
    /// Sent as the header `x-plain`.
    plain: Option<String>,
    #[serde(default = "once")]
    times: u32,
    /// Shows the answer in a panic as well.
    #[serde(default)]
    panics: bool,
}

fn once() -> u32 {
    1
}

/// The last answer, as the guest saw it.
#[derive(Serialize)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// What the secret signs, in hexadecimal.
    signature: Option<String>,
}

impl Plugin for Caller {
    fn manifest() -> Manifest {
        manifest!().trigger(Trigger::source("caller", "**"))
    }

    fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
        let call: Call = event.json()?;
        let mut answer = send(&call)?;
        for _ in 1..call.times {
            answer = send(&call)?;
        }
        let text = answer.text().into_owned();
        log::info!("the answer is {text}"; body = text);
        println!("{text}");
        kv::set("answer", &text)?;
        if call.panics {
            panic!("{text}");
        }
        let signature = match &call.secret {
            Some(secret) => Some(crypto::hmac_sha256(
                secret,
                crypto::KeyEncoding::Text,
                b"signed",
            )?),
            None => None,
        };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let seen = Seen {
            status: answer.status,
            headers: answer
                .headers
                .iter()
                .map(|header| {
                    let value = String::from_utf8_lossy(&header.value).into_owned();
                    (header.name.clone(), value)
                })
                .collect(),
            body: text.clone(),
            signature: signature.map(hex),
        };
        Success::new(text).with_data(&seen)
    }
}

fn send(call: &Call) -> Result<http::Response, http::Error> {
    let mut request = http::post(&call.endpoint, &call.path)
        .body("a body")
        .idempotency_key("idempotency-key");
    if let Some(secret) = &call.secret {
        request = request.bearer(secret);
    }
    if let Some(plain) = &call.plain {
        request = request.header("x-plain", plain.as_str());
    }
    request.send()
}
