//! The dashboard: pages for people, at the admin address.
//!
//! It is a client of the admin API in the same process: a page asks the API's router for
//! what it shows, a button sends what the API takes. So a page can show and do no more than
//! the API, by the same code, the same rights and the same audit. What is its own stands
//! here: signing in, forms, templates, drawing. No SQL, no board, no plugin.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};

use crate::admin::Access;
use crate::clock::Clock;
use crate::ingest::Sources;

mod api;
mod assets;
mod attention;
mod audit;
mod body;
mod chart;
mod compare;
mod events;
mod failure;
mod form;
mod frame;
mod journal;
mod kv;
mod list;
mod operations;
mod overview;
mod plugins;
mod quarantine;
mod runs;
mod send;
mod session;
mod shown;
mod sign_in;
mod sources;
mod spans;
mod stats;
mod stream;
mod tokens;

use failure::Failure;
use frame::Visit;
use session::Sessions;

/// What the pages are made with.
pub(crate) struct Dashboard {
    /// The admin API; it is asked as any client asks it.
    pub(crate) api: Router,
    /// Inbound addresses, which say what is hidden of their bodies.
    pub(crate) sources: Arc<Sources>,
    /// Who may sign in.
    pub(crate) access: Access,
    /// The time.
    pub(crate) clock: Clock,
    /// This host's name, for people.
    pub(crate) host_name: Arc<str>,
    /// Where providers reach this host.
    pub(crate) public_url: String,
    /// Whether browsers come by TLS, so that cookies may be kept from going without.
    pub(crate) is_tls: bool,
}

/// What the routes share.
struct Desk {
    dashboard: Dashboard,
    sessions: Sessions,
}

/// The routes, each with its function, beside those of the API.
pub(crate) fn routes(dashboard: Dashboard) -> Router {
    let api = dashboard.api.clone();
    let desk = Arc::new(Desk {
        sessions: Sessions::new(dashboard.access.key(session::PURPOSE)),
        dashboard,
    });
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/logout", post(sign_in::sign_out))
        .route("/events", get(events::list))
        .route(
            "/events/replay",
            get(events::ask_replay).post(events::replay_all),
        )
        .route("/events/{id}", get(events::show))
        .route("/events/{id}/body", get(events::body))
        .route("/events/{id}/replay", post(events::replay))
        .route("/runs", get(runs::list))
        .route("/runs/retry", get(runs::ask_retry).post(runs::retry_all))
        .route("/runs/{id}", get(runs::show))
        .route("/runs/{id}/retry", post(runs::retry))
        .route("/runs/{id}/cancel", post(runs::cancel))
        .route("/plugins", get(plugins::list))
        .route(
            "/plugins/rescan",
            get(plugins::show_rescan).post(plugins::rescan),
        )
        .route("/plugins/{name}", get(plugins::show))
        .route("/plugins/{name}/kv", get(kv::list))
        .route("/plugins/{name}/{action}", post(plugins::act))
        .route("/sources", get(sources::list))
        .route("/sources/{name}", get(sources::show))
        .route("/sources/{name}/{action}", post(sources::act))
        .route("/quarantine", get(quarantine::list))
        .route(
            "/quarantine/release",
            get(quarantine::ask_release).post(quarantine::release_all),
        )
        .route("/quarantine/{id}", get(quarantine::show))
        .route("/quarantine/{id}/body", get(quarantine::body))
        .route("/quarantine/{id}/release", post(quarantine::release))
        .route("/operations", get(operations::list))
        .route("/operations/{id}", get(operations::show))
        .route("/operations/{id}/cancel", post(operations::cancel))
        .route("/send", get(send::show).post(send::send))
        .route("/audit", get(audit::list))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{name}/revoke", post(tokens::revoke))
        .route("/stream", get(stream::follow));
    let api = api.layer(middleware::from_fn_with_state(Arc::clone(&desk), recognise));
    Router::new()
        .merge(pages)
        .route("/login", get(sign_in::show).post(sign_in::sign_in))
        .fallback(failure::nothing_here)
        .method_not_allowed_fallback(failure::wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), finish))
        .route("/assets/{file}", get(assets::serve))
        .with_state(desk)
        .merge(api)
        .layer(middleware::map_response(protect))
}

/// Who is signed in may look at what the API says of itself without showing the token again.
/// All else at the API needs it: a session must not be enough for anything that changes.
async fn recognise(
    State(desk): State<Arc<Desk>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let path = request.uri().path();
    let is_about = matches!(path, "/docs" | "/metrics" | "/openapi.json");
    let is_looking = request.method() == Method::GET && (is_about || path.starts_with("/docs/"));
    if is_looking && !request.headers().contains_key(header::AUTHORIZATION) {
        let now = desk.dashboard.clock.now();
        if let (_, Ok(Some(caller))) = desk.known(request.headers(), now).await {
            request.extensions_mut().insert(caller);
        }
    }
    next.run(request).await
}

/// What every page has in common: failures become pages, and what a browser is told.
async fn finish(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let (visit, known) = Visit::of(&desk, &parts).await;
    parts.extensions.insert(visit.clone());
    let mut response = match known {
        Ok(()) => {
            let response = next.run(Request::from_parts(parts, body)).await;
            failure::of_answer(response)
                .await
                .unwrap_or_else(Failure::into_response)
        }
        Err(failure) => failure.into_response(),
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = failure.page(&visit);
        let allow = allow.map(|allow| (header::ALLOW, allow));
        response.headers_mut().extend(allow);
    }
    visit.add_cookies(response.headers_mut());
    response
}

/// Nothing but our own files is loaded, nothing written into a page is run, nobody frames
/// it or is told where a visitor came from, and nothing of it is kept by a cache: of pages
/// and of what the API answers alike, where they do not say otherwise.
async fn protect(mut response: Response<Body>) -> Response<Body> {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
        img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
        frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        let headers = response.headers_mut();
        headers
            .entry(name)
            .or_insert_with(|| HeaderValue::from_static(value));
    }
    response
}
