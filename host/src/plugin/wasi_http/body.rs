//! The body of a request: what the guest writes, until it says that this is all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::plugin::bindings::wasi_http::wasi::http::types::{self, ErrorCode};
use crate::plugin::limits::{Exceeded, HTTP_REQUEST_BODY_MAX};
use crate::plugin::sandbox::Guest;

use super::fields::Fields;
use super::room::Taken;

/// How much a stream takes at once.
const CHUNK: usize = 64 << 10;

/// What was written of a body; the request and whoever writes it share it.
pub(in crate::plugin) struct Written {
    state: Mutex<State>,
    ending: Notify,
}

struct State {
    bytes: Vec<u8>,
    taken: Taken,
    is_finished: bool,
    is_dropped: bool,
}

/// How a body ended.
pub(super) enum Ended {
    /// It is whole.
    Finished(Vec<u8>),
    /// The guest gave it up.
    Dropped,
}

/// The guest's handle of a body.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Outlet {
    body: Arc<Written>,
    has_stream: bool,
}

/// The stream into a body.
struct Stream(Arc<Written>);

impl Written {
    /// Nothing yet, in room that grows with it.
    pub(super) fn in_room(taken: Taken) -> Self {
        Self {
            state: Mutex::new(State {
                bytes: Vec::new(),
                taken,
                is_finished: false,
                is_dropped: false,
            }),
            ending: Notify::new(),
        }
    }

    /// Waits until nothing more is written.
    pub(super) async fn ended(&self) {
        loop {
            let ending = self.ending.notified();
            if self.has_ended() {
                return;
            }
            ending.await;
        }
    }

    /// The body, if nothing more is written.
    pub(super) fn take(&self) -> Option<Ended> {
        let mut state = self.lock();
        if state.is_finished {
            return Some(Ended::Finished(std::mem::take(&mut state.bytes)));
        }
        state.is_dropped.then_some(Ended::Dropped)
    }

    fn has_ended(&self) -> bool {
        let state = self.lock();
        state.is_finished || state.is_dropped
    }

    fn end(&self, end: impl FnOnce(&mut State)) {
        end(&mut self.lock());
        self.ending.notify_one();
    }

    /// Nothing that panics runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outlet {
    pub(super) fn of(body: &Arc<Written>) -> Self {
        Self {
            body: Arc::clone(body),
            has_stream: false,
        }
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.0.lock();
        if state.is_finished || state.is_dropped {
            return Err(StreamError::Closed);
        }
        let size = state.bytes.len().saturating_add(bytes.len());
        if size > HTTP_REQUEST_BODY_MAX {
            let what = "the body of a request, in bytes,";
            let exceeded = Exceeded::output(what, HTTP_REQUEST_BODY_MAX);
            return Err(StreamError::Trap(exceeded.into()));
        }
        let taken = state.taken.resize(size);
        taken.map_err(|exceeded| StreamError::Trap(exceeded.into()))?;
        state.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.0.has_ended() {
            return Err(StreamError::Closed);
        }
        Ok(CHUNK)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl types::HostOutgoingBody for Guest {
    fn write(
        &mut self,
        body: Resource<Outlet>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let outlet = self.table.get_mut(&body)?;
        if std::mem::replace(&mut outlet.has_stream, true) {
            return Ok(Err(()));
        }
        let stream: DynOutputStream = Box::new(Stream(Arc::clone(&outlet.body)));
        Ok(Ok(self.table.push(stream)?))
    }

    fn finish(
        &mut self,
        body: Resource<Outlet>,
        trailers: Option<Resource<Fields>>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        let outlet = self.table.delete(body)?;
        if let Some(trailers) = trailers {
            self.table.delete(trailers)?;
            outlet.body.end(|state| state.is_dropped = true);
            let why = "trailers are not sent".to_owned();
            return Ok(Err(ErrorCode::InternalError(Some(why))));
        }
        outlet.body.end(|state| state.is_finished = true);
        Ok(Ok(()))
    }

    fn drop(&mut self, body: Resource<Outlet>) -> wasmtime::Result<()> {
        let outlet = self.table.delete(body)?;
        outlet.body.end(|state| state.is_dropped = true);
        Ok(())
    }
}
