//! What `wasi:http` has for those who answer requests, which nobody does here: such handles
//! do not exist, and the one that a guest could make is refused.

use wasmtime::component::Resource;

use crate::plugin::bindings::wasi_http::wasi::http::types::{
    self, ErrorCode, IncomingRequest, Method, OutgoingResponse, ResponseOutparam, Scheme,
};
use crate::plugin::sandbox::Guest;

use super::body::Outlet;
use super::fields::Fields;
use super::response::Inlet;

fn nobody_serves<T>() -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(
        "plugins send HTTP requests and answer none",
    ))
}

impl types::HostIncomingRequest for Guest {
    fn method(&mut self, _: Resource<IncomingRequest>) -> wasmtime::Result<Method> {
        nobody_serves()
    }

    fn path_with_query(
        &mut self,
        _: Resource<IncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        nobody_serves()
    }

    fn scheme(&mut self, _: Resource<IncomingRequest>) -> wasmtime::Result<Option<Scheme>> {
        nobody_serves()
    }

    fn authority(&mut self, _: Resource<IncomingRequest>) -> wasmtime::Result<Option<String>> {
        nobody_serves()
    }

    fn headers(&mut self, _: Resource<IncomingRequest>) -> wasmtime::Result<Resource<Fields>> {
        nobody_serves()
    }

    fn consume(
        &mut self,
        _: Resource<IncomingRequest>,
    ) -> wasmtime::Result<Result<Resource<Inlet>, ()>> {
        nobody_serves()
    }

    fn drop(&mut self, _: Resource<IncomingRequest>) -> wasmtime::Result<()> {
        nobody_serves()
    }
}

impl types::HostResponseOutparam for Guest {
    fn set(
        &mut self,
        _: Resource<ResponseOutparam>,
        _: Result<Resource<OutgoingResponse>, ErrorCode>,
    ) -> wasmtime::Result<()> {
        nobody_serves()
    }

    fn drop(&mut self, _: Resource<ResponseOutparam>) -> wasmtime::Result<()> {
        nobody_serves()
    }
}

impl types::HostOutgoingResponse for Guest {
    fn new(&mut self, _: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingResponse>> {
        nobody_serves()
    }

    fn status_code(&mut self, _: Resource<OutgoingResponse>) -> wasmtime::Result<u16> {
        nobody_serves()
    }

    fn set_status_code(
        &mut self,
        _: Resource<OutgoingResponse>,
        _: u16,
    ) -> wasmtime::Result<Result<(), ()>> {
        nobody_serves()
    }

    fn headers(&mut self, _: Resource<OutgoingResponse>) -> wasmtime::Result<Resource<Fields>> {
        nobody_serves()
    }

    fn body(
        &mut self,
        _: Resource<OutgoingResponse>,
    ) -> wasmtime::Result<Result<Resource<Outlet>, ()>> {
        nobody_serves()
    }

    fn drop(&mut self, _: Resource<OutgoingResponse>) -> wasmtime::Result<()> {
        nobody_serves()
    }
}
