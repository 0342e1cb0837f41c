//! Tokens beside the host's own: who has which, making one, and taking one away. The text of
//! one stands in the answer to the button that makes it, and nowhere else.

use std::ops::RangeInclusive;
use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::api::{Items, segment};
use super::events::told;
use super::failure::{Failure, Problem};
use super::form::Form;
use super::frame::{self, Frame, Visit};
use crate::clock::Timestamp;

/// How long a token may be good: days, and how that is called. None is for good.
const TIMES: [(&str, &str); 5] = [
    ("", "until it is revoked"),
    ("1", "1 day"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "a year"),
];
/// The days that can be asked for.
const DAYS: RangeInclusive<u64> = 1..=3650;
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
    let made = match expiry(days, visit.now) {
        Ok(expires) => {
            let expires = expires.map(|expires| expires.to_string());
            let wanted = json!({ "name": name, "scope": scope, "expires_at": expires });
            visit.post::<Made>("tokens", &wanted).await
        }
        Err(problem) => Err(Failure::Refused(problem)),
    };
    match made {
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

/// When a token ends; none without days. What is no number of days is no wish for one that
/// never ends.
fn expiry(days: &str, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    if days.is_empty() {
        return Ok(None);
    }
    let whole = days.parse().ok().filter(|days| DAYS.contains(days));
    let whole = whole.ok_or_else(|| {
        let (first, last) = (DAYS.start(), DAYS.end());
        let detail =
            format!("`{days}` is not how many days a token can be good: {first} to {last}");
        Problem::bad(detail)
    })?;
    Ok(Some(now.plus(Duration::from_hours(24 * whole))))
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
    fn is_over(&self, now: &Timestamp) -> bool {
        let expires = self.expires_at.as_deref();
        let expires = expires.and_then(Timestamp::parse);
        expires.is_some_and(|expires| expires <= *now)
    }
}
