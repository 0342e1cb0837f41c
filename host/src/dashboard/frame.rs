//! One visit of a page: who comes, what the frame around each page shows, and the cookies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use askama::Template;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::Desk;
use super::failure::Failure;
use super::session::{LENGTH, Session};
use crate::admin::Caller;
use crate::clock::Timestamp;
use crate::store::Scope;

/// The cookie that tells who is signed in.
const SESSION_COOKIE: &str = "hookbay_session";
/// The cookie that carries one sentence over a redirect.
const NOTICE_COOKIE: &str = "hookbay_notice";
/// Most characters of that sentence.
const NOTICE_CHARS_MAX: usize = 600;
/// How long it waits to be read, in seconds.
const NOTICE_S: u64 = 60;

/// Somebody who looks at a page, or presses a button.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) desk: Arc<Desk>,
    pub(super) session: Session,
    /// Whose token was shown, if it is good still.
    pub(super) caller: Option<Caller>,
    /// Where the browser is, for the audit log.
    pub(super) peer: Option<ConnectInfo<SocketAddr>>,
    pub(super) now: Timestamp,
    /// The query of the address, in its order.
    pub(super) query: Vec<(String, String)>,
    /// The address itself, to come back to.
    here: String,
    notice: Option<Notice>,
    /// Cookies for the answer.
    cookies: Arc<Mutex<Vec<String>>>,
}

/// What came of the last button.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) is_good: bool,
    pub(super) text: String,
    /// Where to look at it: address and name.
    pub(super) link: Option<(String, String)>,
}

/// What stands around each page.
pub(super) struct Frame {
    pub(super) title: String,
    /// Which entry of the menu this is.
    pub(super) section: &'static str,
    /// The name of the token that somebody signed in with.
    pub(super) who: Option<Arc<str>>,
    /// Whether that is good for more than looking.
    pub(super) can_operate: bool,
    /// Whether it is good for everything.
    pub(super) can_administer: bool,
    pub(super) form_token: String,
    pub(super) notice: Option<Notice>,
    pub(super) now: Timestamp,
    pub(super) host_name: Arc<str>,
    pub(super) version: &'static str,
    /// Changes with our files, so that a browser never mixes old and new.
    pub(super) assets: &'static str,
}

/// An entry of the menu.
pub(super) struct Entry {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) address: &'static str,
    /// Only for whoever may do everything.
    is_for_admins: bool,
}

/// The menu, in its order.
const MENU: [Entry; 11] = [
    Entry::new("overview", "Overview", "/"),
    Entry::new("events", "Events", "/events"),
    Entry::new("runs", "Runs", "/runs"),
    Entry::new("plugins", "Plugins", "/plugins"),
    Entry::new("sources", "Sources", "/sources"),
    Entry::new("quarantine", "Quarantine", "/quarantine"),
    Entry::new("operations", "Operations", "/operations"),
    Entry::new("send", "Send a sample", "/send"),
    Entry::new("audit", "Audit log", "/audit").for_admins(),
    Entry::new("tokens", "Tokens", "/tokens").for_admins(),
    Entry::new("api", "API", "/docs/"),
];

impl Entry {
    const fn new(section: &'static str, name: &'static str, address: &'static str) -> Self {
        Self {
            section,
            name,
            address,
            is_for_admins: false,
        }
    }

    const fn for_admins(mut self) -> Self {
        self.is_for_admins = true;
        self
    }
}

impl Desk {
    /// The session that a browser has, and whose token it stands for, if that is good still.
    pub(super) async fn known(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> (Option<Session>, Result<Option<Caller>, Failure>) {
        let session = cookie(headers, SESSION_COOKIE);
        let session = session.and_then(|cookie| self.sessions.read(cookie, now));
        let caller = match session.as_ref().and_then(|session| session.who.as_ref()) {
            Some(who) => self.dashboard.access.again(&who.token, &who.mark).await,
            None => Ok(None),
        };
        (
            session,
            caller.map_err(|error| Failure::Away(error.to_string())),
        )
    }
}

impl Visit {
    /// The visit that a request is, signed in or not; and whether that could be told.
    pub(super) async fn of(desk: &Arc<Desk>, parts: &Parts) -> (Self, Result<(), Failure>) {
        let now = desk.dashboard.clock.now();
        let (known, caller) = desk.known(&parts.headers, now).await;
        let (caller, told) = match caller {
            Ok(caller) => (caller, Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        let query = parts.uri.query().unwrap_or_default();
        let here = parts.uri.path_and_query();
        let visit = Self {
            desk: Arc::clone(desk),
            session: known.clone().unwrap_or_else(|| Session::new(None, now)),
            caller,
            peer: peer(desk, parts),
            now,
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            // What a button sends is no place to come back to.
            here: here
                .filter(|_| parts.method == Method::GET)
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            notice: None,
            cookies: Arc::default(),
        };
        match known {
            None => visit.set_session(&visit.session),
            Some(session) => {
                if let Some(renewed) = session.renewed(now) {
                    visit.set_session(&renewed);
                }
            }
        }
        (visit.with_notice(&parts.headers), told)
    }

    /// What the page before had to say. A page that looks again by itself leaves it for the
    /// reader.
    fn with_notice(self, headers: &HeaderMap) -> Self {
        let sealed = cookie(headers, NOTICE_COOKIE);
        let Some(sealed) = sealed.filter(|_| !headers.contains_key("hookbay-refresh")) else {
            return self;
        };
        let text = self.desk.sessions.open("notice", sealed);
        let notice = text.and_then(|text| serde_json::from_str(&text).ok());
        self.set_cookie(NOTICE_COOKIE, "", 0);
        Self { notice, ..self }
    }

    /// Keeps a session in the browser from now on.
    pub(super) fn set_session(&self, session: &Session) {
        let cookie = self.desk.sessions.cookie(session);
        self.set_cookie(SESSION_COOKIE, &cookie, LENGTH.as_secs());
    }

    /// Says something on the next page.
    pub(super) fn tell(&self, is_good: bool, text: &str, link: Option<(String, String)>) {
        let text = text.chars().take(NOTICE_CHARS_MAX).collect();
        let notice = Notice {
            is_good,
            text,
            link,
        };
        let json = serde_json::to_string(&notice).expect("a notice is always JSON");
        let sealed = self.desk.sessions.seal("notice", &json);
        self.set_cookie(NOTICE_COOKIE, &sealed, NOTICE_S);
    }

    fn set_cookie(&self, name: &str, value: &str, seconds: u64) {
        let secure = if self.desk.dashboard.is_tls {
            "; Secure"
        } else {
            ""
        };
        let cookie =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        let mut cookies = self.cookies.lock().expect("no holder panics");
        cookies.retain(|cookie| !cookie.starts_with(&format!("{name}=")));
        cookies.push(cookie);
    }

    /// Gives the answer its cookies.
    pub(super) fn add_cookies(&self, headers: &mut HeaderMap) {
        for cookie in self.cookies.lock().expect("no holder panics").drain(..) {
            let value = HeaderValue::try_from(cookie).expect("cookies are base64 and words");
            headers.append(header::SET_COOKIE, value);
        }
    }

    /// One value of the query; an empty one is none.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        let pair = pairs.find(|(known, value)| known == name && !value.is_empty());
        pair.map(|(_, value)| value.as_str())
    }

    fn may(&self, scope: Scope) -> bool {
        let caller = self.caller.as_ref();
        caller.is_some_and(|caller| caller.scope >= scope)
    }

    /// What stands around a page.
    pub(super) fn frame(&self, section: &'static str, title: impl Into<String>) -> Frame {
        Frame {
            title: title.into(),
            section,
            who: self.caller.as_ref().map(|caller| Arc::clone(&caller.token)),
            can_operate: self.may(Scope::Operate),
            can_administer: self.may(Scope::Admin),
            form_token: self.desk.sessions.form_token(&self.session),
            notice: self.notice.clone(),
            now: self.now,
            host_name: Arc::clone(&self.desk.dashboard.host_name),
            version: env!("CARGO_PKG_VERSION"),
            assets: super::assets::version(),
        }
    }

    /// Where somebody signs in who wants to be here.
    pub(super) fn sign_in_address(&self) -> String {
        if self.here == "/" {
            return "/login".to_owned();
        }
        let next = form_urlencoded::byte_serialize(self.here.as_bytes()).collect::<String>();
        format!("/login?next={next}")
    }
}

impl Frame {
    /// The menu, of what somebody may see.
    pub(super) fn menu(&self) -> impl Iterator<Item = &'static Entry> {
        let may = |entry: &&Entry| self.can_administer || !entry.is_for_admins;
        MENU.iter().filter(may)
    }
}

/// Only who is signed in comes further than this.
impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let visit = parts.extensions.get::<Self>().cloned();
        let visit = visit.expect("the layer around all pages knows every visit");
        match visit.caller {
            Some(_) => Ok(visit),
            None => Err(Failure::SignedOut),
        }
    }
}

/// A page from its template.
pub(super) fn page(template: &impl Template) -> Result<Response<Body>, Failure> {
    html(StatusCode::OK, template)
}

/// The same with another status.
pub(super) fn html(
    status: StatusCode,
    template: &impl Template,
) -> Result<Response<Body>, Failure> {
    let text = template
        .render()
        .map_err(|error| Failure::Broken(error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    Ok(response)
}

/// To another page of ours, after a button.
pub(super) fn go_to(address: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let address = HeaderValue::try_from(address).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, address);
    response
}

/// An address of ours: absolute within this host, and nothing else.
pub(super) fn local(address: Option<&str>) -> Option<&str> {
    let address = address?;
    let is_path = address.starts_with('/') && !address.starts_with("//");
    let is_plain = address
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_path && is_plain).then_some(address)
}

/// Where a browser is, behind proxies that are trusted.
fn peer(desk: &Desk, parts: &Parts) -> Option<ConnectInfo<SocketAddr>> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let sources = &desk.dashboard.sources;
    let remote = sources.remote(peer.ip(), &parts.headers);
    Some(ConnectInfo(SocketAddr::new(remote, peer.port())))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut cookies = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    cookies.find_map(|(known, value)| (known == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_our_own_addresses_are_gone_to() {
        for address in ["/", "/events?kind=a%20b", "/runs/1"] {
            assert_eq!(local(Some(address)), Some(address));
        }
        for address in [
            "",
            "//evil.example",
            "/\\evil",
            "https://evil",
            "events",
            "/a\r\nb",
            "/ b",
        ] {
            assert_eq!(local(Some(address)), None, "{address}");
        }
        assert_eq!(local(None), None);
    }
}
