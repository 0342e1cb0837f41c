//! Who may ask what of the admin address: tokens, what they are good for, and the
//! record of every change.
//!
//! A request without a good token is answered 401 before its path or body is looked
//! at ([`authenticate`]). Every route says which scope it needs, for nothing else can
//! be added to [`Routes`]; too small a scope is 403. A change is noted in the audit log
//! before it is tried and completed when it is answered.
//!
//! Named tokens are few and kept in memory for [`FRESH`]: one that is revoked stops
//! within that time on every host, at once on the one that revoked it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{ConnectInfo, RawPathParams, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::{Clock, Timestamp};
use crate::config::Secret;
use crate::http::Problem;
use crate::store::{NewChange, Scope, Store, StoreError, TokenRow};

use super::{Admin, AdminError};

/// What every named token begins with, so that scanners for secrets know it.
const TOKEN_PREFIX: &str = "hookbay_";
/// What the token that the host itself has is called.
pub(crate) const BOOTSTRAP: &str = "bootstrap";
/// Whoever reads metrics that are open to everybody.
const ANYBODY: &str = "anybody";
/// How long what was read of the tokens counts.
const FRESH: Duration = Duration::from_secs(2);
/// Between two notes that a token was used.
const USED_EVERY: Duration = Duration::from_mins(1);
/// The longest target that is noted.
const NOTED_CHARS_MAX: usize = 300;

/// Knows the tokens.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    bootstrap: Secret,
    store: Store,
    clock: Clock,
    known: Mutex<Known>,
}

/// The named tokens as last read.
#[derive(Default)]
struct Known {
    tokens: Arc<[TokenRow]>,
    read: Option<Instant>,
}

/// Who asks, once a token was shown.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The token's name.
    pub(crate) token: Arc<str>,
    /// What it is good for.
    pub(crate) scope: Scope,
    /// Apart from every other token that ever had this name; says nothing of its text.
    pub(crate) mark: Arc<str>,
    access: Access,
}

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

impl Access {
    /// The host's own token, and those in the store.
    pub(crate) fn new(bootstrap: Secret, store: Store, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            bootstrap,
            store,
            clock,
            known: Mutex::default(),
        }))
    }

    /// Whose token this is, if it is good for anything.
    ///
    /// # Errors
    /// [`StoreError`] if the store knows and does not answer.
    pub(crate) async fn identify(&self, shown: &[u8]) -> Result<Option<Caller>, StoreError> {
        if bool::from(shown.ct_eq(self.0.bootstrap.expose())) {
            return Ok(Some(self.bootstrap()));
        }
        if !shown.starts_with(TOKEN_PREFIX.as_bytes()) {
            return Ok(None);
        }
        let sha256 = Sha256::digest(shown);
        let tokens = self.tokens().await?;
        let now = self.0.clock.now();
        // All are compared, so that the time says nothing of which it is.
        let mut found = None;
        for token in &*tokens {
            if bool::from(token.sha256.as_slice().ct_eq(&sha256)) {
                found = Some(token);
            }
        }
        let Some(token) = found.filter(|token| is_good(token, now)) else {
            return Ok(None);
        };
        self.note_use(token, now).await;
        Ok(Some(self.caller(&token.name, token.scope, &mark(token))))
    }

    /// Somebody who has shown a token before, if it is good still.
    ///
    /// # Errors
    /// [`StoreError`] if the store knows and does not answer.
    pub(crate) async fn again(
        &self,
        name: &str,
        marked: &str,
    ) -> Result<Option<Caller>, StoreError> {
        if name == BOOTSTRAP {
            return Ok(Some(self.bootstrap()));
        }
        let tokens = self.tokens().await?;
        let now = self.0.clock.now();
        let mut same = tokens
            .iter()
            .filter(|token| token.name == name && mark(token) == marked && is_good(token, now));
        let Some(token) = same.next() else {
            return Ok(None);
        };
        self.note_use(token, now).await;
        Ok(Some(self.caller(&token.name, token.scope, marked)))
    }

    /// A key for one purpose, the same on every host with this token of its own.
    pub(crate) fn key(&self, purpose: &[u8]) -> [u8; 32] {
        let key = Hmac::<Sha256>::new_from_slice(self.0.bootstrap.expose());
        let mut key = key.expect("HMAC takes keys of any length");
        key.update(purpose);
        key.finalize().into_bytes().into()
    }

    fn bootstrap(&self) -> Caller {
        self.caller(BOOTSTRAP, Scope::Admin, "")
    }

    /// Forgets what was read of the tokens: one of them has changed.
    pub(super) fn changed(&self) {
        self.known().read = None;
    }

    fn caller(&self, token: &str, scope: Scope, mark: &str) -> Caller {
        Caller {
            token: token.into(),
            scope,
            mark: mark.into(),
            access: self.clone(),
        }
    }

    async fn tokens(&self) -> Result<Arc<[TokenRow]>, StoreError> {
        {
            let known = self.known();
            if known.read.is_some_and(|read| read.elapsed() < FRESH) {
                return Ok(Arc::clone(&known.tokens));
            }
        }
        // What is revoked while they are read does not count as read.
        let began = Instant::now();
        let tokens: Arc<[TokenRow]> = self.0.store.tokens().await?.into();
        let mut known = self.known();
        known.tokens = Arc::clone(&tokens);
        known.read = Some(began);
        Ok(tokens)
    }

    /// Once in a while; what cannot be noted keeps nobody out.
    async fn note_use(&self, token: &TokenRow, now: Timestamp) {
        let last = token.last_used_at.unwrap_or_default();
        if now.since(last) < USED_EVERY {
            return;
        }
        if let Err(error) = self.0.store.token_used(&token.name).await {
            tracing::warn!(%error, token = token.name, "that a token was used cannot be noted");
        }
        self.changed();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_good(token: &TokenRow, now: Timestamp) -> bool {
    token.expires_at.is_none_or(|until| now < until)
}

/// Half of the sha256: nobody finds the token by it, and no other token has it.
fn mark(token: &TokenRow) -> String {
    hex::encode(&token.sha256[..token.sha256.len() / 2])
}

/// A new token's text and its sha256.
pub(super) fn new_token() -> (String, [u8; 32]) {
    let text = format!("{TOKEN_PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
    let sha256 = Sha256::digest(text.as_bytes()).into();
    (text, sha256)
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
pub(super) async fn authenticate(
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
    let is_open = admin.metrics_open && request.uri().path() == "/metrics";
    let anybody = || is_open.then(|| admin.access.caller(ANYBODY, Scope::Read, ""));
    let Some(caller) = caller.or_else(anybody) else {
        return unauthenticated();
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
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
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let target = named.and_then(|named| named.iter().next());
    NewChange {
        token: caller.token.to_string(),
        action,
        target: target.map(|(_, target)| shortened(target)),
        remote_addr: peer.map(|ConnectInfo(peer)| peer.ip().to_string()),
        status: None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NOTED_CHARS_MAX).collect()
}
