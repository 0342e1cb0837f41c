//! `sources`: the inbound addresses and what came in by them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::ingest::inject::{InjectError, Injection, inject};
use crate::ingest::scheme::{Coverage, Proof};
use crate::ingest::{Source, learnt, pauses};
use crate::name::SourceName;
use crate::store::{Ingested, LearntRow, MatchRow, SourceSum};

use super::access::{Caller, Remote, Target};
use super::page::{Page, Parameters};
use super::schema::AnyBytes;
use super::{Admin, AdminError};

/// Longest kind that is taken.
const KIND_CHARS_MAX: usize = 512;

/// A source.
#[derive(Serialize, ToSchema)]
#[schema(as = Source)]
pub(super) struct SourceJson {
    name: String,
    paths: Vec<String>,
    provider: String,
    /// Whether the sender's proof covers the body.
    covers_body: bool,
    paused: bool,
    last_event_at: Option<Timestamp>,
    received_1h: i64,
    rejected_1h: i64,
    secrets: Vec<SecretJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SourceSecret)]
struct SecretJson {
    /// Which one, from 1 in the order of the configuration.
    n: usize,
    /// On whatever host.
    last_matched_at: Option<Timestamp>,
    /// Where it came from, if the sender brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    learnt: Option<LearntJson>,
}

/// A secret that the sender brought, for whoever compares it with the sender's settings.
#[derive(Serialize, ToSchema)]
#[schema(as = LearntSecret)]
struct LearntJson {
    /// The first 8 hexadecimal digits of its SHA-256.
    fingerprint: String,
    learnt_at: Timestamp,
    /// The last other one that came and was refused.
    refused: Option<RefusedJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RefusedSecret)]
struct RefusedJson {
    fingerprint: String,
    refused_at: Timestamp,
}

/// What the store has of all sources.
struct Shared {
    matches: Vec<MatchRow>,
    learnt: Vec<LearntRow>,
    last_events: BTreeMap<String, Timestamp>,
    last_hour: Vec<SourceSum>,
}

/// `GET sources`: all of them, by name.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources", summary = "Lists the sources, by name",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "How many items a page has; 50 if not given"), ("cursor" = Option<String>, Query, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "Continues behind a page: its `next_cursor`")),
    responses((status = 200, description = "A page", body = Page<SourceJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    mut parameters: Parameters,
) -> Result<Json<Page<SourceJson>>, AdminError> {
    let limit = parameters.limit()?;
    let after: Option<SourceName> = parameters.parse("cursor")?;
    parameters.finish()?;
    let since = admin.clock.now().minus(Duration::from_hours(1));
    let shared = Shared {
        last_hour: taken_since(&admin, since).await?,
        matches: admin.store.secret_matches().await?,
        learnt: admin.store.learnt_secrets().await?,
        last_events: admin.store.last_events_at().await?,
    };
    let mut sources = admin.sources.all();
    if let Some(after) = after {
        sources.retain(|source| source.config.name > after);
    }
    let json = |source: &Arc<Source>| source_json(&admin, source, &shared);
    let items = sources.iter().map(json).collect();
    Ok(Page::new(items, limit, |source: &SourceJson| source.name.clone()).json())
}

/// What each source took and refused, the present minute included; a source may be there
/// twice.
async fn taken_since(admin: &Admin, since: Timestamp) -> Result<Vec<SourceSum>, AdminError> {
    let (present, minutes, _) = admin.metrics.minutes.peek();
    let mut sums = admin.store.source_sums(since, present).await?;
    sums.extend(minutes.into_iter().map(|minute| SourceSum {
        source: minute.source,
        received: minute.received + minute.duplicates,
        rejected: minute.rejected,
    }));
    Ok(sums)
}

/// `POST sources/{name}/pause`: its senders are told to come again, by every host,
/// until it is resumed.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/pause", tag = "sources", summary = "Tells its senders to come again, on every host",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The source's name")),
    responses((status = 204, description = "It is paused")),
)]
pub(super) async fn pause(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    set_paused(&admin, &name, true).await
}

/// `POST sources/{name}/resume`.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/resume", tag = "sources", summary = "Takes its webhooks again",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The source's name")),
    responses((status = 204, description = "It takes webhooks")),
)]
pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    set_paused(&admin, &name, false).await
}

/// `POST sources/{name}/secrets/forget`: what its sender brought is its secret no more; the
/// next one that comes is.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/secrets/forget", tag = "sources",
    summary = "Forgets the secret that its sender brought",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The source's name")),
    responses((status = 204, description = "The next one that comes is its secret")),
)]
pub(super) async fn forget_secret(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    if !admin.store.forget_secret(&name).await? {
        return Err(AdminError::unknown(
            "secret that a sender brought to source",
            name,
        ));
    }
    // Here at once; other hosts look every other second.
    learnt::read(&admin.store, &admin.sources).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The answer to an injected event.
#[derive(Serialize, ToSchema)]
#[schema(as = Injected)]
pub(super) struct InjectedJson {
    /// `accepted`, or `duplicate` of the event that is named
    status: &'static str,
    event_id: EventId,
}

/// `POST sources/{name}/events?kind=&delivery_id=`: an operator's own event. Its body is
/// the request's, of any type; what is not said here is read as of a sender's.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/events", tag = "sources",
    summary = "Injects an event: stored, marked, and run like a sender's",
    params(
        ("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The source's name"),
        ("kind" = Option<String>, Query, min_length = 1, max_length = 512, description = "Its kind, instead of what the provider says"),
        ("delivery_id" = Option<String>, Query, min_length = 1, description = "Its delivery id, likewise"),
    ),
    request_body(content = inline(AnyBytes), content_type = "*/*", description = "The body, of any type"),
    responses(
        (status = 202, description = "It is stored", body = InjectedJson),
        (status = 200, description = "It is known", body = InjectedJson),
    ),
)]
pub(super) async fn inject_event(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    mut parameters: Parameters,
    request: Request,
) -> Result<(StatusCode, Extension<Target>, Json<InjectedJson>), AdminError> {
    let injection = Injection {
        kind: parameters.take("kind"),
        delivery_id: parameters.take("delivery_id"),
        by: caller.token.to_string(),
    };
    parameters.finish()?;
    if injection
        .kind
        .as_ref()
        .is_some_and(|kind| kind.chars().count() > KIND_CHARS_MAX)
    {
        let long = format!("parameter `kind` has more than {KIND_CHARS_MAX} characters");
        return Err(AdminError::Invalid(long));
    }
    let source = admin.sources.named(&name);
    let source = source.ok_or_else(|| AdminError::unknown("source", &name))?;
    let remote = request.extensions().get::<Remote>();
    let remote = remote.map_or(IpAddr::from([0, 0, 0, 0]), |Remote(address)| *address);
    let (event_id, ingested) = inject(&admin.door, &source, request, injection, remote).await?;
    let (code, status) = match ingested {
        Ingested::Duplicate(_) => (StatusCode::OK, "duplicate"),
        Ingested::New | Ingested::Conflict => (StatusCode::ACCEPTED, "accepted"),
    };
    let target = Extension(Target(format!("{name} event {event_id}")));
    Ok((code, target, Json(InjectedJson { status, event_id })))
}

impl From<InjectError> for AdminError {
    fn from(error: InjectError) -> Self {
        match error {
            InjectError::TooLarge(_) => Self::TooLarge(error.to_string()),
            InjectError::Wrong(problem) => Self::Invalid(problem),
            InjectError::Unavailable(problem) => Self::Unavailable(problem),
        }
    }
}

async fn set_paused(admin: &Admin, name: &str, is_paused: bool) -> Result<StatusCode, AdminError> {
    if admin.sources.named(name).is_none() {
        return Err(AdminError::unknown("source", name));
    }
    admin.store.pause_source(name, is_paused).await?;
    // Here at once; other hosts look every second.
    pauses::read(&admin.store, &admin.sources).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn source_json(admin: &Admin, source: &Source, shared: &Shared) -> SourceJson {
    let config = &source.config;
    let name = config.name.as_str();
    let (mut received_1h, mut rejected_1h) = (0, 0);
    for sum in shared.last_hour.iter().filter(|sum| sum.source == name) {
        received_1h += sum.received;
        rejected_1h += sum.rejected;
    }
    SourceJson {
        name: name.to_owned(),
        paths: std::iter::once(format!("/webhooks/{name}"))
            .chain(config.path.clone())
            .collect(),
        provider: config.provider.name.clone(),
        covers_body: covers_body(admin, &config.provider.proof),
        paused: admin.sources.is_paused(source),
        last_event_at: shared.last_events.get(name).copied(),
        received_1h,
        rejected_1h,
        secrets: secrets(source, shared),
    }
}

/// Of a verifier, what it says of itself.
fn covers_body(admin: &Admin, proof: &Proof) -> bool {
    let Proof::Verifier(by) = proof else {
        return proof.coverage() == Coverage::Body;
    };
    let board = admin.board.load();
    let entry = board.entries.get(&by.verifier);
    let manifest = entry.and_then(|entry| entry.manifest.as_ref());
    let said = manifest.and_then(|manifest| manifest.verifies.as_ref());
    said.is_some_and(|said| said.covers_body)
}

fn secrets(source: &Source, shared: &Shared) -> Vec<SecretJson> {
    let name = source.config.name.as_str();
    let learnt = shared.learnt.iter().find(|row| row.source == name);
    let secret = |(index, (fingerprint, here)): (usize, (String, Option<Timestamp>))| {
        let of_this = |one: &&MatchRow| one.source == name && one.fingerprint == fingerprint;
        let elsewhere = shared
            .matches
            .iter()
            .find(of_this)
            .map(|one| one.matched_at);
        SecretJson {
            n: index + 1,
            last_matched_at: here.max(elsewhere),
            learnt: learnt
                .filter(|_| source.config.secrets.is_empty())
                .map(|row| LearntJson {
                    fingerprint: row.secret.fingerprint(),
                    learnt_at: row.learnt_at,
                    refused: row
                        .refused
                        .clone()
                        .map(|(fingerprint, refused_at)| RefusedJson {
                            fingerprint,
                            refused_at,
                        }),
                }),
        }
    };
    source
        .secrets()
        .into_iter()
        .enumerate()
        .map(secret)
        .collect()
}
