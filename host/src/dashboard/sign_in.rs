//! Signing in with a token, and out.

use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Response, StatusCode};

use super::failure::Failure;
use super::form::{Form, OpenForm};
use super::frame::{self, Frame, Visit};
use super::session::{Session, Who};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    next: String,
    is_wrong: bool,
}

/// `GET /login`.
pub(super) async fn show(Extension(visit): Extension<Visit>) -> Result<Response<Body>, Failure> {
    let next = frame::local(visit.asked("next")).unwrap_or("/");
    if visit.caller.is_some() {
        return Ok(frame::go_to(next));
    }
    frame::page(&LoginPage {
        frame: visit.frame("", "Sign in"),
        next: next.to_owned(),
        is_wrong: false,
    })
}

/// `POST /login`: whoever shows the token gets a session of their own.
pub(super) async fn sign_in(OpenForm(form): OpenForm) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let next = frame::local(form.field("next")).unwrap_or("/");
    let given = form.field("token").unwrap_or_default().trim();
    let known = visit.desk.dashboard.access.identify(given.as_bytes()).await;
    let known = known.map_err(|error| Failure::Away(error.to_string()))?;
    let remote = visit.peer.map(|ConnectInfo(peer)| peer.ip());
    let Some(caller) = known else {
        // In the log alone: no stranger fills the audit log.
        let remote = remote.map(tracing::field::display);
        tracing::warn!(
            remote_addr = remote,
            "somebody tried to sign in to the dashboard with a wrong token"
        );
        let page = LoginPage {
            frame: visit.frame("", "Sign in"),
            next: next.to_owned(),
            is_wrong: true,
        };
        return frame::html(StatusCode::UNAUTHORIZED, &page);
    };
    visit
        .desk
        .dashboard
        .access
        .note_sign_in(&caller, remote)
        .await;
    // A new one: what was known before signing in is worth nothing after.
    let who = Who {
        token: caller.token.to_string(),
        mark: caller.mark.to_string(),
    };
    visit.set_session(&Session::new(Some(who), visit.now));
    Ok(frame::go_to(next))
}

/// `POST /logout`.
pub(super) async fn sign_out(form: Form) -> Response<Body> {
    let visit = form.visit;
    visit.desk.sessions.end(&visit.session, visit.now);
    visit.set_session(&Session::new(None, visit.now));
    frame::go_to("/login")
}
