//! How an attempt on the bench reads, for people and for programs. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::table::facts;
use crate::cli::text;
use crate::kv::KvWrite;
use crate::plugin::Report;
use crate::run::{LogLine, RunError};

/// The attempt with the words that the API has for it.
pub(super) fn as_json(report: &Report) -> Value {
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
        "duration_ms": record.duration_us as f64 / 1000.0,
        "cpu_ms": record.cpu_us as f64 / 1000.0,
        "memory_bytes": record.memory_bytes,
    })
}

/// The same to read.
pub(super) fn as_text(report: &Report) -> String {
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
    if !report.effects.writes.is_empty() {
        output.push_str("\nkv, written when a host commits the run\n");
        let writes = report.effects.writes.iter().map(write_text);
        output.extend(writes.map(|line| indented(&line)));
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
        KvWrite::Set { key, value } => match std::str::from_utf8(value) {
            Ok(text) => format!("set        {key} = {text}"),
            Err(_) => format!("set        {key} = {} (base64)", STANDARD.encode(value)),
        },
        KvWrite::Delete { key } => format!("delete     {key}"),
        KvWrite::Increment { key, by } => format!("increment  {key} by {by}"),
    };
    text::harmless(&text)
}
