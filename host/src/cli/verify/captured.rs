//! Requests as somebody captured them: JSON, one or several.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::cli::CommandError;
use crate::event::Headers;

/// A request as somebody captured it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Captured {
    #[serde(default = "post")]
    pub(super) method: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
}

/// A header sent once, or several times.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    Once(String),
    Often(Vec<String>),
}

fn post() -> String {
    "POST".to_owned()
}

pub(super) fn read(file: &Path) -> Result<Vec<Captured>, CommandError> {
    let mut bytes = Vec::new();
    let done = if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|found| bytes = found)
    };
    done.map_err(|error| CommandError::Usage(format!("cannot read {}: {error}", file.display())))?;
    let captured: Result<Vec<Captured>, _> = serde_json::Deserializer::from_slice(&bytes)
        .into_iter()
        .collect();
    match captured {
        Ok(captured) if captured.is_empty() => Err(CommandError::Usage(format!(
            "{} holds no request",
            file.display()
        ))),
        Ok(captured) => Ok(captured),
        Err(error) => Err(CommandError::Usage(format!(
            "{} is not a captured request: {error}",
            file.display()
        ))),
    }
}

impl Captured {
    pub(super) fn headers(&self) -> Headers {
        let mut pairs = Vec::new();
        for (name, values) in &self.headers {
            let values = match values {
                Values::Once(value) => std::slice::from_ref(value),
                Values::Often(values) => values.as_slice(),
            };
            // HTTP takes no notice of case and of spaces around values.
            let name = name.to_ascii_lowercase();
            let trimmed = values.iter().map(|value| value.trim_matches([' ', '\t']));
            pairs.extend(trimmed.map(|value| (name.clone(), value.as_bytes().to_vec())));
        }
        Headers::new(pairs)
    }

    pub(super) fn body(&self) -> Result<Vec<u8>, CommandError> {
        match (&self.body, &self.body_base64) {
            (Some(_), Some(_)) => Err(CommandError::Usage(
                "a request has `body` or `body_base64`, not both".into(),
            )),
            (Some(body), None) => Ok(body.clone().into_bytes()),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| {
                CommandError::Usage(format!("`body_base64` is not base64: {error}"))
            }),
            (None, None) => Ok(Vec::new()),
        }
    }

    pub(super) fn url_for(&self, public_url: Option<&str>) -> String {
        let Some(base) = public_url else {
            return self.url.clone();
        };
        let after_scheme = self
            .url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, rest)| rest);
        let path = after_scheme
            .find('/')
            .map_or("", |start| &after_scheme[start..]);
        format!("{}{path}", base.trim_end_matches('/'))
    }
}
