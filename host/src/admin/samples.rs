//! `sources/{name}/samples`: what a source's provider would send, and sending it.
//!
//! It is signed with the source's own secret, as `hookbay send` does, and handed to the
//! public address: from there on it is a webhook like any other.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::http::{Method, Request};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tower_service::Service as _;
use utoipa::ToSchema;

use crate::http::Problem;
use crate::ingest::Source;
use crate::ingest::delivery::{Delivery, Sender, prepare};
use crate::ingest::sample;

use super::access::Remote;
use super::page::{Page, Parameters};
use super::problems::JsonBytes;
use super::{Admin, AdminError};

/// As much of an answer as is told; our own have under 200 bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Samples of a source: all are on one page.
const SAMPLES_MAX: u32 = 1000;

/// What a provider would send.
#[derive(Serialize, ToSchema)]
#[schema(as = Sample)]
pub(super) struct SampleJson {
    kind: String,
    content_type: String,
    body: String,
}

/// `POST sources/{name}/samples`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedSample)]
struct Wanted {
    kind: Option<String>,
    body: Option<String>,
}

/// What the public address answered.
#[derive(Serialize, ToSchema)]
#[schema(as = SentSample)]
pub(super) struct SentJson {
    status: u16,
    answer: String,
    event_id: Option<String>,
}

/// `GET sources/{name}/samples`: with ids that were never used.
#[utoipa::path(
    get, path = "/api/v1/sources/{name}/samples", tag = "sources",
    summary = "Lists what the source's provider would send",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The source's name")),
    responses((status = 200, description = "All of them", body = Page<SampleJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    parameters: Parameters,
) -> Result<Json<Page<SampleJson>>, AdminError> {
    parameters.finish()?;
    let source = named(&admin, &name)?;
    let samples = sample::all(&source.config.provider.name);
    let items = samples.into_iter().map(|sample| SampleJson {
        kind: sample.kind,
        content_type: sample.content_type,
        body: String::from_utf8_lossy(&sample.body).into_owned(),
    });
    let kind = |sample: &SampleJson| sample.kind.clone();
    Ok(Page::new(items.collect(), SAMPLES_MAX, kind).json())
}

/// `POST sources/{name}/samples {"kind"?, "body"?}`: the provider's first sample, if nothing
/// else is asked for.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/samples", tag = "sources",
    summary = "Sends a sample as the source's provider would, signed with its secret",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The source's name")),
    request_body(content = Option<Wanted>),
    responses(
        (status = 200, description = "What the public address answered", body = SentJson),
        (status = 409, description = "It cannot be made", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "The answer cannot be read", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn send(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    remote: Option<Extension<Remote>>,
    body: JsonBytes,
) -> Result<Json<SentJson>, AdminError> {
    let wanted: Wanted = body.object_if_any()?.unwrap_or_default();
    let source = named(&admin, &name)?;
    let config = &source.config;
    let path = format!("/webhooks/{}", config.name);
    let public_url = format!("{}{path}", config.public_url);
    let sender = Sender {
        provider: &config.provider,
        keys: &config.keys,
        url: &path,
        public_url: (!config.public_url.is_empty()).then_some(&public_url),
    };
    let own_body = wanted.body.map(String::into_bytes);
    let delivery = prepare(&sender, wanted.kind.as_deref(), own_body, admin.clock.now());
    let delivery = delivery.map_err(AdminError::NotNow)?;
    let request = request(delivery, remote.map(|Extension(remote)| remote))?;
    deliver(admin.public.clone(), request).await.map(Json)
}

fn named(admin: &Admin, name: &str) -> Result<Arc<Source>, AdminError> {
    let mut all = admin.sources.all().into_iter();
    all.find(|source| source.config.name.as_str() == name)
        .ok_or_else(|| AdminError::unknown("source", name))
}

/// It seems to come from where the operator is, for a source that lets in few addresses.
fn request(delivery: Delivery, remote: Option<Remote>) -> Result<Request<Body>, AdminError> {
    let mut request = Request::builder().method(Method::POST).uri(&delivery.url);
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let length = delivery.body.len();
    let request = request
        .header("content-length", length)
        .body(Body::from(delivery.body));
    let mut request =
        request.map_err(|error| AdminError::NotNow(format!("it cannot be sent: {error}")))?;
    if let Some(Remote(address)) = remote {
        let peer = ConnectInfo(SocketAddr::new(address, 0));
        request.extensions_mut().insert(peer);
    }
    Ok(request)
}

async fn deliver(mut public: Router, request: Request<Body>) -> Result<SentJson, AdminError> {
    #[derive(Deserialize)]
    struct Acknowledged {
        event_id: Option<String>,
    }
    let response = match public.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status().as_u16();
    let answer = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
    let answer = answer.map_err(|error| AdminError::Failed(format!("the answer: {error}")))?;
    let acknowledged = serde_json::from_slice::<Acknowledged>(&answer).ok();
    Ok(SentJson {
        status,
        answer: String::from_utf8_lossy(&answer).into_owned(),
        event_id: acknowledged.and_then(|acknowledged| acknowledged.event_id),
    })
}
