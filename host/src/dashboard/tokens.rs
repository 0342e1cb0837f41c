//! Tokens beside the host's own: who has which, making one, and taking one away. The text of
//! one stands in the answer to the button that makes it, and nowhere else.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::api::{Items, segment};
use super::events::told;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};

/// How long a token may be good: days, and how that is called. None is for good.
const TIMES: [(&str, &str); 5] = [
    ("", "until it is revoked"),
    ("1", "1 day"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "a year"),
];
/// What a token may do, and how that is told.
const SCOPES: [(&str, &str); 3] = [
    (
        "read",
        "read: look at everything but tokens and the audit log",
    ),
    ("operate", "operate: also replay, retry, pause, release"),
    ("admin", "admin: everything, also tokens and erasure"),
];

/// A token, without its text.
#[derive(Deserialize)]
struct Token {
    name: String,
    scope: String,
    created_at: String,
    created_by: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

/// One that was made now.
#[derive(Deserialize)]
struct Made {
    name: String,
    token: String,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    tokens: Vec<Token>,
    made: Option<Made>,
    problem: Option<String>,
    /// What was filled in, where it was not good.
    name: String,
    scope: String,
    days: String,
    scopes: [(&'static str, &'static str); 3],
    times: [(&'static str, &'static str); 5],
}

/// `GET /tokens`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    frame::page(&TokensPage::of(&visit).await?)
}

/// `POST /tokens`: shows the token in the answer itself, since no redirect may carry it.
pub(super) async fn create(form: Form) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let [name, scope, days] =
        ["name", "scope", "days"].map(|name| form.field(name).unwrap_or_default());
    let days_given = days
        .parse::<u64>()
        .ok()
        .filter(|days| (1..=3650).contains(days));
    let expires = days_given.map(|days| visit.now.plus(Duration::from_hours(24 * days)));
    let mut wanted = json!({ "name": name, "scope": scope });
    if let Some(expires) = expires {
        wanted["expires_at"] = expires.to_string().into();
    }
    match visit.post::<Made>("tokens", &wanted).await {
        Ok(made) => {
            let page = TokensPage {
                made: Some(made),
                ..TokensPage::of(visit).await?
            };
            frame::html(StatusCode::CREATED, &page)
        }
        Err(Failure::Refused(problem)) if matches!(problem.status, 400 | 409) => {
            let page = TokensPage {
                problem: Some(problem.detail),
                name: name.to_owned(),
                scope: scope.to_owned(),
                days: days.to_owned(),
                ..TokensPage::of(visit).await?
            };
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
            frame::html(status, &page)
        }
        Err(failure) => Err(failure),
    }
}

/// `POST /tokens/{name}/revoke`.
pub(super) async fn revoke(
    Path(name): Path<String>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let path = format!("tokens/{}", segment(&name));
    match visit.act(Method::DELETE, &path).await {
        Ok(()) => visit.tell(
            true,
            &format!("Token {name} is worth nothing any more."),
            None,
        ),
        Err(failure) => told(visit, failure)?,
    }
    Ok(frame::go_to("/tokens"))
}

impl TokensPage {
    async fn of(visit: &Visit) -> Result<Self, Failure> {
        let tokens: Items<Token> = visit.get("tokens").await?;
        Ok(Self {
            frame: visit.frame("tokens", "Tokens"),
            tokens: tokens.items,
            made: None,
            problem: None,
            name: String::new(),
            scope: "read".to_owned(),
            days: "90".to_owned(),
            scopes: SCOPES,
            times: TIMES,
        })
    }
}

impl Token {
    fn revoke_address(&self) -> String {
        format!("/tokens/{}/revoke", segment(&self.name))
    }

    /// Whether its time is over.
    fn is_over(&self, now: &crate::clock::Timestamp) -> bool {
        let expires = self.expires_at.as_deref();
        let expires = expires.and_then(crate::clock::Timestamp::parse);
        expires.is_some_and(|expires| expires <= *now)
    }
}
