//! Signed GitHub deliveries: distinct, plausible push payloads of an exact size.
//!
//! Everything that costs time, building and signing, is done before the clock of a
//! measurement starts. GitHub's signature covers the body only, so that one signed body
//! serves many deliveries, which differ in their delivery id.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use anyhow::{Result, bail};

/// Enough that neither compression across rows nor a cache of the last bodies helps a store.
const BODIES: u64 = 512;
const REPOSITORIES: u64 = 16;
const COMMITS_MAX: u64 = 24;
/// The length of a UUID in its usual form.
const ID_BYTES: usize = 36;

const WORDS: [&str; 32] = [
    "fix",
    "queue",
    "when",
    "the",
    "lease",
    "expires",
    "before",
    "a",
    "worker",
    "returns",
    "parser",
    "handles",
    "empty",
    "input",
    "and",
    "trailing",
    "commas",
    "retry",
    "with",
    "jitter",
    "bump",
    "dependencies",
    "remove",
    "dead",
    "code",
    "path",
    "from",
    "scheduler",
    "add",
    "test",
    "for",
    "overflow",
];
const OWNERS: [&str; 4] = ["octo-labs", "Codertocat", "acme-inc", "riverbed"];
const NAMES: [&str; 4] = ["Hello-World", "billing", "edge-proxy", "mobile_app"];

/// The signed requests of one load, all but their delivery ids.
pub(crate) struct Deliveries {
    requests: Vec<Delivery>,
    seed: u64,
}

/// What every delivery of a load has in common.
pub(crate) struct Shape<'a> {
    /// The `Host` header.
    pub(crate) host: &'a str,
    /// The path of the source's address.
    pub(crate) path: &'a str,
    /// The source's secret.
    pub(crate) secret: &'a [u8],
    /// The `X-GitHub-Event` header.
    pub(crate) event: &'a str,
    /// The exact size of each body.
    pub(crate) body_bytes: usize,
}

/// One signed request, all but its delivery id.
pub(crate) struct Delivery {
    bytes: Vec<u8>,
    id_start: usize,
}

impl Deliveries {
    /// Builds and signs the bodies. Another `seed` gives other bodies and delivery ids.
    pub(crate) fn build(shape: &Shape<'_>, seed: u64) -> Result<Self> {
        let mut requests = Vec::new();
        for n in 0..BODIES {
            requests.push(Delivery::build(
                shape,
                &push_body(&mut Picks(mixed(seed ^ n)), shape.body_bytes)?,
            ));
        }
        Ok(Self { requests, seed })
    }

    /// Writes the whole request of delivery `n` to `request`; gives its delivery id.
    pub(crate) fn write(&self, n: u64, request: &mut Vec<u8>) -> String {
        let picked = &self.requests[usize::try_from(n % BODIES).unwrap_or_default()];
        let id = delivery_id(self.seed, n);
        picked.write(&id, request);
        id
    }
}

impl Delivery {
    /// Signs `body`; the shape's size does not count here.
    pub(crate) fn build(shape: &Shape<'_>, body: &[u8]) -> Self {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(shape.secret).expect("HMAC takes a key of any length");
        mac.update(body);
        let signature = hex::encode(mac.finalize().into_bytes());
        let before_id = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-GitHub-Event: {}\r\nX-GitHub-Hook-ID: 292430182\r\n\
             X-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
             X-GitHub-Hook-Installation-Target-Type: repository\r\n\
             X-Hub-Signature-256: sha256={signature}\r\nX-GitHub-Delivery: ",
            shape.path, shape.host, shape.event,
        );
        let after_id = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut bytes = before_id.into_bytes();
        let id_start = bytes.len();
        bytes.extend_from_slice(&[b'0'; ID_BYTES]);
        bytes.extend_from_slice(after_id.as_bytes());
        bytes.extend_from_slice(body);
        Self { bytes, id_start }
    }

    /// Writes the whole request to `request`, under a delivery id of [`delivery_id`].
    pub(crate) fn write(&self, id: &str, request: &mut Vec<u8>) {
        request.clear();
        request.extend_from_slice(&self.bytes);
        request[self.id_start..self.id_start + ID_BYTES].copy_from_slice(id.as_bytes());
    }
}

/// A push payload of exactly `size` bytes.
///
/// # Errors
/// When a push with a single commit is larger than `size`.
pub(crate) fn sample_push(seed: u64, size: usize) -> Result<Vec<u8>> {
    push_body(&mut Picks(mixed(seed)), size)
}

/// The `n`th delivery id of a load. Scattered over the whole range, as real ones are: ids in
/// order would flatter the index that keeps them.
pub(crate) fn delivery_id(seed: u64, n: u64) -> String {
    let high = mixed(seed.wrapping_add(n));
    let low = mixed(high ^ seed.rotate_left(32) ^ n);
    let digits = format!("{high:016x}{low:016x}");
    format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    )
}

/// As many commits as fit, the rest of the size in the first one's message.
fn push_body(picks: &mut Picks, size: usize) -> Result<Vec<u8>> {
    let start = picks.0;
    for n_commits in (1..=COMMITS_MAX).rev() {
        picks.0 = start;
        let mut payload = push_payload(picks, n_commits);
        let bytes = payload.to_string().into_bytes();
        if bytes.len() == size {
            return Ok(bytes);
        }
        // A `\n\n` between title and text takes four bytes in JSON.
        let Some(missing) = size.checked_sub(bytes.len() + 4) else {
            continue;
        };
        let message = payload["commits"][0]["message"]
            .as_str()
            .unwrap_or_default();
        let padded = format!("{message}\n\n{}", picks.text(missing));
        payload["commits"][0]["message"] = Value::from(padded);
        return Ok(payload.to_string().into_bytes());
    }
    bail!("a push does not fit into {size} bytes");
}

fn push_payload(picks: &mut Picks, n_commits: u64) -> Value {
    let repository = picks.below(REPOSITORIES);
    let owner = OWNERS[usize::try_from(repository / 4).unwrap_or_default()];
    let name = NAMES[usize::try_from(repository % 4).unwrap_or_default()];
    let url = format!("https://github.com/{owner}/{name}");
    let (before, after) = (picks.hash(), picks.hash());
    let mut commits: Vec<Value> = (1..n_commits)
        .map(|_| {
            let id = picks.hash();
            commit(picks, &url, &id)
        })
        .collect();
    commits.push(commit(picks, &url, &after));
    let head_commit = commits.last().cloned();
    let account = json!({
        "login": owner, "id": 21_031_067 + repository, "node_id": "MDQ6VXNlcjIxMDMxMDY3", "type": "User",
        "url": format!("https://api.github.com/users/{owner}"), "html_url": format!("https://github.com/{owner}"),
        "site_admin": false,
    });
    json!({
        "ref": "refs/heads/main", "before": before, "after": after,
        "created": false, "deleted": false, "forced": false, "base_ref": null,
        "compare": format!("{url}/compare/{}...{}", &before[..12], &after[..12]),
        "commits": commits, "head_commit": head_commit,
        "pusher": {"name": owner, "email": format!("{owner}@users.noreply.github.com")},
        "sender": account,
        "repository": {
            "id": 186_853_002 + repository, "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=", "name": name,
            "full_name": format!("{owner}/{name}"), "private": false, "owner": account, "html_url": url,
            "description": null, "fork": false, "url": url, "created_at": 1_557_933_565_u64,
            "updated_at": "2019-05-15T15:20:41Z", "pushed_at": 1_557_933_657_u64, "default_branch": "main",
            "clone_url": format!("{url}.git"), "size": picks.below(90_000), "stargazers_count": picks.below(900),
            "open_issues_count": picks.below(90), "visibility": "public", "language": "Rust",
        },
    })
}

fn commit(picks: &mut Picks, url: &str, id: &str) -> Value {
    let person = json!({"name": "Mona Lisa", "email": "mona@users.noreply.github.com", "username": "Codertocat"});
    let title_bytes = usize::try_from(30 + picks.below(30)).unwrap_or(30);
    json!({
        "id": id, "tree_id": picks.hash(), "distinct": true, "message": picks.text(title_bytes),
        "timestamp": "2019-05-15T15:20:41Z", "url": format!("{url}/commit/{id}"),
        "author": person, "committer": person,
        "added": [], "removed": [], "modified": [format!("src/{}.rs", picks.word()), "Cargo.toml"],
    })
}

/// Repeatable choices.
struct Picks(u64);

impl Picks {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mixed(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[usize::try_from(self.below(32)).unwrap_or_default()]
    }

    fn hash(&mut self) -> String {
        format!(
            "{:016x}{:016x}{:08x}",
            self.next(),
            self.next(),
            self.next() >> 32
        )
    }

    /// Words with spaces between them, cut to exactly `size` bytes.
    fn text(&mut self, size: usize) -> String {
        let mut text = String::with_capacity(size + 16);
        while text.len() < size {
            text.push_str(self.word());
            text.push(' ');
        }
        text.truncate(size);
        text
    }
}

/// The finaliser of splitmix64: a one-to-one scattering of 64 bits.
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_exact_size() {
        for size in [2_500, 8_192, 8_193, 20_000, 100_000] {
            let body = sample_push(7, size).expect("a push fits");
            assert_eq!(body.len(), size);
            let payload: Value = serde_json::from_slice(&body).expect("it is JSON");
            assert_eq!(payload["after"], payload["head_commit"]["id"]);
        }
        assert!(sample_push(7, 100).is_err());
    }

    #[test]
    fn delivery_ids_differ() {
        let ids: std::collections::HashSet<String> =
            (0..10_000).map(|n| delivery_id(3, n)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == ID_BYTES));
    }
}
