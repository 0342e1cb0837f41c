//! Files of vectors: the repository's own, and those in the form that `hookbay verify` takes
//! requests in, each with provider, secret, time and verdict beside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANY_TIME, Expected, Vector, body, headers};
use crate::harness::Folder;
use crate::program::hookbay;
use crate::providers::{Case, Vectors, vectors};

/// One of a list.
#[derive(Deserialize)]
struct Other {
    id: String,
    provider: String,
    /// Text, or the scheme's named values.
    secret: Option<Value>,
    method: String,
    url: String,
    headers: BTreeMap<String, Value>,
    body: Option<String>,
    body_base64: Option<String>,
    now: Option<i64>,
    /// `valid` or `invalid`.
    expect: String,
}

/// The repository's own vectors.
pub(super) fn of_the_repository() -> Vec<Vector> {
    let of_provider = |own: Vectors| {
        let vector = |case: &Case| {
            let sent = own.sent(case);
            Vector {
                name: format!("{}: {}", own.provider, case.why),
                provider: own.provider.clone(),
                secrets: sent.secrets.to_vec(),
                method: sent.method.to_owned(),
                url: sent.url.to_owned(),
                headers: headers(sent.headers),
                body: sent.body,
                now: sent.now,
                expected: match case.expect.as_str() {
                    "genuine" => Expected::Genuine,
                    "needs_key" => Expected::NoVerdict,
                    _ => Expected::Refused,
                },
            }
        };
        own.cases.iter().map(vector).collect::<Vec<_>>()
    };
    vectors().into_iter().flat_map(of_provider).collect()
}

fn listed(file: &Path) -> Vec<Other> {
    let text = fs::read_to_string(file);
    let text = text.unwrap_or_else(|error| panic!("`{}`: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

impl Other {
    fn is_valid(&self) -> bool {
        match self.expect.as_str() {
            "valid" => true,
            "invalid" => false,
            other => panic!("{}: `{other}` is no verdict", self.id),
        }
    }
}

/// The vectors of a file.
pub(super) fn read(file: &Path) -> Vec<Vector> {
    let vector = |other: Other| Vector {
        expected: match other.is_valid() {
            true => Expected::Genuine,
            false => Expected::Refused,
        },
        name: other.id,
        provider: other.provider,
        secrets: other.secret.into_iter().collect(),
        method: other.method,
        url: other.url,
        headers: headers(&other.headers),
        body: body(other.body.as_deref(), other.body_base64.as_deref()),
        now: other.now.unwrap_or(ANY_TIME),
    };
    listed(file).into_iter().map(vector).collect()
}

/// What `hookbay verify` says otherwise than expected of a file's vectors.
pub(super) async fn verified(file: &Path) -> Vec<String> {
    let folder = Folder::new("", &[]).await;
    let all = listed(file);
    let checked = tokio::task::spawn_blocking(move || {
        let wrong = all.iter().filter_map(|other| verify(&folder, other));
        wrong.collect()
    });
    checked.await.unwrap()
}

fn verify(folder: &Folder, other: &Other) -> Option<String> {
    let mut request = json!({ "method": other.method, "url": other.url, "headers": other.headers });
    match &other.body_base64 {
        Some(base64) => request["body_base64"] = json!(base64),
        None => request["body"] = json!(other.body),
    }
    let file = folder.path().join("request.json");
    fs::write(&file, request.to_string()).unwrap();
    let mut command = hookbay(folder);
    command
        .args(["verify", &other.provider, "--request"])
        .arg(&file);
    if let Some(secret) = &other.secret {
        let secret = secret
            .as_str()
            .map_or_else(|| secret.to_string(), str::to_owned);
        command.arg(format!("--secret={secret}"));
    }
    if let Some(now) = other.now {
        command.args(["--at", &now.to_string()]);
    }
    let output = command.output().unwrap();
    let expected = i32::from(!other.is_valid());
    (output.status.code() != Some(expected)).then(|| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        format!(
            "{}, `hookbay verify`: {:?}, not {expected}: {said}{complained}",
            other.id, output.status
        )
    })
}
