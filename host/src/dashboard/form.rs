//! Forms: read within a bound, and only if they are of the visitor's own session.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use url::form_urlencoded;

use super::failure::{Failure, Problem};
use super::frame::{self, Visit};

/// The field that proves where a form comes from.
pub(super) const TOKEN_FIELD: &str = "form_token";
/// The longest form; the body of a sample is the longest field.
const BYTES_MAX: usize = 4 << 20;

/// What somebody sent with a button.
pub(super) struct Form {
    pub(super) visit: Visit,
    fields: Vec<(String, String)>,
}

/// The same of somebody who need not be signed in yet.
pub(super) struct OpenForm(pub(super) Form);

impl Form {
    /// One field; an empty one is none.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(known, value)| known == name && !value.is_empty());
        field.map(|(_, value)| value.as_str())
    }

    /// The fields of these names that were filled in.
    pub(super) fn fields(&self, names: &[&str]) -> serde_json::Map<String, serde_json::Value> {
        let given = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.field(name)?.into())));
        given.collect()
    }

    /// The page that the form stands on, or another if it does not say.
    pub(super) fn back<'a>(&'a self, otherwise: &'a str) -> &'a str {
        frame::local(self.field("back")).unwrap_or(otherwise)
    }
}

impl<S: Send + Sync> FromRequest<S> for OpenForm {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let visit = request.extensions().get::<Visit>().cloned();
        let visit = visit.expect("the layer around all pages knows every visit");
        if !is_from_here(request.headers()) {
            return Err(Failure::ForeignForm);
        }
        let body = axum::body::to_bytes(request.into_body(), BYTES_MAX).await;
        let body = body.map_err(|_| {
            Failure::Refused(Problem {
                title: "too large".to_owned(),
                status: 413,
                detail: format!("a form has at most {BYTES_MAX} bytes"),
                request_id: String::new(),
            })
        })?;
        let fields = form_urlencoded::parse(&body).into_owned().collect();
        let form = Form { visit, fields };
        let token = form.field(TOKEN_FIELD).unwrap_or_default();
        let sessions = &form.visit.desk.sessions;
        if sessions.is_form_token(&form.visit.session, token) {
            Ok(Self(form))
        } else {
            Err(Failure::ForeignForm)
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        // First, since the form of a session that is over proves nothing any more.
        let visit = request.extensions().get::<Visit>();
        if visit.is_none_or(|visit| visit.caller.is_none()) {
            return Err(Failure::SignedOut);
        }
        let OpenForm(form) = OpenForm::from_request(request, state).await?;
        Ok(form)
    }
}

/// Whether a browser says that a page of ours sends this. One that says nothing is an old
/// one, or no browser; then the form's token decides alone.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text("origin"), text(header::HOST.as_str())) {
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, origin)| origin == host),
        _ => true,
    }
}
