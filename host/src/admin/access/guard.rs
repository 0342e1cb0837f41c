//! What every route of the admin address asks of whoever comes, and the record of every
//! change.
//!
//! A request without a good token is answered 401 before its path or body is looked at
//! ([`authenticate`]). Every route says which scope it needs, for nothing else can be added
//! to [`Routes`]; too small a scope is 403. A change is noted in the audit log before it is
//! tried and completed when it is answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::MethodRouter;

use crate::admin::{Admin, AdminError};
use crate::http::Problem;
use crate::store::{NewChange, Scope};

use super::{Caller, while_good};

/// Whoever reads metrics that are open to everybody.
const ANYBODY: &str = "anybody";
/// The longest target that is noted.
const NOTED_CHARS_MAX: usize = 300;

/// The address that a request came from, behind proxies that are trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) IpAddr);

/// What a change was of, where only the answer tells: an extension of the response.
#[derive(Clone, Debug)]
pub(crate) struct Target(pub(crate) String);

/// Routes that have said which scope they need.
pub(crate) struct Guarded<S>(MethodRouter<S>);

/// Routes of an address that all have said which scope they need.
pub(crate) struct Routes<S> {
    router: Router<S>,
    /// Where they are.
    paths: Vec<String>,
}

/// What a route needs, and what it is called in the audit log if it changes something.
#[derive(Clone, Copy)]
struct Need {
    scope: Scope,
    action: Option<&'static str>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(crate) fn new() -> Self {
        Self {
            router: Router::new(),
            paths: Vec::new(),
        }
    }

    pub(crate) fn route(mut self, path: &str, guarded: Guarded<S>) -> Self {
        self.paths.push(path.to_owned());
        Self {
            router: self.router.route(path, guarded.0),
            paths: self.paths,
        }
    }

    pub(crate) fn nest(mut self, path: &str, routes: Self) -> Self {
        let inner = routes.paths.iter().map(|inner| format!("{path}{inner}"));
        self.paths.extend(inner);
        Self {
            router: self.router.nest(path, routes.router),
            paths: self.paths,
        }
    }

    pub(crate) fn into_router(self) -> Router<S> {
        self.router
    }

    /// Where they are, one or more times each.
    pub(crate) fn paths(self) -> Vec<String> {
        self.paths
    }
}

/// Routes that only look.
pub(crate) fn reads<S: Clone + Send + Sync + 'static>(routes: MethodRouter<S>) -> Guarded<S> {
    needing(Scope::Read, None, routes)
}

/// Routes that change what runs; `action` is their name in the audit log.
pub(crate) fn operates<S: Clone + Send + Sync + 'static>(
    action: &'static str,
    routes: MethodRouter<S>,
) -> Guarded<S> {
    needing(Scope::Operate, Some(action), routes)
}

/// Routes that change who may do what, or reach what nobody else may.
pub(crate) fn administers<S: Clone + Send + Sync + 'static>(
    action: &'static str,
    routes: MethodRouter<S>,
) -> Guarded<S> {
    needing(Scope::Admin, Some(action), routes)
}

/// Routes that show what only administrators may see.
pub(crate) fn reveals<S: Clone + Send + Sync + 'static>(routes: MethodRouter<S>) -> Guarded<S> {
    needing(Scope::Admin, None, routes)
}

fn needing<S: Clone + Send + Sync + 'static>(
    scope: Scope,
    action: Option<&'static str>,
    routes: MethodRouter<S>,
) -> Guarded<S> {
    let need = Need { scope, action };
    Guarded(routes.route_layer(middleware::from_fn_with_state(need, guard)))
}

/// Lets nobody pass without a token (RFC 6750).
pub(in crate::admin) async fn authenticate(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    // The dashboard has found out who it asks for; nobody outside can say so.
    let known = request.extensions().get::<Caller>().cloned();
    let caller = match (known, bearer(&request)) {
        (Some(caller), _) => Some(caller),
        (None, Some(shown)) => match admin.access.identify(shown).await {
            Ok(caller) => caller,
            Err(error) => return AdminError::Store(error).into_response(),
        },
        (None, None) => None,
    };
    let shown = caller.clone();
    let is_open = admin.metrics_open && request.uri().path() == "/metrics";
    let anybody = || is_open.then(|| admin.access.caller(ANYBODY, Scope::Read, ""));
    let Some(caller) = caller.or_else(anybody) else {
        return unauthenticated();
    };
    request.extensions_mut().insert(caller);
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(peer) = peer.map(|ConnectInfo(peer)| peer.ip()) {
        let remote = Remote(admin.sources.remote(peer, request.headers()));
        request.extensions_mut().insert(remote);
    }
    let response = next.run(request).await;
    let Some(shown) = shown else {
        return response;
    };
    while_good(response, move || {
        let shown = shown.clone();
        async move { shown.is_good().await }
    })
}

fn bearer(request: &Request) -> Option<&[u8]> {
    let given = request.headers().get(header::AUTHORIZATION)?;
    let (scheme, token) = given.to_str().ok()?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().as_bytes())
}

fn unauthenticated() -> Response<Body> {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "not authenticated")
        .detail("send a token as `Authorization: Bearer …`".to_owned())
        .into_response();
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Lets nobody pass whose token is not good for this, and notes what is changed.
async fn guard(
    State(need): State<Need>,
    named: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return unauthenticated();
    };
    let is_allowed = caller.scope >= need.scope;
    let refusal = || {
        let (has, needs) = (caller.scope.as_str(), need.scope.as_str());
        let name = &caller.token;
        let detail = format!("this needs scope `{needs}`; token `{name}` has `{has}`");
        Problem::new(StatusCode::FORBIDDEN, "not allowed")
            .detail(detail)
            .into_response()
    };
    let Some(action) = need.action else {
        return match is_allowed {
            true => next.run(request).await,
            false => refusal(),
        };
    };
    let mut change = change_of(&request, named.ok().as_ref(), action, &caller);
    let store = &caller.access.0.store;
    if !is_allowed {
        change.status = Some(StatusCode::FORBIDDEN.as_u16());
    }
    let noted = match store.begin_change(change).await {
        Ok(noted) => noted,
        Err(error) => return AdminError::Store(error).into_response(),
    };
    if !is_allowed {
        return refusal();
    }
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let target = response.extensions().get::<Target>();
    let target = target.map(|Target(target)| shortened(target));
    if let Err(error) = store.end_change(noted, status, target).await {
        let token = &*caller.token;
        tracing::error!(%error, action, token, status, "the audit log does not have the end of a change");
    }
    response
}

/// The change, of what the route leaves open first, if it leaves anything open.
fn change_of(
    request: &Request,
    named: Option<&RawPathParams>,
    action: &'static str,
    caller: &Caller,
) -> NewChange {
    let remote = request.extensions().get::<Remote>();
    let target = named.and_then(|named| named.iter().next());
    NewChange {
        token: caller.token.to_string(),
        action,
        target: target.map(|(_, target)| shortened(target)),
        remote_addr: remote.map(|Remote(address)| address.to_string()),
        status: None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NOTED_CHARS_MAX).collect()
}
