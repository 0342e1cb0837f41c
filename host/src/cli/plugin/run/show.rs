//! How an attempt on the bench reads, for people and for programs. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::table::facts;
use crate::cli::text;
use crate::kv::KvWrite;
use crate::plugin::egress::{Credential, HeaderValue, status_label};
use crate::plugin::{Emitted, Report};
use crate::run::{LogLine, RunError};

use super::{Called, Exchange};

/// The attempt with the words that the API has for it.
pub(super) fn as_json(called: &Called) -> Value {
    let report = &called.report;
    let record = &report.record;
    let logs: Vec<Value> = record
        .logs
        .iter()
        .map(|line| {
            let (level, fields) = (line.level, fields(line));
            json!({ "at": line.at, "level": level, "message": line.message, "fields": fields })
        })
        .collect();
    let error = report.error.as_ref();
    json!({
        "outcome": report.outcome,
        "error": error.map(|message| RunError::new(report.outcome, message)),
        "retry_after_ms": report.after.map(crate::clock::millis),
        "summary": report.summary,
        "data": data(report),
        "logs": logs,
        "kv": report.effects.writes.iter().map(write_json).collect::<Vec<_>>(),
        "requests": called.exchanges.iter().map(exchange_json).collect::<Vec<_>>(),
        "emitted": report.emitted.iter().map(emitted_json).collect::<Vec<_>>(),
        "duration_ms": record.duration_us as f64 / 1000.0,
        "cpu_ms": record.cpu_us as f64 / 1000.0,
        "memory_bytes": record.memory_bytes,
    })
}

/// The same to read.
pub(super) fn as_text(called: &Called) -> String {
    let report = &called.report;
    let record = &report.record;
    let memory = u64::try_from(record.memory_bytes).unwrap_or(0);
    let after = report.after.map(crate::clock::millis);
    let mut output = facts(&[
        ("outcome", Some(report.outcome.as_str().to_owned())),
        ("error", report.error.clone()),
        (
            "retry in",
            after
                .and_then(|ms| u64::try_from(ms).ok())
                .map(text::duration),
        ),
        ("summary", report.summary.clone()),
        (
            "took",
            Some(format!("{:.2} ms", record.duration_us as f64 / 1000.0)),
        ),
        (
            "cpu",
            Some(format!("{:.2} ms", record.cpu_us as f64 / 1000.0)),
        ),
        ("memory", Some(text::size(memory))),
    ]);
    if let Some(data) = data(report) {
        output.push_str("\ndata\n");
        let data = format!("{data:#}");
        output.extend(text::harmless_json(&data).lines().map(indented));
    }
    if !record.logs.is_empty() {
        output.push_str("\nlogs\n");
        output.extend(record.logs.iter().map(log_line).map(|line| indented(&line)));
    }
    if !called.exchanges.is_empty() {
        output.push_str("\nrequests, answered by fixtures\n");
        let lines = called.exchanges.iter().flat_map(exchange_lines);
        output.extend(lines.map(|line| indented(&line)));
    }
    if !report.effects.writes.is_empty() {
        output.push_str("\nkv, written when a host commits the run\n");
        let writes = report.effects.writes.iter().map(write_text);
        output.extend(writes.map(|line| indented(&line)));
    }
    if !report.emitted.is_empty() {
        output.push_str("\nevents, emitted when a host commits the run\n");
        let events = report.emitted.iter();
        let line =
            |event: &Emitted| text::harmless(&format!("{}  {}", event.kind, shown(&event.body)));
        output.extend(events.map(|event| indented(&line(event))));
    }
    output
}

/// The data of a success; the sandbox has checked that it is JSON.
fn data(report: &Report) -> Option<Value> {
    let data = report.data.as_deref()?;
    Some(serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
}

fn indented(line: &str) -> String {
    format!("  {line}\n")
}

fn log_line(line: &LogLine) -> String {
    let mut text = format!("{:5}  {}", line.level.as_str(), line.message);
    for (name, value) in &line.fields {
        text.push_str(&format!("  {name}={value}"));
    }
    text::harmless(&text)
}

fn fields(line: &LogLine) -> Map<String, Value> {
    let fields = line.fields.iter();
    fields
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect()
}

fn write_json(write: &KvWrite) -> Value {
    match write {
        KvWrite::Set { key, value } => match std::str::from_utf8(value) {
            Ok(text) => json!({ "do": "set", "key": key, "value": text }),
            Err(_) => json!({ "do": "set", "key": key, "value_base64": STANDARD.encode(value) }),
        },
        KvWrite::Delete { key } => json!({ "do": "delete", "key": key }),
        KvWrite::Increment { key, by } => json!({ "do": "increment", "key": key, "by": by }),
    }
}

fn write_text(write: &KvWrite) -> String {
    let text = match write {
        KvWrite::Set { key, value } => format!("set        {key} = {}", shown(value)),
        KvWrite::Delete { key } => format!("delete     {key}"),
        KvWrite::Increment { key, by } => format!("increment  {key} by {by}"),
    };
    text::harmless(&text)
}

fn emitted_json(event: &Emitted) -> Value {
    let mut json = json!({ "kind": event.kind });
    add_body(&mut json, &event.body);
    json
}

fn exchange_json(exchange: &Exchange) -> Value {
    let request = &exchange.request;
    let headers = request.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| json!([name, header(value)]))
        .collect();
    let mut json = json!({
        "endpoint": request.endpoint,
        "method": request.method,
        "path": request.path,
        "headers": headers,
        "idempotency_header": request.idempotency_header,
        "answer": match &exchange.answer {
            Ok(fetched) => json!({ "status": fetched.status }),
            Err(error) => json!({ "error": error.code(), "message": error.to_string() }),
        },
    });
    if let Some(body) = &request.body {
        add_body(&mut json, &body.0);
    }
    json
}

/// One line for request and answer, and one for each header and the body.
fn exchange_lines(exchange: &Exchange) -> Vec<String> {
    let request = &exchange.request;
    let (method, endpoint, path) = (&request.method, &request.endpoint, &request.path);
    let answer = status_label(&exchange.answer);
    let mut lines = vec![format!("{method} {endpoint} {path} -> {answer}")];
    let headers = request.headers.iter();
    lines.extend(headers.map(|(name, value)| format!("  {name}: {}", header(value))));
    if let Some(name) = &request.idempotency_header {
        lines.push(format!("  {name}: the run's idempotency key"));
    }
    if let Some(body) = &request.body {
        lines.push(format!("  {}", shown(&body.0)));
    }
    lines.iter().map(|line| text::harmless(line)).collect()
}

/// A header before the host has filled in secrets.
fn header(value: &HeaderValue) -> String {
    let half = |credential: &Credential| match credential {
        Credential::Text(text) => text.clone(),
        Credential::Secret(name) => format!("[secret {name}]"),
    };
    match value {
        HeaderValue::Plain(bytes) => shown(&bytes.0),
        HeaderValue::Secret {
            name,
            prefix,
            suffix,
        } => format!("{prefix}[secret {name}]{suffix}"),
        HeaderValue::Basic { user, password } => format!("Basic {}:{}", half(user), half(password)),
    }
}

fn add_body(json: &mut Value, body: &[u8]) {
    match std::str::from_utf8(body) {
        Ok(text) => json["body"] = text.into(),
        Err(_) => json["body_base64"] = STANDARD.encode(body).into(),
    }
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("{} (base64)", STANDARD.encode(bytes)),
    }
}
