//! The far side of the fake host's `http`: the requests that a plugin sent, and the
//! answers that a test has for them.

use std::{cell::RefCell, collections::VecDeque, fmt, rc::Rc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::imports::http as wit;

/// A request that the plugin sent, as a test sees it: where the host would fill in a
/// secret stands `[secret NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The endpoint's name.
    pub endpoint: String,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, with that of the idempotency key; see [`Request::header`].
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
    /// How long the plugin was willing to wait, where it said so.
    pub timeout: Option<Duration>,
}

/// What the far side answers. Made by [`Answer::new`] or [`Answer::json`]; the others
/// stand for a request that is not answered.
#[derive(Clone, Debug)]
#[must_use]
pub struct Answer(Result<wit::Response, wit::Error>);

impl Request {
    pub(super) fn new(request: &wit::Request, idempotency_key: &str) -> Self {
        let header = |header: &wit::RequestHeader| (header.name.clone(), shown(&header.value));
        let mut headers: Vec<_> = request.headers.iter().map(header).collect();
        if let Some(name) = &request.idempotency_header {
            headers.push((name.clone(), idempotency_key.to_owned()));
        }
        Self {
            endpoint: request.endpoint.clone(),
            method: request.method.clone(),
            path: request.path.clone(),
            headers,
            body: request.body.clone().unwrap_or_default(),
            timeout: request
                .timeout_ms
                .map(|ms| Duration::from_millis(u64::from(ms))),
        }
    }

    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is other JSON than `T`.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the request's body is not what was asked for")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.endpoint, self.path)
    }
}

impl Answer {
    /// An empty answer with this status.
    pub fn new(status: u16) -> Self {
        Self(Ok(wit::Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }))
    }

    /// An answer with this status and a JSON body.
    ///
    /// # Panics
    ///
    /// If the body has no JSON form.
    #[track_caller]
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("the answer's body has no JSON form");
        Self::new(status)
            .header("Content-Type", "application/json")
            .body(body)
    }

    /// No answer: it did not come in time.
    pub fn timeout() -> Self {
        Self(Err(wit::Error::Timeout("the test made it so".to_owned())))
    }

    /// No answer: no connection, or it broke.
    pub fn unavailable() -> Self {
        Self(Err(wit::Error::Unavailable(
            "the test made it so".to_owned(),
        )))
    }

    /// No answer: the operator has not granted this.
    pub fn denied() -> Self {
        Self(Err(wit::Error::Denied("the test made it so".to_owned())))
    }

    /// No answer: it is longer than it may be.
    pub fn too_large() -> Self {
        Self(Err(wit::Error::TooLarge("the test made it so".to_owned())))
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let header = wit::ResponseHeader {
            name: name.to_owned(),
            value: value.as_ref().to_vec(),
        };
        self.map(|response| response.headers.push(header))
    }

    /// Sets the body.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        self.map(|response| response.body = body.as_ref().to_vec())
    }

    fn map(mut self, change: impl FnOnce(&mut wit::Response)) -> Self {
        if let Ok(response) = &mut self.0 {
            change(response);
        }
        self
    }

    pub(super) fn into_result(self) -> Result<wit::Response, wit::Error> {
        self.0
    }
}

/// What a test answers, in the order in which it said so.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    endpoint: String,
    /// Method and path; none takes every request to the endpoint.
    only: Option<(String, String)>,
    answers: Answers,
}

/// What a test answers a request with.
type Respond = dyn FnMut(&Request) -> Answer;

/// The answers of one route; clones share them.
#[derive(Clone)]
pub(super) enum Answers {
    /// As often as asked.
    Asked(Rc<RefCell<Respond>>),
    /// Each once, in order.
    Listed(Rc<RefCell<VecDeque<Answer>>>),
}

impl Routes {
    pub(super) fn add(&mut self, endpoint: &str, method: &str, path: &str, answers: Answers) {
        self.0.push(Route {
            endpoint: endpoint.to_owned(),
            only: Some((method.to_owned(), path.to_owned())),
            answers,
        });
    }

    pub(super) fn add_all(&mut self, endpoint: &str, answers: Answers) {
        self.0.push(Route {
            endpoint: endpoint.to_owned(),
            only: None,
            answers,
        });
    }

    /// The answers for a request: what was said last wins, unless it is used up.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub(super) fn find(&self, request: &Request) -> Answers {
        let mut fitting = self.0.iter().rev();
        let found = fitting.find(|route| route.fits(request) && !route.answers.are_used_up());
        match found {
            Some(route) => route.answers.clone(),
            None => panic!("{}", self.nothing_answers(request)),
        }
    }

    fn nothing_answers(&self, request: &Request) -> String {
        let (endpoint, method, path) = (&request.endpoint, &request.method, &request.path);
        let mut text = format!("the plugin sent a request that nothing answers:\n  {request}\n");
        if !self.0.is_empty() {
            text.push_str("the test answers:\n");
        }
        for route in &self.0 {
            let note = match route.answers.are_used_up() {
                true => " (each answer was given once)",
                false => "",
            };
            let endpoint = &route.endpoint;
            let line = match &route.only {
                Some((method, path)) => format!("{method} {endpoint} {path}"),
                None => format!("everything to {endpoint}"),
            };
            text.push_str(&format!("  {line}{note}\n"));
        }
        text.push_str(&format!(
            "add `host.on({endpoint:?}, {method:?}, {path:?}, |request| …)`"
        ));
        text
    }
}

impl Route {
    /// A route without a query takes any.
    fn fits(&self, request: &Request) -> bool {
        let is_asked = match &self.only {
            None => true,
            Some((method, path)) => {
                let asked = match path.contains('?') {
                    true => request.path.as_str(),
                    false => request.path.split('?').next().unwrap_or_default(),
                };
                *method == request.method && path == asked
            }
        };
        self.endpoint == request.endpoint && is_asked
    }
}

impl Answers {
    /// The answer to a request for which [`Routes::find`] found these.
    pub(super) fn next(&self, request: &Request) -> Answer {
        match self {
            Self::Asked(answer) => answer.borrow_mut()(request),
            Self::Listed(answers) => answers
                .borrow_mut()
                .pop_front()
                .expect("answers that are used up are not found"),
        }
    }

    fn are_used_up(&self) -> bool {
        match self {
            Self::Asked(_) => false,
            Self::Listed(answers) => answers.borrow().is_empty(),
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(_) => f.write_str("Asked"),
            Self::Listed(answers) => f.debug_tuple("Listed").field(answers).finish(),
        }
    }
}

/// A header's value as a test sees it.
fn shown(value: &wit::HeaderValue) -> String {
    match value {
        wit::HeaderValue::Plain(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        wit::HeaderValue::Secret(value) => {
            format!("{}[secret {}]{}", value.prefix, value.secret, value.suffix)
        }
        wit::HeaderValue::Basic(pair) => {
            format!("Basic {}:{}", half(&pair.user), half(&pair.password))
        }
    }
}

fn half(credential: &wit::Credential) -> String {
    match credential {
        wit::Credential::Text(text) => text.clone(),
        wit::Credential::Secret(name) => format!("[secret {name}]"),
    }
}
