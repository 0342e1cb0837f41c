//! Secrets: where they come from, and a type that does not show them.

use std::fmt;

use toml::Value;

use crate::hash::Hash;

use super::reader::Reading;

/// A secret's bytes; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// What it is recognised by, without telling it: the first 8 hexadecimal digits of its
    /// SHA-256.
    pub fn fingerprint(&self) -> String {
        let hash = Hash::Sha256.plain(std::iter::once(self.0.as_slice()));
        hex::encode(&hash[..4])
    }

    /// The bytes, for whoever signs or verifies with them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads one secret: text, `{ env = "…" }` or `{ file = "…" }`. Notes what cannot be had.
pub(super) fn secret(path: &str, value: Value, reading: &Reading<'_>) -> Option<Secret> {
    let found = match value {
        Value::String(text) => {
            if !reading.from_environment.contains(path) {
                reading.has_secrets.set(true);
            }
            Ok(text.into_bytes())
        }
        Value::Table(table) if table.len() == 1 => match table.iter().next() {
            Some((key, Value::String(name))) if key == "env" => (reading.variable)(name)
                .map(String::into_bytes)
                .ok_or_else(|| format!("environment variable `{name}` is not set")),
            Some((key, Value::String(name))) if key == "file" => {
                let file = reading.secret_file(name);
                std::fs::read(&file).map(without_newline).map_err(|error| {
                    format!("cannot read secret file `{}`: {error}", file.display())
                })
            }
            _ => Err(SHAPES.to_owned()),
        },
        _ => Err(SHAPES.to_owned()),
    };
    match found {
        Ok(bytes) if bytes.is_empty() => {
            reading.problem(path, "is empty");
            None
        }
        Ok(bytes) => Some(Secret(bytes)),
        Err(problem) => {
            reading.problem(path, problem);
            None
        }
    }
}

const SHAPES: &str = "must be text, { env = \"NAME\" } or { file = \"PATH\" }";

/// Editors end files with a newline that is not part of the secret.
fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        bytes.pop();
    }
    bytes
}
