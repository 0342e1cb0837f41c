//! Carries calls and answers between the contract's types and [`Gate`]'s: no
//! decision is made here.

use crate::run::LogLevel;

use super::bindings::hookbay::plugin::{config, kv, log};
use super::imports::{Call, Refusal, Reply};
use super::sandbox::Guest;

/// An answer that the call cannot have: a mistake of ours, not of the guest.
fn unexpected<T>(reply: Reply) -> wasmtime::Result<T> {
    Err(wasmtime::Error::msg(format!("the host answered {reply:?}")))
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
            Reply::Value(value) => Ok(Ok(value)),
            Reply::Refused(refusal) => Ok(Err(refusal.into())),
            other => unexpected(other),
        }
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), kv::Error>> {
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

fn done(reply: Reply) -> wasmtime::Result<Result<(), kv::Error>> {
    match reply {
        Reply::Done => Ok(Ok(())),
        Reply::Refused(refusal) => Ok(Err(refusal.into())),
        other => unexpected(other),
    }
}

impl From<Refusal> for kv::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Limit(what) => Self::Limit(what),
            Refusal::NotACounter(what) => Self::NotACounter(what),
            Refusal::Unavailable(what) => Self::Unavailable(what),
        }
    }
}
