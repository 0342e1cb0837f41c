//! `[sources.NAME]`: one inbound address.

use std::time::Duration;

use crate::ingest::scheme::{Proof, Provider};
use crate::name::SourceName;

use super::provider;
use super::reader::Table;
use super::retention::{LONGEST_KEPT, SHORTEST_KEPT};
use super::secret::{Secret, secrets};

/// Largest body of a source that sets none (design, section 3.3).
const MAX_BODY: u64 = 25 << 20;
/// Largest body that a source may allow: bodies are held in memory.
const MAX_BODY_MAX: u64 = 256 << 20;
const DAY: Duration = Duration::from_hours(24);

/// One inbound address with its provider, secrets and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its name, part of its address.
    pub name: SourceName,
    /// The sender's convention.
    pub provider: Provider,
    /// Secrets, any of which may match.
    pub secrets: Vec<Secret>,
    /// A further address, such as `/hooks/old-address`.
    pub path: Option<String>,
    /// Largest body in bytes.
    pub max_body: u64,
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

/// Reads one source's table and notes its problems; `events_kept` is how long the
/// events are kept of a source that does not say.
pub(super) fn read(
    name: &str,
    mut table: Table<'_>,
    events_kept: Duration,
) -> Option<SourceConfig> {
    let parsed_name = table.noted("", name.parse::<SourceName>());
    let provider = match table.string("provider") {
        Some(slug) => provider::overlaid(&slug, &mut table),
        None => {
            table.problem("provider", "is missing");
            None
        }
    };
    let secret = table.take("secret");
    let secrets = secret.map(|value| secrets(&table.path_of("secret"), value, table.reading()));
    let retention = table.duration("retention", SHORTEST_KEPT..=LONGEST_KEPT);
    let dedup_window = table
        .duration("dedup_window", Duration::from_mins(1)..=365 * DAY)
        .unwrap_or(30 * DAY);
    let source = SourceConfig {
        name: parsed_name?,
        path: path(&mut table),
        max_body: table.size("max_body", 1..=MAX_BODY_MAX).unwrap_or(MAX_BODY),
        dedup_window: dedup_window.max(retention.unwrap_or(events_kept)),
        dedup_by_body: replay_protection(&mut table),
        retention,
        ack: table.table("ack").map(ack),
        secrets: Vec::new(),
        provider: match provider {
            Some(provider) => provider,
            None => {
                // Without its provider it cannot be said which other keys are known.
                return None;
            }
        },
    };
    table.not_yet(&[
        "schema",
        "allow_ips",
        "rate_limit",
        "filter",
        "index",
        "redact",
    ]);
    let given = secrets.is_some();
    let secrets = secrets.unwrap_or_default();
    match source.provider.proof {
        Proof::Hmac(_) if !given => table.problem(
            "secret",
            format_args!("is missing; a source without one must say `provider = \"none\"`"),
        ),
        Proof::None if given => {
            table.problem("secret", "is never used: this provider checks no signature")
        }
        Proof::Hmac(_) | Proof::None => {}
    }
    table.finish();
    Some(SourceConfig { secrets, ..source })
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
