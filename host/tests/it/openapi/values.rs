//! What the document says of each parameter is what is taken: a value that fits its schema
//! is, one that does not is refused.

use jsonschema::Validator;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::{CONFIG, document};
use crate::harness::{Host, TOKEN};

const ID: &str = "01890000-0000-7000-8000-00000000000a";
const BEYOND: &str = "9000000000000000000";
/// Answers to what is understood, whether or not there is such a thing.
pub(super) const TAKEN: [u16; 6] = [200, 201, 202, 204, 404, 409];

/// What is taken, and what is refused.
pub(super) type Values = (&'static [&'static str], &'static [&'static str]);

const TEXTS: Values = (&["a", " ", "..", "Ä\n", "x\0y"], &[""]);
const PATTERNS: Values = (
    &[
        "push",
        "invoice.*",
        "pull_request.**",
        "*",
        "**",
        "*.opened",
        "*a.**b.***",
        "Ünï codé",
        "a\n",
    ],
    &["", ".", "a..b", ".a", "a.", "**.a", "a.**.b", "a.**."],
);
const TIMES: Values = (
    &[
        "2026-11-22T01:30:00Z",
        "2026-11-22t01:30:00.123456789012z",
        "2026-11-22T01:30:00+02:00",
        "9999-12-31T23:59:59-23:59",
        "0000-01-01T00:00:00Z",
        "0",
        "1700000000",
        "-5",
    ],
    &[
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22 01:30:00Z",
        "2026-11-22T01:30Z",
        "2026-02-30T01:30:00Z",
        "2026-11-22T01:30:00",
        "2026-11-22T01:30:00Z[UTC]",
        "+5",
        "1.5",
        "999999999999",
    ],
);
const LIMITS: Values = (
    &["1", "50", "1000"],
    &["", "0", "1001", "-1", "+5", "ten", "4294967297"],
);
const STATES: Values = (
    &[
        "ready",
        "running",
        "waiting",
        "blocked",
        "succeeded",
        "dead",
        "cancelled",
    ],
    &["", "fine", "Ready"],
);
const IDS: Values = (
    &[ID, "01890000-0000-7000-8000-00000000000A"],
    &[
        "",
        "nonsense",
        "018900000000700080000000000000a0",
        "{01890000-0000-7000-8000-00000000000a}",
        "urn:uuid:01890000-0000-7000-8000-00000000000a",
    ],
);
const FOUND: Values = (
    &[
        ID,
        "bodies.",
        "bodies.01890000-0000-7000-8000-00000000000a",
        "bodies.01890000-0000-7000-8000-00000000000A",
        "bodies.unread.01890000-0000-7000-8000-00000000000a",
        "bodies.kinds.unread.01890000-0000-7000-8000-00000000000a",
    ],
    &[
        "",
        "bodies",
        "bodies.x",
        "bodies.unread.",
        "unread.01890000-0000-7000-8000-00000000000a",
        "kinds.unread.01890000-0000-7000-8000-00000000000a",
        "body.01890000-0000-7000-8000-00000000000a",
        "018900000000700080000000000000a0",
    ],
);
const NAMES: Values = (&["a", "misbehave", "0-1_2"], &["A", "a.b", "-a", " a"]);
const PLACES: Values = (
    &["0", "0017", BEYOND, "9999999999999999999"],
    &["", "-1", "+1", "1.5", "x", "10000000000000000000", ID],
);
/// None that a stream of ours comes to: who asks for one is told so, and follows nothing.
const STREAM_PLACES: Values = (
    &[
        BEYOND,
        "9999999999999999999",
        "9000000000000000000.01890000-0000-7000-8000-00000000000a",
    ],
    &[
        "",
        "-1",
        "+1",
        "x",
        "10000000000000000000",
        ID,
        "0.",
        "0.x",
        ".01890000-0000-7000-8000-00000000000a",
    ],
);
const FLAGS: Values = (&["true", "false"], &["", "1", "yes", "TRUE"]);
const WINDOWS: Values = (
    &[
        "1m",
        "60s",
        "60000ms",
        "90m",
        "1h",
        "744h",
        "0031d",
        "2678400s",
        "2678400000ms",
    ],
    &[
        "",
        "0h",
        "59s",
        "59999ms",
        "745h",
        "32d",
        "2678401s",
        "99999999999999999999d",
        "1 h",
        "h",
        "1.5h",
        "1w",
        "-1h",
        "often",
    ],
);
const STEPS: Values = (
    &["1m", "90s", "1d", "24h", "1440m", "86400s", "86400000ms"],
    &["", "59s", "2d", "25h", "1441m", "86401s", "5\tm", "1"],
);
const KEYS: Values = (&["k", "one-two_3", "a key, with {blanks}", "a\tb"], &[""]);

/// Of each parameter that is documented: one that is added needs a row here.
fn values_of(path: &str, name: &str) -> Values {
    match (path.trim_start_matches("/api/v1"), name) {
        ("/sources/{name}/events", "kind") | ("/plugins/{name}/kv", "cursor") => TEXTS,
        ("/events", "cursor") => FOUND,
        ("/quarantine", "cursor") => IDS,
        ("/plugins" | "/sources", "cursor") => NAMES,
        ("/runs" | "/operations" | "/audit", "cursor") => PLACES,
        (_, "source" | "reason" | "token" | "action" | "q" | "prefix" | "delivery_id") => TEXTS,
        (_, "kind") => PATTERNS,
        (_, "since" | "until") => TIMES,
        (_, "limit") => LIMITS,
        (_, "plugin") => NAMES,
        (_, "state") => STATES,
        (_, "event") => IDS,
        (_, "last_event_id" | "last-event-id") => STREAM_PLACES,
        (_, "cancel") => FLAGS,
        (_, "window") => WINDOWS,
        (_, "step") => STEPS,
        (_, "idempotency-key") => KEYS,
        (path, name) => panic!("no values are known of `{name}` of {path}"),
    }
}

/// The longest that is taken, and one letter more.
fn longest(path: &str, name: &str) -> Option<(String, String)> {
    let of = |letter: &str, n: usize| Some((letter.repeat(n), letter.repeat(n + 1)));
    match (path.trim_start_matches("/api/v1"), name) {
        ("/sources/{name}/events", "kind") => of("é", 512),
        ("/plugins" | "/sources", "cursor") | (_, "plugin") => of("x", 63),
        (_, "idempotency-key") => of("k", 255),
        _ => None,
    }
}

/// A schema of the document, with what it refers to.
pub(super) fn validator(document: &Value, schema: &Value) -> Validator {
    let root = json!({ "allOf": [schema], "components": document["components"] });
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&root).unwrap()
}

/// Whether a text fits, as what it is in JSON.
fn fits(schema: &Validator, text: &str) -> bool {
    let plain = serde_json::from_str::<Value>(text).ok();
    let plain = plain.filter(|value| !value.is_string());
    schema.is_valid(&json!(text)) || plain.is_some_and(|value| schema.is_valid(&value))
}

/// A path with names of what is there, and with an id.
pub(super) fn filled_with_known(path: &str) -> String {
    let owner = match path.contains("/plugins/") {
        true => "misbehave",
        false => "a",
    };
    path.replace("{id}", ID).replace("{name}", owner)
}

/// The answer to a request that has nothing but this parameter, and what cannot be left out.
async fn ask_with(host: &Host, place: (&str, &str), parameter: &Value, value: &str) -> u16 {
    let (path, method) = place;
    let name = parameter["name"].as_str().unwrap();
    let mut target = filled_with_known(path);
    let bearer = format!("Bearer {TOKEN}");
    let mut headers = vec![("authorization", bearer.as_str())];
    let is_header = parameter["in"] == "header";
    if is_header {
        headers.push((name, value));
    } else {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        target.push_str(&format!("?{name}={value}"));
    }
    match (path, name) {
        ("/api/v1/stream", "source" | "kind") => {
            target.push_str(&format!("&last_event_id={BEYOND}"));
        }
        ("/api/v1/stats", "window") => target.push_str("&step=1d"),
        _ => {}
    }
    let body = match is_header {
        true => r#"{"filter":{}}"#,
        false => "",
    };
    let method: Method = method.to_uppercase().parse().unwrap();
    host.ask_as(method, &target, &headers, body).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn each_parameter_takes_what_the_document_says() {
    let host = Host::start(CONFIG, &["misbehave"]).await;
    let document = document(&host).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array();
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                if parameter["in"] == "path" {
                    continue;
                }
                let schema = validator(&document, &parameter["schema"]);
                let (taken, refused) = values_of(path, name);
                let (long, too_long) = longest(path, name).unzip();
                for value in taken.iter().copied().chain(long.as_deref()) {
                    let what = format!("{method} {path}: `{name}` is {value:?}");
                    assert!(fits(&schema, value), "{what}: {}", parameter["schema"]);
                    let status = ask_with(&host, (path, method), parameter, value).await;
                    assert!(TAKEN.contains(&status), "{what}: {status}");
                }
                for value in refused.iter().copied().chain(too_long.as_deref()) {
                    let what = format!("{method} {path}: `{name}` is {value:?}");
                    assert!(!fits(&schema, value), "{what}: {}", parameter["schema"]);
                    let status = ask_with(&host, (path, method), parameter, value).await;
                    // No plugin has such a name.
                    let refusal = if name == "plugin" { 404 } else { 400 };
                    assert_eq!(status, refusal, "{what}");
                }
            }
        }
    }
}
