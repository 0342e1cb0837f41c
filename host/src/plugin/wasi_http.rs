//! `wasi:http` for components that bring their own HTTP client: JavaScript's `fetch`, crates
//! for WASI. It is another way of asking for the same: each request becomes one [`Call::Fetch`]
//! at the choke point, to the endpoint whose origin the operator has granted.
//!
//! A request is made when the guest asks for its answer, whole, when its body is finished. So
//! what a guest learns does not depend on when bytes arrive, and a recording answers it.
//! Nothing is served to anybody: what belongs to incoming requests does not exist here.

use std::time::Duration;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::bindings::wasi_http::wasi::http::outgoing_handler;
use super::bindings::wasi_http::wasi::http::types::{self, ErrorCode, Method, Scheme};
use super::egress::{Fetch, FetchError, Fetched, HeaderValue};
use super::imports::call::{Blob, Call, Reply};
use super::limits::{Exceeded, FETCHES_MAX};
use super::sandbox::Guest;

pub(super) mod body;
pub(super) mod fields;
pub(super) mod request;
pub(super) mod response;
mod room;
mod serving;

pub(super) use room::Room;

use body::{Ended, Written};
use fields::Fields;
use request::{Outgoing, Timeouts};
use response::Incoming;

/// The answer to a request, before and after it is there.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub enum Answer {
    /// What has to be sent for it.
    Unsent(Box<Outgoing>, Timeouts),
    /// It was given to the guest.
    Taken,
}

/// Links outgoing requests.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest: &mut Guest| guest)?;
    outgoing_handler::add_to_linker::<_, HasSelf<_>>(linker, |guest: &mut Guest| guest)
}

impl outgoing_handler::Host for Guest {
    fn handle(
        &mut self,
        request: Resource<Outgoing>,
        options: Option<Resource<Timeouts>>,
    ) -> wasmtime::Result<Result<Resource<Answer>, ErrorCode>> {
        let timeouts = match options {
            Some(options) => self.table.delete(options)?,
            None => Timeouts::default(),
        };
        let request = Box::new(self.table.delete(request)?);
        Ok(Ok(self.table.push(Answer::Unsent(request, timeouts))?))
    }
}

impl types::Host for Guest {
    fn http_error_code(
        &mut self,
        _error: Resource<types::IoError>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        // Bodies are in memory: no stream ends with an error of HTTP.
        Ok(None)
    }
}

#[async_trait]
impl Pollable for Answer {
    /// When it can be asked for: as soon as the request is whole.
    async fn ready(&mut self) {
        if let Self::Unsent(request, _) = self
            && let Some(body) = &request.body
        {
            body.ended().await;
        }
    }
}

impl types::HostFutureIncomingResponse for Guest {
    fn subscribe(&mut self, answer: Resource<Answer>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, answer)
    }

    async fn get(
        &mut self,
        answer: Resource<Answer>,
    ) -> wasmtime::Result<Option<Result<Result<Resource<Incoming>, ErrorCode>, ()>>> {
        let place = self.table.get_mut(&answer)?;
        let body = match place {
            Answer::Taken => return Ok(Some(Err(()))),
            Answer::Unsent(request, _) => match request.body.as_deref().map(Written::take) {
                None => None,
                Some(None) => return Ok(None),
                Some(Some(Ended::Finished(bytes))) => Some(bytes),
                Some(Some(Ended::Dropped)) => {
                    *place = Answer::Taken;
                    let why = "the request's body was dropped before it was finished";
                    return Ok(Some(Ok(Err(ErrorCode::InternalError(Some(
                        why.to_owned(),
                    ))))));
                }
            },
        };
        let Answer::Unsent(request, timeouts) = std::mem::replace(place, Answer::Taken) else {
            return Ok(Some(Err(())));
        };
        let fetch = match fetch(*request, timeouts, body) {
            Ok(fetch) => fetch,
            Err(error) => return Ok(Some(Ok(Err(error)))),
        };
        match self.gate.pass(Call::Fetch(fetch)).await? {
            Reply::Fetched(fetched) => Ok(Some(Ok(Ok(self.answered(fetched)?)))),
            Reply::Failed(error) => Ok(Some(Ok(Err(error.into())))),
            other => Err(super::bridge::unlike(&other)),
        }
    }

    fn drop(&mut self, answer: Resource<Answer>) -> wasmtime::Result<()> {
        self.table.delete(answer)?;
        Ok(())
    }
}

impl Guest {
    fn answered(&mut self, fetched: Fetched) -> wasmtime::Result<Resource<Incoming>> {
        let header = |(name, Blob(value)): (String, Blob)| (name, value);
        let headers = fetched.headers.into_iter().map(header).collect();
        let headers = Fields::received(headers).kept_in(&self.room)?;
        let body = self.room.keep(fetched.body.0)?;
        Ok(self.table.push(Incoming {
            status: fetched.status,
            headers,
            body: Some(body),
        })?)
    }

    /// Counts a request that the guest begins to put together: each has room for a body.
    fn begin_request(&mut self) -> Result<(), Exceeded> {
        self.requests += 1;
        if self.requests > FETCHES_MAX {
            return Err(Exceeded::calls("requests", FETCHES_MAX));
        }
        Ok(())
    }
}

/// The same request as the contract's own `http` would make it.
fn fetch(request: Outgoing, timeouts: Timeouts, body: Option<Vec<u8>>) -> Result<Fetch, ErrorCode> {
    let scheme = match request.scheme {
        None | Some(Scheme::Https) => "https",
        Some(Scheme::Http) => "http",
        Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
    };
    let authority = request.authority.ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let length = body.as_ref().map_or(0, Vec::len);
    let mut headers = Vec::with_capacity(request.headers.entries().len());
    for (name, value) in request.headers.into_entries() {
        match name.as_str() {
            // The host says how long a body is; whoever says it as well must not be wrong.
            "content-length" if value != length.to_string().as_bytes() => {
                return Err(ErrorCode::HttpRequestBodySize(Some(length as u64)));
            }
            // What a client can unpack is not what is asked for.
            "content-length" | "accept-encoding" => {}
            _ => headers.push((name, HeaderValue::Plain(Blob(value)))),
        }
    }
    Ok(Fetch {
        endpoint: format!("{scheme}://{authority}"),
        path: request.path.unwrap_or_else(|| "/".to_owned()),
        method: method(request.method),
        headers,
        body: body.map(Blob),
        timeout: timeouts.whole(),
        idempotency_header: None,
    })
}

fn method(method: Method) -> String {
    let named = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(other) => return other,
    };
    named.to_owned()
}

impl Timeouts {
    /// One for the whole request, if there is one for its answer: what may pass before the
    /// answer and within it. To connect in time says nothing of how long that takes.
    fn whole(&self) -> Option<Duration> {
        let first_byte = self.first_byte?;
        let others = [self.connect, self.between_bytes];
        let nanoseconds = others.into_iter().flatten();
        let nanoseconds = nanoseconds.fold(first_byte, u64::saturating_add);
        Some(Duration::from_nanos(nanoseconds))
    }
}

impl From<FetchError> for ErrorCode {
    /// Texts are kept where WASI has room for them: the journal has them all.
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Denied(_) => Self::HttpRequestDenied,
            FetchError::Invalid(why) => Self::InternalError(Some(why)),
            FetchError::TooLarge(_) => Self::HttpResponseBodySize(None),
            FetchError::Timeout(_) => Self::HttpResponseTimeout,
            FetchError::Unavailable(_) => Self::DestinationUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Timeouts};

    #[test]
    fn what_is_not_about_the_answer_does_not_limit_it() {
        let (some, most) = (Some(2_000_000_000), Some(u64::MAX));
        for (connect, first_byte, between_bytes, expected_s) in [
            (None, None, None, None),
            (some, None, None, None),
            (None, None, some, None),
            (None, some, None, Some(2)),
            (some, some, some, Some(6)),
            (most, some, None, Some(u64::MAX / 1_000_000_000)),
        ] {
            let timeouts = Timeouts {
                connect,
                first_byte,
                between_bytes,
            };
            let whole_s = timeouts.whole().as_ref().map(Duration::as_secs);
            assert_eq!(
                whole_s, expected_s,
                "{connect:?} {first_byte:?} {between_bytes:?}"
            );
        }
    }
}
