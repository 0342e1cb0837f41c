//! `[sources.NAME]`: one inbound address.

use std::time::Duration;

use crate::ingest::address::Networks;
use crate::ingest::filter::Filter;
use crate::ingest::schema::Schema;
use crate::ingest::scheme::key::{Credential, Keyring};
use crate::ingest::scheme::{Proof, Provider};
use crate::json::Pointer;
use crate::name::SourceName;
use crate::rate::Rate;

use super::credential::credentials;
use super::filter;
use super::provider::{self, OwnProviders};
use super::public;
use super::reader::Table;
use super::retention::{LONGEST_KEPT, SHORTEST_KEPT};

/// Largest body of a source that sets none (design, section 3.3).
const MAX_BODY: u64 = 25 << 20;
/// Largest body that a source may allow: bodies are held in memory.
const MAX_BODY_MAX: u64 = 256 << 20;
/// Most pointers of `index`, and of `redact`.
const POINTERS_MAX: usize = 16;
const DAY: Duration = Duration::from_hours(24);

/// One inbound address with its provider, secrets and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its name, part of its address.
    pub name: SourceName,
    /// The sender's convention.
    pub provider: Provider,
    /// Secrets as they were given, any of which may match.
    pub secrets: Vec<Credential>,
    /// The same as its provider's scheme reads them.
    pub keys: Keyring,
    /// What stands before the path in the address that the sender knows; empty where no
    /// `public_url` is set.
    pub public_url: String,
    /// A further address, such as `/hooks/old-address`.
    pub path: Option<String>,
    /// Who may send to it; none is everybody.
    pub allow_ips: Option<Networks>,
    /// Largest body in bytes, as it is sent and as it reads.
    pub max_body: u64,
    /// How many verified requests each host takes.
    pub rate_limit: Option<Rate>,
    /// What its bodies must look like.
    pub schema: Option<Schema>,
    /// Which of its events start runs; none is all.
    pub filter: Option<Filter>,
    /// How long a delivery id is remembered: what was set, but never shorter than
    /// this source's events are kept, so that no stored event is stored again.
    pub dedup_window: Duration,
    /// Whether an equal body within the window is a duplicate too.
    pub dedup_by_body: bool,
    /// How long its events are kept, if not as long as those of other sources;
    /// 1 hour to 3650 days.
    pub retention: Option<Duration>,
    /// The answer to what was stored, instead of our own.
    pub ack: Option<Ack>,
    /// Where in a body the values stand that its events are found by.
    pub index: Vec<Pointer>,
    /// Where in a body the values stand that are hidden where it is shown.
    pub redact: Vec<Pointer>,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Its status, 200 to 299.
    pub status: u16,
    /// Its body.
    pub body: String,
    /// Its `Content-Type`.
    pub content_type: String,
}

/// What all sources share.
pub(super) struct Common<'a> {
    /// How long the events are kept of a source that does not say.
    pub(super) events_kept: Duration,
    /// Providers of the operator's own.
    pub(super) own: &'a OwnProviders,
    /// `public_url`; empty where it is not set.
    pub(super) public_url: &'a str,
}

/// Reads one source's table and notes its problems.
pub(super) fn read(name: &str, mut table: Table<'_>, common: &Common<'_>) -> Option<SourceConfig> {
    let parsed_name = table.noted("", name.parse::<SourceName>());
    let provider = match table.string("provider") {
        Some(slug) => provider::overlaid(&slug, &mut table, common.own),
        None => {
            table.problem("provider", "is missing");
            None
        }
    };
    let secret = table.take("secret");
    let secrets = secret.map(|value| credentials(&table.path_of("secret"), value, table.reading()));
    let retention = table.duration("retention", SHORTEST_KEPT..=LONGEST_KEPT);
    let dedup_window = table
        .duration("dedup_window", Duration::from_mins(1)..=365 * DAY)
        .unwrap_or(30 * DAY);
    let source = SourceConfig {
        name: parsed_name?,
        path: path(&mut table),
        allow_ips: public::allow_ips(&mut table, common.own),
        max_body: table.size("max_body", 1..=MAX_BODY_MAX).unwrap_or(MAX_BODY),
        rate_limit: table.parse("rate_limit"),
        schema: schema(&mut table),
        filter: table.table("filter").map(filter::read),
        dedup_window: dedup_window.max(retention.unwrap_or(common.events_kept)),
        dedup_by_body: replay_protection(&mut table),
        retention,
        ack: table.table("ack").map(ack),
        index: pointers("index", &mut table),
        redact: pointers("redact", &mut table),
        secrets: Vec::new(),
        keys: Keyring::default(),
        public_url: common.public_url.to_owned(),
        provider: match provider {
            Some(provider) => provider,
            None => {
                // Without its provider it cannot be said which other keys are known.
                return None;
            }
        },
    };
    check_hidden(&source, &table);
    check_proof(
        &source.provider,
        secrets.is_some(),
        common.public_url,
        &table,
    );
    let secrets = secrets.unwrap_or_default();
    let keys = match &source.provider.proof {
        // Its plugin reads the secrets as it needs them.
        Proof::Verifier(_) => Ok(Keyring::default()),
        _ => Keyring::new(&source.provider.secret, &secrets),
    };
    let keys = keys.map_err(|(position, error)| match secrets.len() {
        1 => error.to_string(),
        _ => format!("number {} {error}", position + 1),
    });
    let keys = table.noted("secret", keys).unwrap_or_default();
    table.finish();
    Some(SourceConfig {
        secrets,
        keys,
        ..source
    })
}

/// Notes what a source lacks to check its provider's proof, or has for nothing.
fn check_proof(provider: &Provider, has_secret: bool, public_url: &str, table: &Table<'_>) {
    match provider.proof.needs_secret() {
        true if !has_secret && !provider.learns() => table.problem(
            "secret",
            "is missing; a source without one must say `provider = \"none\"`",
        ),
        false if has_secret => {
            table.problem("secret", "is never used: this provider checks no signature");
        }
        true | false => {}
    }
    if provider.proof.covers_url() && public_url.is_empty() {
        let name = &provider.name;
        table.problem(
            "provider",
            format_args!("`{name}` signs the address it sends to, which needs `public_url`"),
        );
    }
}

/// The file of `schema`, compiled.
fn schema(table: &mut Table<'_>) -> Option<Schema> {
    let file = table.reading().file(&table.string("schema")?);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("cannot read `{}`: {error}", file.display()));
    let text = table.noted("schema", text)?;
    let schema = Schema::compile(&text);
    table.noted(
        "schema",
        schema.map_err(|error| format!("`{}` {error}", file.display())),
    )
}

/// JSON Pointers into the body.
fn pointers(key: &'static str, table: &mut Table<'_>) -> Vec<Pointer> {
    let texts = table.strings(key);
    if texts.len() > POINTERS_MAX {
        let many = format_args!(
            "has {} pointers, at most {POINTERS_MAX} are taken",
            texts.len()
        );
        table.problem(key, many);
    }
    let read = texts.iter();
    read.filter_map(|text| table.noted(key, text.parse::<Pointer>()))
        .collect()
}

/// Notes what would be found by and hidden at once.
fn check_hidden(source: &SourceConfig, table: &Table<'_>) {
    for indexed in &source.index {
        let is_within = |hidden: &&Pointer| {
            let mut tokens = indexed.tokens();
            hidden.tokens().all(|token| tokens.next() == Some(token))
        };
        if let Some(hidden) = source.redact.iter().find(is_within) {
            let problem = format_args!("`{indexed}` is hidden by `redact`'s `{hidden}`");
            table.problem("index", problem);
        }
    }
}

fn path(table: &mut Table<'_>) -> Option<String> {
    let path = table.string("path")?;
    let taken = ["/webhooks/", "/healthz", "/readyz"]
        .iter()
        .any(|ours| path.starts_with(ours))
        || path == "/";
    if !path.starts_with('/') || path.contains(['?', '#']) || taken {
        table.problem(
            "path",
            format_args!("`{path}` must begin with `/` and be none of our own addresses"),
        );
        return None;
    }
    Some(path)
}

fn replay_protection(table: &mut Table<'_>) -> bool {
    match table.string("replay_protection").as_deref() {
        None | Some("none") => false,
        Some("body") => true,
        Some(other) => {
            table.problem(
                "replay_protection",
                format_args!("`{other}` is not one of `none`, `body`"),
            );
            false
        }
    }
}

fn ack(mut table: Table<'_>) -> Ack {
    let status = table.integer("status", 200..=299).unwrap_or(200);
    let ack = Ack {
        status: u16::try_from(status).unwrap_or(200),
        body: table.string("body").unwrap_or_default(),
        content_type: table
            .string("content_type")
            .unwrap_or_else(|| "text/plain".to_owned()),
    };
    let value = axum::http::HeaderValue::from_str(&ack.content_type);
    table.noted(
        "content_type",
        value.map_err(|_| "is not the value of a header"),
    );
    table.finish();
    ack
}
