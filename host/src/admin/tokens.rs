//! `tokens`: list, create, revoke.
//!
//! To rotate a token, a second one is made, given to whoever uses the first, and the
//! first is revoked. The text of one is in the answer that makes it and nowhere else.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::{Json, response::AppendHeaders};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::http::Problem;
use crate::store::{NewToken, Scope, TOKENS_MAX, TokenMade, TokenRow};

use super::access::{self, BOOTSTRAP, Caller, Target};
use super::page::{Page, Parameters};
use super::problems::JsonBytes;
use super::schema::Time;
use super::{Admin, AdminError};

/// The longest name.
const NAME_BYTES_MAX: usize = 63;

/// A token, without its text.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenJson {
    name: String,
    scope: &'static str,
    created_at: Timestamp,
    created_by: String,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// A token that was made now.
#[derive(Serialize, ToSchema)]
#[schema(as = NewToken)]
pub(super) struct NewTokenJson {
    name: String,
    scope: &'static str,
    expires_at: Option<Timestamp>,
    /// Its text; nobody can read it again.
    token: String,
}

/// `POST tokens`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedToken)]
struct Wanted {
    #[schema(pattern = "^(?!bootstrap$)[a-z0-9][a-z0-9_-]{0,62}$")]
    name: String,
    #[schema(pattern = "^(read|operate|admin)$")]
    scope: String,
    /// A time to come (RFC 3339, or Unix seconds)
    #[schema(value_type = Option<Time>)]
    expires_at: Option<String>,
}

/// `GET tokens`, by name. All are on one page.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "access", summary = "Lists the named tokens",
    responses((status = 200, description = "All of them", body = Page<TokenJson>)),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    parameters: Parameters,
) -> Result<Json<Page<TokenJson>>, AdminError> {
    parameters.finish()?;
    let rows = admin.store.tokens().await?;
    let items = rows.into_iter().map(token_json).collect();
    Ok(Page::new(items, TOKENS_MAX, |token: &TokenJson| token.name.clone()).json())
}

/// The answer to one that was made: no cache may keep it.
type Made = (
    StatusCode,
    AppendHeaders<[(&'static str, &'static str); 1]>,
    Extension<Target>,
    Json<NewTokenJson>,
);

/// `POST tokens {name, scope, "expires_at"?}`.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "access", summary = "Makes a token",
    request_body(content = Wanted),
    responses((status = 201, description = "The token, whose text is shown only now", body = NewTokenJson), (status = 409, description = "The name is taken, or there are too many", body = Problem, content_type = "application/problem+json")),
)]
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    body: JsonBytes,
) -> Result<Made, AdminError> {
    let (name, scope, expires_at) = body.object::<Wanted>()?.read(admin.clock.now())?;
    let (text, sha256) = access::new_token();
    let new = NewToken {
        name: name.clone(),
        scope,
        sha256,
        created_by: caller.token.to_string(),
        expires_at,
    };
    match admin.store.create_token(new).await? {
        TokenMade::Made => {}
        TokenMade::NameTaken => {
            let taken = format!("there is a token `{name}`; revoke it, or choose another name");
            return Err(AdminError::NotNow(taken));
        }
        TokenMade::TooMany => {
            let many = format!("there are {TOKENS_MAX} tokens; revoke some that nobody uses");
            return Err(AdminError::NotNow(many));
        }
    }
    admin.access.changed();
    let made = NewTokenJson {
        name: name.clone(),
        scope: scope.as_str(),
        expires_at,
        token: text,
    };
    Ok((
        StatusCode::CREATED,
        AppendHeaders([("cache-control", "no-store")]),
        Extension(Target(name)),
        Json(made),
    ))
}

/// `DELETE tokens/{name}`: it is worthless from now on.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{name}", tag = "access", summary = "Revokes a token",
    params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", description = "The token's name")),
    responses((status = 204, description = "It is worthless")),
)]
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<StatusCode, AdminError> {
    if !admin.store.revoke_token(&name).await? {
        return Err(AdminError::unknown("token", name));
    }
    admin.access.changed();
    Ok(StatusCode::NO_CONTENT)
}

impl Wanted {
    fn read(self, now: Timestamp) -> Result<(String, Scope, Option<Timestamp>), AdminError> {
        let Self {
            name,
            scope,
            expires_at,
        } = self;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name
                .bytes()
                .all(|byte| is_plain(byte) || b"-_".contains(&byte))
            && is_plain(name.as_bytes()[0]);
        if !is_name || name == BOOTSTRAP {
            return Err(AdminError::Invalid(format!(
                "`{name}` cannot be a token's name: use 1 to {NAME_BYTES_MAX} of `a-z`, `0-9`, `_`, `-`, \
                 beginning with a letter or digit; `{BOOTSTRAP}` is the host's own"
            )));
        }
        let scope = Scope::named(&scope).ok_or_else(|| {
            AdminError::Invalid(format!(
                "`{scope}` is not a scope: there are `read`, `operate` and `admin`"
            ))
        })?;
        let expires_at = expires_at.map(|text| {
            let time = Timestamp::parse(&text).filter(|time| *time > now);
            time.ok_or_else(|| {
                AdminError::Invalid(format!(
                    "`expires_at` is `{text}`, which is no time to come, such as `2030-01-31T00:00:00Z`"
                ))
            })
        });
        Ok((name, scope, expires_at.transpose()?))
    }
}

fn token_json(row: TokenRow) -> TokenJson {
    TokenJson {
        name: row.name,
        scope: row.scope.as_str(),
        created_at: row.created_at,
        created_by: row.created_by,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    }
}
