//! Both HTTP addresses: their routes, in one place each, and the form of errors.
//!
//! `/webhooks/{source}` goes to [`ingest::receive`], everything under `/api/v1` to
//! `admin`. Nothing is decided here but which function answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::{self, Admin};
use crate::dashboard::{self, Dashboard};
use crate::dispatch::SharedBoard;
use crate::ingest::{self, Door};
use crate::store::Store;

mod crowd;
pub(crate) mod headers;
mod serve;
mod tls;

pub use crowd::{Connections, Crowd};
pub use serve::{Patience, serve};
pub use tls::{Identity, IdentityError, Tls};

/// What the public address answers with.
pub struct Public {
    /// What receives their webhooks.
    pub door: Arc<Door>,
    /// Whether the database answers.
    pub store: Store,
    /// Whether the plugins were looked at.
    pub board: SharedBoard,
}

/// The public address: webhooks, and whether the host is well.
pub fn public_routes(public: Arc<Public>) -> Router {
    Router::new()
        .route(
            "/",
            get(async || "Hookbay receives webhooks at /webhooks/{source}.\n"),
        )
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .fallback(webhook)
        .method_not_allowed_fallback(wrong_method)
        .with_state(public)
}

/// How the addresses are seen from outside.
pub struct Seen {
    /// Where providers reach this host.
    pub public_url: String,
    /// Whether browsers reach the private address by TLS.
    pub is_tls: bool,
}

/// The private address: the admin API, metrics, and the dashboard over them.
pub fn admin_routes(admin: Arc<Admin>, seen: Seen) -> Router {
    let (access, clock) = (admin.access.clone(), admin.clock.clone());
    let host_name = Arc::clone(&admin.host_name);
    let sources = Arc::clone(&admin.sources);
    let dashboard = Dashboard {
        api: admin::routes(admin),
        sources,
        access,
        clock,
        host_name,
        public_url: seen.public_url,
        is_tls: seen.is_tls,
    };
    dashboard::routes(dashboard).method_not_allowed_fallback(wrong_method)
}

/// Every other path of the public address is a source's, or nobody's.
async fn webhook(
    State(public): State<Arc<Public>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let Some(source) = public.door.sources.at(request.uri().path()) else {
        return not_found(request).await;
    };
    ingest::receive(&public.door, &source, request, peer.ip()).await
}

async fn ready(State(public): State<Arc<Public>>) -> Response<Body> {
    let problem = if !public.board.load().is_ready {
        "the first scan of the plugins directory has not ended"
    } else if !public.store.answers().await {
        "the database does not answer"
    } else {
        return Response::new(Body::from("ready\n"));
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not ready")
        .detail(problem.to_owned())
        .retry_after(Duration::from_secs(1))
        .into_response()
}

pub(crate) async fn not_found(request: Request) -> Response<Body> {
    let detail = format!("nothing is at `{}`", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "not found")
        .detail(detail)
        .into_response()
}

pub(crate) async fn wrong_method(request: Request) -> Response<Body> {
    let detail = format!(
        "`{}` is not answered at `{}`",
        request.method(),
        request.uri().path()
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        .detail(detail)
        .into_response()
}

/// Rounded up: who comes back then does not come too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// An error as users of both addresses see it: `application/problem+json`
/// (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    request_id: String,
    /// Members of its own kind (RFC 9457 section 3.2).
    #[serde(flatten, skip_serializing_if = "serde_json::Value::is_null")]
    more: serde_json::Value,
    #[serde(skip)]
    retry_after: Option<Duration>,
    #[serde(skip)]
    allow: Option<String>,
}

impl Problem {
    /// A problem of this class; `title` is the same for all of its kind.
    pub fn new(status: StatusCode, title: &'static str) -> Self {
        Self {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            detail: String::new(),
            request_id: String::new(),
            more: serde_json::Value::Null,
            retry_after: None,
            allow: None,
        }
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What it is this time.
    pub fn detail(self, detail: String) -> Self {
        Self { detail, ..self }
    }

    /// Members of its own kind: an object.
    pub fn with(self, more: serde_json::Value) -> Self {
        Self { more, ..self }
    }

    /// When it is worth another try.
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }

    /// Which methods are allowed instead, with commas between.
    pub fn allow(self, methods: String) -> Self {
        Self {
            allow: Some(methods),
            ..self
        }
    }

    /// The response, for a request that has no id yet.
    pub fn into_response(self) -> Response<Body> {
        self.into_response_to(&uuid::Uuid::new_v4().to_string())
    }

    /// The response to the request with this id.
    pub fn into_response_to(mut self, request_id: &str) -> Response<Body> {
        request_id.clone_into(&mut self.request_id);
        let body = serde_json::to_vec(&self).expect("a problem is always JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(methods) = self
            .allow
            .and_then(|methods| HeaderValue::try_from(methods).ok())
        {
            headers.insert(header::ALLOW, methods);
        }
        if let Some(after) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(whole_seconds(after).max(1)),
            );
        }
        response
    }
}
