//! The secrets of a source: one or, while rotating, several, each text or named values.

use toml::Value;

use crate::ingest::scheme::key::Credential;

use super::reader::Reading;
use super::secret::secret;

/// Reads a source's `secret`: a secret, a table of named ones, or a list of these. Notes
/// what cannot be had.
pub(super) fn credentials(path: &str, value: Value, reading: &Reading<'_>) -> Vec<Credential> {
    let listed = match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    if listed.is_empty() {
        reading.problem(path, "an empty list holds no secret");
    }
    listed
        .into_iter()
        .filter_map(|value| credential(path, value, reading))
        .collect()
}

/// A table with exactly `env` or `file` is a reference, any other holds named values.
fn credential(path: &str, value: Value, reading: &Reading<'_>) -> Option<Credential> {
    match value {
        Value::Table(table) if !is_reference(&table) => {
            let named = |(name, value): (String, Value)| {
                let value = credential(&format!("{path}.{name}"), value, reading)?;
                Some((name, value))
            };
            Some(Credential::Named(
                table.into_iter().filter_map(named).collect(),
            ))
        }
        one => secret(path, one, reading).map(Credential::Text),
    }
}

fn is_reference(table: &toml::Table) -> bool {
    table.len() == 1 && (table.contains_key("env") || table.contains_key("file"))
}
