//! The answer to a request, and which failure its status is.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::de::DeserializeOwned;

use super::{Error, wit};
use crate::{Failure, Header, imports};

/// What is quoted of a body in a failure's reason.
const QUOTED_CHARS_MAX: usize = 200;

/// The answer to a request, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status: 200 to 599.
    pub status: u16,
    /// The headers as they came; see [`Response::header`].
    pub headers: Vec<Header>,
    /// The body as it came, but for the secrets that the host takes out.
    pub body: Vec<u8>,
    /// The request, as messages name it.
    line: String,
}

impl Response {
    pub(super) fn new(line: String, response: wit::Response) -> Self {
        let header = |header: wit::ResponseHeader| Header {
            name: header.name,
            value: header.value,
        };
        Self {
            status: response.status,
            headers: response.headers.into_iter().map(header).collect(),
            body: response.body,
            line,
        }
    }

    /// Whether the status is one of 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..=299).contains(&self.status)
    }

    /// The first header of this name, whatever its case, if it is UTF-8 text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        Header::find(&self.headers, name)
    }

    /// The body as text, with `U+FFFD` for what is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Json`] with what serde says.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, status) = (&self.line, self.status);
            Error::Json(format!("{line}: body of the {status} answer: {error}"))
        })
    }

    /// The answer itself if its status is one of success.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success};
    /// # use hookbay_plugin::{http, manifest, testing};
    /// # struct Ask;
    /// # impl Plugin for Ask {
    /// #     fn manifest() -> Manifest {
    /// #         manifest!().endpoint("shop", "https://shop.example", "the shop")
    /// #     }
    /// #     fn handle(_: &Event, _: &Run) -> Result<Success, Failure> {
    /// http::get("shop", "/orders/7").send()?.error_for_status()?;
    /// #         Ok(Success::new("asked"))
    /// #     }
    /// # }
    /// # let mut host = testing::Host::new();
    /// # host.answer("shop", "GET", "/orders/7", [
    /// #     testing::Answer::new(429).header("Retry-After", "30").body("slower"),
    /// # ]);
    /// # let attempt = host.handle::<Ask>(&testing::event("shop", "asked", ""));
    /// // An answer of 429 with `Retry-After: 30` and the body `slower`:
    /// let expected = Failure::retry("GET shop /orders/7 answered 429: slower");
    /// assert_eq!(attempt.failure(), &expected.after(Duration::from_secs(30)));
    /// ```
    ///
    /// # Errors
    ///
    /// What may go away by itself, 408, 409, 425, 429 and 500 to 599, is
    /// [`Failure::Retry`], not before the time in `Retry-After` where there is one
    /// (RFC 9110, 10.2.3). Any other status is [`Failure::Permanent`]. Both quote the
    /// beginning of the body, unless it is a page for people.
    pub fn error_for_status(self) -> Result<Self, Failure> {
        if self.is_success() {
            return Ok(self);
        }
        let (line, status, quoted) = (&self.line, self.status, self.quoted());
        let why = match status {
            300..=399 => ", and redirects are not followed",
            _ => "",
        };
        let reason = format!("{line} answered {status}{why}{quoted}");
        if !matches!(status, 408 | 409 | 425 | 429 | 500..=599) {
            return Err(Failure::permanent(reason));
        }
        let failure = Failure::retry(reason);
        Err(match self.retry_after() {
            Some(delay) => failure.after(delay),
            None => failure,
        })
    }

    /// What `Retry-After` asks for; none where that is no delay, which the operator's
    /// schedule knows better.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        let delay = match text.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let until = httpdate::parse_http_date(text).ok()?;
                until.duration_since(self.sent_at()).ok()?
            }
        };
        (!delay.is_zero()).then_some(delay)
    }

    /// By the receiver's clock, which its dates go by, else by the host's.
    fn sent_at(&self) -> SystemTime {
        let stated = self.header("date");
        let stated = stated.and_then(|text| httpdate::parse_http_date(text).ok());
        stated.unwrap_or_else(imports::clock::now)
    }

    /// The beginning of the body behind a colon, on one line.
    fn quoted(&self) -> String {
        let text = self.text();
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .collect();
        let words = words.join(" ");
        if words.is_empty() || words.starts_with('<') {
            return String::new();
        }
        match words.char_indices().nth(QUOTED_CHARS_MAX) {
            Some((end, _)) => format!(": {}…", &words[..end]),
            None => format!(": {words}"),
        }
    }
}
