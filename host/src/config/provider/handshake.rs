//! `[[handshake]]`: a question that a sender asks, and its answer.

use toml::Value;

use crate::config::reader::Table;
use crate::hash::Encoding;
use crate::ingest::handshake::{AnswerForm, Condition, Handshake, Part};

use super::record::texts;

/// Reads one handshake and notes its problems.
pub(super) fn read(mut table: Table<'_>) -> Option<Handshake> {
    let methods = texts(&mut table, "methods").unwrap_or_else(|| vec!["POST".to_owned()]);
    let conditions = texts(&mut table, "when").unwrap_or_default();
    let conditions: Vec<Condition> = conditions
        .iter()
        .filter_map(|text| table.noted("when", text.parse()))
        .collect();
    let status = table.integer("status", 200..=299).unwrap_or(200);
    let handshake = Handshake {
        methods,
        is_signed: table.boolean("signed").unwrap_or(false),
        conditions,
        token: table.parse("token"),
        learns: table.parse("learns"),
        is_first_only: table.boolean("first_only").unwrap_or(false),
        status: u16::try_from(status).unwrap_or(200),
        echo_header: table
            .string("echo_header")
            .map(|name| name.to_ascii_lowercase()),
        answer: answer(&mut table)?,
    };
    table.finish();
    Some(handshake)
}

fn answer(table: &mut Table<'_>) -> Option<AnswerForm> {
    let text = table.take("text").map(|value| part(table, "text", &value));
    let json = table.table("json").map(Table::into_rest);
    let braintree = table.parse("braintree").map(AnswerForm::Braintree);
    let body = table.string("body").unwrap_or_default();
    let content_type = table.string("content_type");
    if let Some(text) = text {
        return text.map(AnswerForm::Text);
    }
    if let Some(fields) = json {
        let field = |(name, value): (String, Value)| Some((name, part(table, "json", &value)?));
        let fields: Option<Vec<_>> = fields.into_iter().map(field).collect();
        return fields.map(AnswerForm::Json);
    }
    braintree.or_else(|| {
        Some(AnswerForm::Fixed {
            body,
            content_type: content_type.unwrap_or_else(|| "text/plain".to_owned()),
        })
    })
}

/// A selector, or a table with `hmac`, `encoding` and `prefix`.
fn part(table: &Table<'_>, key: &'static str, value: &Value) -> Option<Part> {
    match value {
        Value::String(selector) => table.noted(key, selector.parse().map(Part::Echo)),
        Value::Table(inner) => {
            let mut inner = Table::new(table.path_of(key), inner.clone(), table.reading());
            let part = Part::Hmac {
                of: inner.parse("hmac")?,
                encoding: inner.parse("encoding").unwrap_or(Encoding::Hex),
                prefix: inner.string("prefix").unwrap_or_default(),
            };
            inner.finish();
            Some(part)
        }
        _ => {
            table.problem(key, "must name a place, or be a table with `hmac`");
            None
        }
    }
}
