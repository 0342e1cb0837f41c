//! What every service has, and what is told of each call.

use std::fmt;
use std::time::SystemTime;

use crate::http::{Answer, Request};

/// One outside service, as far as plugins use it.
pub trait Service: Send {
    /// Its name, in lower case.
    fn name(&self) -> &'static str;

    /// Whether a request to this path is for it.
    fn takes(&self, path: &str) -> bool;

    /// Does what a request asks for.
    fn answer(&mut self, request: &Request, now: SystemTime) -> Answer;

    /// The answer of this status, in the service's own words, to a request that it did not
    /// like or could not carry out.
    fn refusal(&self, status: u16) -> Answer;

    /// What the web page shows of it.
    fn sections(&self) -> Vec<Section>;
}

/// A table on the web page.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// What it shows.
    pub title: String,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; each has as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// One request, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The service's name, `nobody` if none takes the path.
    pub service: &'static str,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The answer's status; 0 where there was none.
    pub status: u16,
    /// What was done, for people.
    pub note: String,
}

impl Call {
    pub(crate) fn new(service: &'static str, request: &Request, answer: &Answer) -> Self {
        Self {
            service,
            method: request.method.clone(),
            path: request.path.clone(),
            status: answer.status,
            note: answer.note.clone(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            method,
            path,
            status,
            note,
        } = self;
        write!(f, "stand-in  {service}  {method} {path}  {status}  {note}")
    }
}
