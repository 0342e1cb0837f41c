//! The answer to a request, which is there as a whole.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynInputStream, DynPollable, Pollable, subscribe};

use crate::plugin::bindings::wasi_http::wasi::http::types::{self, ErrorCode};
use crate::plugin::sandbox::Guest;

use super::fields::Fields;

/// An answer.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Incoming {
    pub(super) status: u16,
    pub(super) headers: Fields,
    /// Some, until the guest takes it.
    pub(super) body: Option<Bytes>,
}

/// The body of an answer.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Inlet(Option<Bytes>);

/// What follows a body: nothing, at once.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Trailers;

#[async_trait]
impl Pollable for Trailers {
    async fn ready(&mut self) {}
}

impl types::HostIncomingResponse for Guest {
    fn status(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&answer)?.status)
    }

    fn headers(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.table.get(&answer)?.headers.frozen();
        let headers = headers.kept_in(&self.room)?;
        Ok(self.table.push(headers)?)
    }

    fn consume(
        &mut self,
        answer: Resource<Incoming>,
    ) -> wasmtime::Result<Result<Resource<Inlet>, ()>> {
        match self.table.get_mut(&answer)?.body.take() {
            Some(body) => Ok(Ok(self.table.push(Inlet(Some(body)))?)),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, answer: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table.delete(answer)?;
        Ok(())
    }
}

impl types::HostIncomingBody for Guest {
    fn stream(
        &mut self,
        body: Resource<Inlet>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        let Some(bytes) = self.table.get_mut(&body)?.0.take() else {
            return Ok(Err(()));
        };
        let stream: DynInputStream = Box::new(MemoryInputPipe::new(bytes));
        Ok(Ok(self.table.push(stream)?))
    }

    fn finish(&mut self, body: Resource<Inlet>) -> wasmtime::Result<Resource<Trailers>> {
        self.table.delete(body)?;
        Ok(self.table.push(Trailers)?)
    }

    fn drop(&mut self, body: Resource<Inlet>) -> wasmtime::Result<()> {
        self.table.delete(body)?;
        Ok(())
    }
}

impl types::HostFutureTrailers for Guest {
    fn subscribe(
        &mut self,
        trailers: Resource<Trailers>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, trailers)
    }

    fn get(
        &mut self,
        _trailers: Resource<Trailers>,
    ) -> wasmtime::Result<Option<Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>>> {
        Ok(Some(Ok(Ok(None))))
    }

    fn drop(&mut self, trailers: Resource<Trailers>) -> wasmtime::Result<()> {
        self.table.delete(trailers)?;
        Ok(())
    }
}
