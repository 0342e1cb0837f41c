//! A request that a guest puts together.

use std::sync::Arc;

use wasmtime::component::Resource;

use crate::plugin::bindings::wasi_http::wasi::http::types::{self, Method, Scheme};
use crate::plugin::limits::{HTTP_PATH_MAX, HTTP_WORD_MAX};
use crate::plugin::sandbox::Guest;

use super::body::{Outlet, Written};
use super::fields::Fields;

/// A request before it is sent.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Outgoing {
    pub(super) method: Method,
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Option<String>,
    pub(super) path: Option<String>,
    pub(super) headers: Fields,
    /// Some, once the guest has asked for it.
    pub(super) body: Option<Arc<Written>>,
}

/// How long its parts may take, in nanoseconds.
#[derive(Clone, Default)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Timeouts {
    pub(super) connect: Option<u64>,
    pub(super) first_byte: Option<u64>,
    pub(super) between_bytes: Option<u64>,
}

impl types::HostOutgoingRequest for Guest {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<Outgoing>> {
        self.begin_request()?;
        let headers = self.table.delete(headers)?;
        Ok(self.table.push(Outgoing {
            method: Method::Get,
            scheme: None,
            authority: None,
            path: None,
            headers,
            body: None,
        })?)
    }

    fn body(
        &mut self,
        request: Resource<Outgoing>,
    ) -> wasmtime::Result<Result<Resource<Outlet>, ()>> {
        let request = self.table.get_mut(&request)?;
        if request.body.is_some() {
            return Ok(Err(()));
        }
        let body = Arc::new(Written::in_room(self.room.take(0)?));
        let outlet = Outlet::of(request.body.insert(body));
        Ok(Ok(self.table.push(outlet)?))
    }

    fn method(&mut self, request: Resource<Outgoing>) -> wasmtime::Result<Method> {
        Ok(self.table.get(&request)?.method.clone())
    }

    fn set_method(
        &mut self,
        request: Resource<Outgoing>,
        method: Method,
    ) -> wasmtime::Result<Result<(), ()>> {
        if let Method::Other(word) = &method
            && word.len() > HTTP_WORD_MAX
        {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(&mut self, request: Resource<Outgoing>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&request)?.path.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<Outgoing>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        // Whether it is one is said when the request is made; here only what is kept is bounded.
        if path.as_ref().is_some_and(|path| path.len() > HTTP_PATH_MAX) {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.path = path;
        Ok(Ok(()))
    }

    fn scheme(&mut self, request: Resource<Outgoing>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.table.get(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<Outgoing>,
        scheme: Option<Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if let Some(Scheme::Other(word)) = &scheme
            && word.len() > HTTP_WORD_MAX
        {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, request: Resource<Outgoing>) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&request)?.authority.clone())
    }

    fn set_authority(
        &mut self,
        request: Resource<Outgoing>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        let is_long = |authority: &String| authority.len() > HTTP_WORD_MAX;
        if authority.as_ref().is_some_and(is_long) {
            return Ok(Err(()));
        }
        self.table.get_mut(&request)?.authority = authority;
        Ok(Ok(()))
    }

    fn headers(&mut self, request: Resource<Outgoing>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.table.get(&request)?.headers.frozen();
        let headers = headers.kept_in(&self.room)?;
        Ok(self.table.push(headers)?)
    }

    fn drop(&mut self, request: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table.delete(request)?;
        Ok(())
    }
}

impl types::HostRequestOptions for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Timeouts>> {
        Ok(self.table.push(Timeouts::default())?)
    }

    fn connect_timeout(&mut self, options: Resource<Timeouts>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&options)?.connect)
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<Timeouts>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.table.get_mut(&options)?.connect = timeout;
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Resource<Timeouts>) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&options)?.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<Timeouts>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.table.get_mut(&options)?.first_byte = timeout;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(
        &mut self,
        options: Resource<Timeouts>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.table.get(&options)?.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<Timeouts>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.table.get_mut(&options)?.between_bytes = timeout;
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<Timeouts>) -> wasmtime::Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}
