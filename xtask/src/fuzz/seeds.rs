//! The inputs that fuzzing begins with: the tests' vectors as requests, and the catalogue.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace::Workspace;

/// Lines of `Forwarded`, an empty one, lines of `X-Forwarded-For`.
const FORWARDED: [&str; 4] = [
    "for=192.0.2.60;proto=http;by=203.0.113.43\nfor=\"[2001:db8::1]:47011\", for=unknown\n",
    "\n203.0.113.9, 10.1.2.3\n[2001:db8::2]:443, ::ffff:10.0.0.2",
    "For=\"_gazonk\";Host=\"a;b, c\"\n\n203.0.113.9:80",
    "\nunknown, 10.0.0.9,, 198.51.100.1",
];

/// Writes the first inputs of a target.
pub(super) fn write(workspace: &Workspace, target: &str, corpus: &Path) -> Result<()> {
    let inputs = match target {
        "provider_toml" => provider_files(&workspace.root.join("host/providers"))?,
        "signature_headers" => header_values(&vectors(workspace)?),
        "forwarded" => FORWARDED.map(str::to_owned).to_vec(),
        _ => requests(&vectors(workspace)?),
    };
    for (n, input) in inputs.iter().enumerate() {
        let file = corpus.join(format!("seed-{n:04}"));
        fs::write(&file, input).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn vectors(workspace: &Workspace) -> Result<Vec<Value>> {
    let file = workspace
        .root
        .join("host/tests/fixtures/providers/vectors.json");
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Each case of each provider, as `fuzz/src/lib.rs` reads it.
fn requests(vectors: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    for of_provider in vectors {
        for case in array(&of_provider["cases"]) {
            let of = |field: &str| case.get(field).unwrap_or(&of_provider[field]);
            let mut text = format!(
                "{}\n{} {}\n",
                string(&of_provider["provider"]),
                string(of("method")),
                string(of("url"))
            );
            for (name, value) in headers(of("headers")) {
                text.push_str(&format!("{name}: {value}\n"));
            }
            text.push('\n');
            text.push_str(string(of("body")));
            all.push(text);
        }
    }
    all
}

/// The values of the headers of each provider's first case, behind a byte that picks the
/// notation.
fn header_values(vectors: &[Value]) -> Vec<String> {
    let mut all = Vec::new();
    for (n, of_provider) in vectors.iter().enumerate() {
        let pick = char::from(u8::try_from(n % 128).unwrap_or(0));
        for (_, value) in headers(&of_provider["headers"]) {
            all.push(format!("{pick}{value}"));
        }
    }
    all
}

/// Each provider of the catalogue as an operator's own.
fn provider_files(folder: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        let mut own = "[providers.own]\n".to_owned();
        for line in text.lines() {
            let line = match (line.strip_prefix("[["), line.strip_prefix('[')) {
                (Some(table), _) => format!("[[providers.own.{table}"),
                (None, Some(table)) => format!("[providers.own.{table}"),
                (None, None) => line.to_owned(),
            };
            own.push_str(&line);
            own.push('\n');
        }
        own.push_str("[sources.a]\nprovider = \"own\"\nsecret = \"whsec_c2VjcmV0\"\n");
        all.push(own);
    }
    Ok(all)
}

fn headers(fields: &Value) -> Vec<(&str, &str)> {
    let fields = fields.as_object().into_iter().flatten();
    fields
        .flat_map(|(name, value)| {
            let values = value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice);
            values
                .iter()
                .map(move |value| (name.as_str(), string(value)))
        })
        .collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
