//! One provider's table, read into its record.

use std::collections::BTreeMap;

use toml::Value;

use crate::config::reader::Table;
use crate::ingest::address::Network;
use crate::ingest::scheme::selector::{HeaderNames, List, Place, Selector};
use crate::ingest::scheme::{Acknowledgement, Provider};

use super::{Entry, Published, Sample, handshake, proof};

/// Keys that a source may set too, beside those of its proof: all but what is only told.
pub(super) const KEYS: [&str; 13] = [
    "kind",
    "kind_header",
    "kind_pointer",
    "id",
    "id_header",
    "id_pointer",
    "json",
    "batch",
    "form_field",
    "methods",
    "credential_headers",
    "handshake_kind",
    "handshake_kinds",
];

/// Methods by which an event may come.
const METHODS: [&str; 5] = ["POST", "GET", "PUT", "PATCH", "DELETE"];

/// A provider's whole table.
pub(super) fn read_entry(name: &str, mut table: Table<'_>) -> Option<Entry> {
    let title = table.string("title").unwrap_or_else(|| name.to_owned());
    let doc = table.string("doc").unwrap_or_default();
    let note = table.string("note");
    let content_types = texts(&mut table, "content_types");
    let samples = tables(&mut table, "sample")
        .into_iter()
        .filter_map(sample)
        .collect();
    let addresses = table.table("addresses").map(published);
    let provider = read(name, table)?;
    Some(Entry {
        addresses,
        title,
        doc,
        note,
        content_types: content_types.unwrap_or_else(|| vec!["application/json".to_owned()]),
        provider,
        samples,
    })
}

fn published(mut table: Table<'_>) -> Published {
    let doc = table.string("doc").unwrap_or_default();
    if doc.is_empty() {
        table.problem("doc", "is missing: where are they published?");
    }
    let texts = table.strings("networks");
    let read = texts.iter();
    let published = Published {
        doc,
        networks: read
            .filter_map(|text| table.noted("networks", text.parse::<Network>()))
            .collect(),
    };
    table.finish();
    published
}

/// The record alone. None where a problem is noted that leaves none.
pub(super) fn read(name: &str, mut table: Table<'_>) -> Option<Provider> {
    let handshakes: Vec<_> = tables(&mut table, "handshake")
        .into_iter()
        .filter_map(handshake::read)
        .collect();
    let has_token = handshakes.iter().any(|handshake| handshake.token.is_some());
    let proof = proof::read(&mut table, has_token);
    let methods = texts(&mut table, "methods").unwrap_or_else(|| vec!["POST".to_owned()]);
    if let Some(other) = methods
        .iter()
        .find(|method| !METHODS.contains(&method.as_str()))
    {
        let known = METHODS.join("`, `");
        table.problem("methods", format_args!("`{other}` is not one of `{known}`"));
    }
    let mut handshake_kinds = texts(&mut table, "handshake_kinds").unwrap_or_default();
    handshake_kinds.extend(table.string("handshake_kind"));
    let mut credential_headers = texts(&mut table, "credential_headers").unwrap_or_default();
    for header in &mut credential_headers {
        header.make_ascii_lowercase();
    }
    let provider = Provider {
        name: name.to_owned(),
        methods,
        kind: place(&mut table, "kind", "kind_header", "kind_pointer"),
        id: place(&mut table, "id", "id_header", "id_pointer"),
        is_json: table.boolean("json").unwrap_or(false),
        batches: batches(&mut table),
        form_field: table.string("form_field"),
        handshakes,
        handshake_kinds,
        acknowledgement: table
            .table("acknowledge")
            .map(acknowledgement)
            .unwrap_or_default(),
        secret: proof.as_ref()?.1,
        credential_headers: credential_headers
            .into_iter()
            .chain(proof.as_ref()?.0.credential_headers().iter().cloned())
            .collect(),
        proof: proof?.0,
    };
    proof::refuse_rest(&provider.proof, &mut table);
    table.finish();
    Some(provider)
}

/// Where the list of events may stand, in order.
fn batches(table: &mut Table<'_>) -> Vec<List> {
    let places = match table.take("batch") {
        None => Vec::new(),
        Some(Value::Array(places)) => places,
        Some(one) => vec![one],
    };
    let read = |place: &Value| {
        let text = table.noted("batch", place.as_str().ok_or("must be a text in quotes"))?;
        table.noted("batch", text.parse())
    };
    places.iter().filter_map(read).collect()
}

/// A place, told by selectors or by a header and a pointer that refines it.
fn place(
    table: &mut Table<'_>,
    key: &'static str,
    header: &'static str,
    pointer: &'static str,
) -> Place {
    let selectors = table.take(key);
    let header = table.parse::<HeaderNames>(header).map(Selector::Header);
    let pointer = table.parse(pointer).map(Selector::Pointer);
    let short: Vec<Selector> = header.into_iter().chain(pointer).collect();
    if !short.is_empty() {
        return Place(vec![short]);
    }
    let read = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        table.noted(key, text.parse::<Selector>())
    };
    let alternative = |value: &Value| match value {
        Value::Array(joined) => joined.iter().filter_map(read).collect(),
        one => read(one).into_iter().collect(),
    };
    match selectors {
        None => Place::default(),
        // A list of lists is alternatives, a list is values that are joined.
        Some(Value::Array(values)) if values.iter().any(Value::is_array) => {
            Place(values.iter().map(alternative).collect())
        }
        Some(value) => Place(vec![alternative(&value)]),
    }
}

fn acknowledgement(mut table: Table<'_>) -> Acknowledgement {
    let mut status = |key, bounds| {
        let status = table.integer(key, bounds)?;
        u16::try_from(status).ok()
    };
    let statuses = (
        status("status", 200..=299),
        status("refused", 400..=599),
        status("malformed", 400..=599),
        status("overloaded", 400..=599),
    );
    let content_type = table.string("content_type");
    let body = table.string("body");
    table.finish();
    Acknowledgement {
        status: statuses.0,
        refused: statuses.1,
        malformed: statuses.2,
        overloaded: statuses.3,
        body: body.map(|body| {
            (
                body,
                content_type.unwrap_or_else(|| "text/plain".to_owned()),
            )
        }),
    }
}

fn sample(mut table: Table<'_>) -> Option<Sample> {
    let headers = table
        .table("headers")
        .map(Table::into_rest)
        .unwrap_or_default();
    let headers = headers.into_iter();
    let sample = Sample {
        kind: table.string("kind")?,
        body: table.string("body")?,
        content_type: table.string("content_type"),
        headers: headers
            .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
            .collect::<BTreeMap<_, _>>(),
    };
    table.finish();
    Some(sample)
}

/// A list of texts.
pub(super) fn texts(table: &mut Table<'_>, key: &'static str) -> Option<Vec<String>> {
    let listed = match table.take(key)? {
        Value::Array(values) => values
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    table.noted(key, listed.ok_or("must be a list of texts in quotes"))
}

/// A list of tables.
pub(super) fn tables<'t>(table: &mut Table<'t>, key: &'static str) -> Vec<Table<'t>> {
    let listed = match table.take(key) {
        None => return Vec::new(),
        Some(Value::Array(values)) => values,
        Some(_) => {
            table.problem(key, "must be a list of tables");
            return Vec::new();
        }
    };
    let mut tables = Vec::new();
    for value in listed {
        match value {
            Value::Table(inner) => {
                tables.push(Table::new(table.path_of(key), inner, table.reading()));
            }
            _ => table.problem(key, "must be a list of tables"),
        }
    }
    tables
}
