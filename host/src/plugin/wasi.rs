//! The parts of WASI 0.2 by which a guest could tell one attempt from its repetition:
//! clocks, and which of the things that it waits for is ready first. They shadow
//! wasmtime-wasi's own and pass the choke point; randomness grows from the attempt's
//! seed, which is recorded.

use std::time::Duration;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::bindings::wasi::io::poll;

use super::imports::call::{Call, Reply};
use super::sandbox::Guest;

/// Links all of WASI 0.2, with ours in the place of what the choke point must see.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, HasSelf<_>>(linker, |guest: &mut Guest| guest)?;
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, |guest: &mut Guest| guest)?;
    poll::add_to_linker::<_, HasSelf<_>>(linker, |guest: &mut Guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = Duration::from_nanos(self.gate.wall_ns()?);
        Ok(wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1_000_000,
        })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<monotonic_clock::Instant> {
        self.gate.monotonic_ns()
    }

    fn resolution(&mut self) -> wasmtime::Result<monotonic_clock::Duration> {
        Ok(1)
    }

    fn subscribe_instant(
        &mut self,
        when: monotonic_clock::Instant,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.gate.monotonic_ns()?;
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(
        &mut self,
        duration: monotonic_clock::Duration,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let due = tokio::time::Instant::now().checked_add(Duration::from_nanos(duration));
        let deadline = self.table.push(Deadline(due))?;
        subscribe(&mut self.table, deadline)
    }
}

/// A moment that is waited for; none is too far to be reached.
struct Deadline(Option<tokio::time::Instant>);

#[async_trait]
impl Pollable for Deadline {
    async fn ready(&mut self) {
        match self.0 {
            // Even what is due at once goes to the back of the queue: a guest that polls
            // in a loop must not keep others from being polled.
            Some(due) if due <= tokio::time::Instant::now() => {}
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

impl poll::Host for Guest {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.gate.begin(&Call::Poll {
            pollables: pollables.len(),
        })?;
        let ready = match self.gate.recorded() {
            Some(Reply::Ready(ready)) => ready,
            Some(_) | None => {
                tokio::task::yield_now().await;
                poll::Host::poll(&mut self.table, pollables).await?
            }
        };
        self.gate.end(&Reply::Ready(ready.clone()))?;
        Ok(ready)
    }
}

impl poll::HostPollable for Guest {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.gate.begin(&Call::Ready)?;
        let is_ready = match self.gate.recorded() {
            Some(Reply::Ready(ready)) => !ready.is_empty(),
            Some(_) | None => poll::HostPollable::ready(&mut self.table, pollable).await?,
        };
        let reply = Reply::Ready(if is_ready { vec![0] } else { Vec::new() });
        self.gate.end(&reply)?;
        Ok(is_ready)
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.gate.begin(&Call::Block)?;
        if self.gate.recorded().is_none() {
            poll::HostPollable::block(&mut self.table, pollable).await?;
        }
        self.gate.end(&Reply::Done)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}
