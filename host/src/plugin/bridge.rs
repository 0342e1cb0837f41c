//! Carries calls and answers between the contract's types and [`Gate`]'s: no
//! decision is made here.
//!
//! [`Gate`]: super::imports::Gate

use std::time::Duration;

use crate::run::LogLevel;

use super::bindings::hookbay::plugin::{config, crypto, events, http, kv, log};
use super::egress::{Credential, Fetch, FetchError, Fetched, HeaderValue};
use super::imports::call::{Blob, Call, Refusal, Reply};
use super::sandbox::Guest;
use super::secrets::KeyEncoding;

/// An answer that the call cannot have: a mistake of ours, not of the guest.
pub(super) fn unlike(reply: &Reply) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the host answered {reply:?}"))
}

fn unexpected<T>(reply: Reply) -> wasmtime::Result<T> {
    Err(unlike(&reply))
}

impl log::Host for Guest {
    async fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<log::Field>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        let fields = fields
            .into_iter()
            .map(|field| (field.name, field.value))
            .collect();
        self.gate
            .pass(Call::Log {
                level,
                message,
                fields,
            })
            .await
            .map(|_| ())
    }
}

impl config::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        match self.gate.pass(Call::ConfigGet { key }).await? {
            Reply::Text(text) => Ok(text),
            other => unexpected(other),
        }
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, kv::Error>> {
        match self.gate.pass(Call::KvGet { key }).await? {
            Reply::Value(value) => Ok(Ok(value.map(|value| value.0))),
            Reply::Refused(refusal) => Ok(Err(refusal.into())),
            other => unexpected(other),
        }
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), kv::Error>> {
        let value = Blob(value);
        done(self.gate.pass(Call::KvSet { key, value }).await?)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), kv::Error>> {
        done(self.gate.pass(Call::KvDelete { key }).await?)
    }

    async fn list(
        &mut self,
        prefix: String,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, kv::Error>> {
        match self.gate.pass(Call::KvList { prefix, limit }).await? {
            Reply::Keys(keys) => Ok(Ok(keys)),
            Reply::Refused(refusal) => Ok(Err(refusal.into())),
            other => unexpected(other),
        }
    }

    async fn increment(&mut self, key: String, by: i64) -> wasmtime::Result<Result<(), kv::Error>> {
        done(self.gate.pass(Call::KvIncrement { key, by }).await?)
    }
}

impl http::Host for Guest {
    async fn fetch(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::Error>> {
        match self.gate.pass(Call::Fetch(request.into())).await? {
            Reply::Fetched(fetched) => Ok(Ok(fetched.into())),
            Reply::Failed(error) => Ok(Err(error.into())),
            other => unexpected(other),
        }
    }
}

impl crypto::Host for Guest {
    async fn hmac_sha256(
        &mut self,
        secret: String,
        key_encoding: crypto::KeyEncoding,
        message: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, crypto::Error>> {
        let key_encoding = match key_encoding {
            crypto::KeyEncoding::Text => KeyEncoding::Text,
            crypto::KeyEncoding::Base64 => KeyEncoding::Base64,
            crypto::KeyEncoding::Hex => KeyEncoding::Hex,
            crypto::KeyEncoding::Whsec => KeyEncoding::Whsec,
        };
        let call = Call::Hmac {
            secret,
            key_encoding,
            message: Blob(message),
        };
        match self.gate.pass(call).await? {
            Reply::Bytes(signature) => Ok(Ok(signature.0)),
            Reply::Refused(refusal) => Ok(Err(refusal.into())),
            other => unexpected(other),
        }
    }
}

impl events::Host for Guest {
    async fn emit(
        &mut self,
        kind: String,
        body: Vec<u8>,
    ) -> wasmtime::Result<Result<(), events::Error>> {
        let body = Blob(body);
        done(self.gate.pass(Call::Emit { kind, body }).await?)
    }
}

fn done<E: From<Refusal>>(reply: Reply) -> wasmtime::Result<Result<(), E>> {
    match reply {
        Reply::Done => Ok(Ok(())),
        Reply::Refused(refusal) => Ok(Err(refusal.into())),
        other => unexpected(other),
    }
}

impl From<Refusal> for kv::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotACounter(what) => Self::NotACounter(what),
            Refusal::Unavailable(what) => Self::Unavailable(what),
            Refusal::Limit(what)
            | Refusal::Denied(what)
            | Refusal::InvalidKey(what)
            | Refusal::Invalid(what)
            | Refusal::TooDeep(what) => Self::Limit(what),
        }
    }
}

impl From<Refusal> for crypto::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InvalidKey(what) => Self::InvalidKey(what),
            Refusal::Denied(what)
            | Refusal::Limit(what)
            | Refusal::NotACounter(what)
            | Refusal::Unavailable(what)
            | Refusal::Invalid(what)
            | Refusal::TooDeep(what) => Self::Denied(what),
        }
    }
}

impl From<Refusal> for events::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooDeep(what) => Self::TooDeep(what),
            Refusal::Invalid(what)
            | Refusal::Limit(what)
            | Refusal::NotACounter(what)
            | Refusal::Unavailable(what)
            | Refusal::Denied(what)
            | Refusal::InvalidKey(what) => Self::Invalid(what),
        }
    }
}

impl From<http::Request> for Fetch {
    fn from(request: http::Request) -> Self {
        let header = |header: http::RequestHeader| (header.name, header.value.into());
        Self {
            endpoint: request.endpoint,
            path: request.path,
            method: request.method,
            headers: request.headers.into_iter().map(header).collect(),
            body: request.body.map(Blob),
            timeout: request
                .timeout_ms
                .map(|ms| Duration::from_millis(ms.into())),
            idempotency_header: request.idempotency_header,
        }
    }
}

impl From<http::HeaderValue> for HeaderValue {
    fn from(value: http::HeaderValue) -> Self {
        match value {
            http::HeaderValue::Plain(bytes) => Self::Plain(Blob(bytes)),
            http::HeaderValue::Secret(value) => Self::Secret {
                name: value.secret,
                prefix: value.prefix,
                suffix: value.suffix,
            },
            http::HeaderValue::Basic(pair) => Self::Basic {
                user: pair.user.into(),
                password: pair.password.into(),
            },
        }
    }
}

impl From<http::Credential> for Credential {
    fn from(credential: http::Credential) -> Self {
        match credential {
            http::Credential::Text(text) => Self::Text(text),
            http::Credential::Secret(name) => Self::Secret(name),
        }
    }
}

impl From<Fetched> for http::Response {
    fn from(fetched: Fetched) -> Self {
        let header = |(name, value): (String, Blob)| http::ResponseHeader {
            name,
            value: value.0,
        };
        Self {
            status: fetched.status,
            headers: fetched.headers.into_iter().map(header).collect(),
            body: fetched.body.0,
        }
    }
}

impl From<FetchError> for http::Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Denied(what) => Self::Denied(what),
            FetchError::Invalid(what) => Self::Invalid(what),
            FetchError::TooLarge(what) => Self::TooLarge(what),
            FetchError::Timeout(what) => Self::Timeout(what),
            FetchError::Unavailable(what) => Self::Unavailable(what),
        }
    }
}
