//! `cargo xtask load`: sends signed GitHub deliveries to this machine, as fast as asked.
//!
//! One thread and one keep-alive connection for each of `--concurrency`. An acknowledged
//! delivery is a 2xx answer read to its end; with `--acked` each is written down at once, so
//! that a comparison can be made however the run ends. With `--forged` the signatures are of
//! another secret, each delivery says that it comes from another address, and none may be
//! acknowledged. It measures in a process of its own: the commands that use it start it as
//! one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::arguments::{Arguments, Usage};
use crate::config;
use crate::delivery::{Deliveries, Shape};
use crate::http::Connection;

/// A delivery is sent again for about a minute, which outlasts a restart of the host.
const RETRIES_MAX: u32 = 600;
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const CONCURRENCY_MAX: usize = 1024;
const STACK_BYTES: usize = 256 << 10;

/// What a load came to.
pub(crate) struct Summary {
    /// Deliveries with a 2xx answer.
    pub(crate) acked: u64,
    /// Answers other than 2xx, retried ones included.
    pub(crate) refused: u64,
    /// Connections that failed, retried ones included.
    pub(crate) connection_errors: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Microseconds since 1970 at the first request.
    pub(crate) started_unix_us: u64,
    /// Of the acknowledged, from first sending to the 2xx.
    pub(crate) p50_ms: f64,
    /// The same, at the 99th percentile.
    pub(crate) p99_ms: f64,
    /// The same, the longest.
    pub(crate) max_ms: f64,
}

/// Sends the load and prints what it came to.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let is_json = arguments.flag("--json");
    let plan = Plan::parse(&mut arguments)?;
    arguments.finish_without_extra()?;
    let summary = plan.send()?;
    if is_json {
        println!("{}", summary.to_json());
    } else {
        summary.print();
    }
    if plan.is_forged && summary.acked > 0 {
        bail!("{} forged deliveries were acknowledged", summary.acked);
    }
    if !plan.is_forged && summary.acked < plan.requests {
        bail!(
            "{} of {} deliveries were not acknowledged",
            plan.requests - summary.acked,
            plan.requests
        );
    }
    Ok(())
}

impl Summary {
    /// Acknowledged deliveries per second.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let acked = self.acked as f64;
        acked / self.seconds.max(1e-9)
    }

    /// Answers other than 2xx per second.
    pub(crate) fn refusal_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
        let refused = self.refused as f64;
        refused / self.seconds.max(1e-9)
    }

    /// Reads what `--json` printed.
    pub(crate) fn from_json(text: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(text).context("the load generator did not print its summary")?;
        let count = |key: &str| value[key].as_u64().unwrap_or_default();
        let number = |key: &str| value[key].as_f64().unwrap_or_default();
        Ok(Self {
            acked: count("acked"),
            refused: count("refused"),
            connection_errors: count("connection_errors"),
            seconds: number("seconds"),
            started_unix_us: count("started_unix_us"),
            p50_ms: number("p50_ms"),
            p99_ms: number("p99_ms"),
            max_ms: number("max_ms"),
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "acked": self.acked, "refused": self.refused, "connection_errors": self.connection_errors,
            "seconds": self.seconds, "started_unix_us": self.started_unix_us,
            "p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "max_ms": self.max_ms,
        })
    }

    fn print(&self) {
        println!(
            "{} acknowledged in {:.2} s: {:.0}/s; p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms; \
             {} not 2xx, {} connection errors",
            self.acked,
            self.seconds,
            self.rate(),
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.refused,
            self.connection_errors,
        );
    }
}

struct Plan {
    address: SocketAddr,
    path: String,
    secret: Vec<u8>,
    event: String,
    requests: u64,
    concurrency: usize,
    body_bytes: usize,
    /// Deliveries per second over all connections; 0 is as fast as they are answered.
    rate: u32,
    is_retrying: bool,
    is_forged: bool,
    acked: Option<PathBuf>,
}

impl Plan {
    fn parse(arguments: &mut Arguments) -> Result<Self> {
        let url = arguments.required("--url")?;
        let (address, path) = local_address(&url)?;
        let secret_file = PathBuf::from(arguments.required("--secret-file")?);
        let is_forged = arguments.flag("--forged");
        let secret = if is_forged {
            config::random_secret()?
        } else {
            fs::read_to_string(&secret_file)
                .with_context(|| format!("cannot read {}", secret_file.display()))?
        };
        let concurrency = arguments.number("--concurrency", 32)?;
        if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
            return Err(Usage::new(format!(
                "--concurrency is {concurrency}, must be 1 to {CONCURRENCY_MAX}"
            )));
        }
        Ok(Self {
            address,
            path,
            secret: secret.trim_end().as_bytes().to_vec(),
            event: arguments
                .value("--event")?
                .unwrap_or_else(|| "push".to_owned()),
            requests: arguments.number("--requests", 2_000)?,
            concurrency,
            body_bytes: arguments.number("--body-bytes", 8_192)?,
            rate: arguments.number("--rate", 0)?,
            is_retrying: arguments.flag("--retry"),
            is_forged,
            acked: arguments.value("--acked")?.map(PathBuf::from),
        })
    }

    fn send(&self) -> Result<Summary> {
        let shape = Shape {
            host: &self.address.to_string(),
            path: &self.path,
            secret: &self.secret,
            event: &self.event,
            body_bytes: self.body_bytes,
        };
        let seed = u64::from_str_radix(&config::random_secret()?[..16], 16)?;
        let open = |path: &PathBuf| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.with_context(|| format!("cannot write {}", path.display()))
        };
        let sender = Sender {
            plan: self,
            deliveries: Deliveries::build(&shape, seed)?,
            acked: self.acked.as_ref().map(open).transpose()?,
            next: AtomicU64::new(0),
            start: Barrier::new(self.concurrency + 1),
        };
        thread::scope(|scope| {
            let spawn = |_| {
                thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, || sender.run())
            };
            let threads: Vec<_> = (0..self.concurrency).map(spawn).collect::<Result<_, _>>()?;
            sender.start.wait();
            let tallies: Vec<Tally> = threads
                .into_iter()
                .map(|thread| thread.join().expect("a sender does not panic"))
                .collect();
            Ok(summary(tallies))
        })
    }
}

/// What the threads share.
struct Sender<'a> {
    plan: &'a Plan,
    deliveries: Deliveries,
    /// Opened for appending: one write is one whole line, whichever thread makes it.
    acked: Option<File>,
    next: AtomicU64,
    start: Barrier,
}

/// What one thread counts.
#[derive(Default)]
struct Tally {
    /// By both clocks, when this thread began to send. The main thread may wake much later
    /// than the senders, so that its own clock would flatter the rate.
    started: Option<(Instant, SystemTime)>,
    ended: Option<Instant>,
    latencies_us: Vec<u64>,
    refused: u64,
    connection_errors: u64,
}

impl Sender<'_> {
    fn run(&self) -> Tally {
        let mut tally = Tally::default();
        let mut connection = Connection::new(self.plan.address);
        // One that cannot be opened now is tried again, and counted, with the first delivery.
        let _is_open = connection.open().is_ok();
        let mut request = Vec::new();
        self.start.wait();
        let started = Instant::now();
        tally.started = Some((started, SystemTime::now()));
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.plan.requests {
                tally.ended = Some(Instant::now());
                return tally;
            }
            if let Some(due) = self.due(n) {
                thread::sleep(due.saturating_sub(started.elapsed()));
            }
            let delivery_id = self.deliveries.write(n, &mut request);
            if self.plan.is_forged {
                come_from_elsewhere(&mut request, n);
            }
            self.deliver(&mut connection, &request, &delivery_id, &mut tally);
        }
    }

    fn due(&self, n: u64) -> Option<Duration> {
        (self.plan.rate > 0)
            .then(|| Duration::from_micros(n * 1_000_000 / u64::from(self.plan.rate)))
    }

    fn deliver(
        &self,
        connection: &mut Connection,
        request: &[u8],
        delivery_id: &str,
        tally: &mut Tally,
    ) {
        let sent = Instant::now();
        let retries = if self.plan.is_retrying {
            RETRIES_MAX
        } else {
            0
        };
        for retry in 0..=retries {
            if retry > 0 {
                thread::sleep(RETRY_PAUSE);
            }
            match connection.exchange(request) {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    let latency = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                    tally.latencies_us.push(latency);
                    if let Some(file) = &self.acked {
                        write_acked(file, delivery_id, answer.status, answer.body);
                    }
                    return;
                }
                Ok(answer) => {
                    tally.refused += 1;
                    // Only overload passes by itself.
                    if answer.status != 429 && answer.status != 503 {
                        return;
                    }
                }
                Err(_) => tally.connection_errors += 1,
            }
        }
    }
}

/// Adds what a proxy adds: an address that few other deliveries have.
fn come_from_elsewhere(request: &mut Vec<u8>, n: u64) {
    let [.., a, b, c] = n.to_be_bytes();
    let forwarded = format!("X-Forwarded-For: 10.{a}.{b}.{c}\r\n");
    let after_first_line = request
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    request.splice(after_first_line..after_first_line, forwarded.into_bytes());
}

fn write_acked(mut file: &File, delivery_id: &str, status: u16, body: &[u8]) {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let event_id = answer["event_id"].as_str().unwrap_or("-");
    let line = format!("{delivery_id} {event_id} {status}\n");
    file.write_all(line.as_bytes())
        .expect("the file of acknowledged deliveries can be written");
}

fn summary(tallies: Vec<Tally>) -> Summary {
    let started = tallies.iter().filter_map(|tally| tally.started).min();
    let (started, wall_clock) = started.unwrap_or((Instant::now(), UNIX_EPOCH));
    let ended = tallies
        .iter()
        .filter_map(|tally| tally.ended)
        .max()
        .unwrap_or(started);
    let seconds = ended.duration_since(started).as_secs_f64();
    let since_1970 = wall_clock.duration_since(UNIX_EPOCH).unwrap_or_default();
    let refused = tallies.iter().map(|tally| tally.refused).sum();
    let connection_errors = tallies.iter().map(|tally| tally.connection_errors).sum();
    let mut latencies_us: Vec<u64> = tallies
        .into_iter()
        .flat_map(|tally| tally.latencies_us)
        .collect();
    latencies_us.sort_unstable();
    Summary {
        acked: latencies_us.len() as u64,
        refused,
        connection_errors,
        seconds,
        started_unix_us: u64::try_from(since_1970.as_micros()).unwrap_or_default(),
        p50_ms: percentile_ms(&latencies_us, 50),
        p99_ms: percentile_ms(&latencies_us, 99),
        max_ms: percentile_ms(&latencies_us, 100),
    }
}

/// The nearest-rank percentile of ascending microseconds, in milliseconds; 0 of nothing.
pub(crate) fn percentile_ms(ascending_us: &[u64], percent: usize) -> f64 {
    let rank = (ascending_us.len() * percent).div_ceil(100);
    let us = ascending_us
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default();
    Duration::from_micros(us).as_secs_f64() * 1e3
}

/// The address and path of `url`, which must be on this machine: this is a load generator.
pub(crate) fn local_address(url: &str) -> Result<(SocketAddr, String)> {
    let wrong = || Usage::new(format!("`{url}` is not http://127.0.0.1:PORT/PATH"));
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = authority.replace("localhost:", "127.0.0.1:");
    let address: SocketAddr = authority.parse().map_err(|_| wrong())?;
    if address.ip().is_loopback() {
        Ok((address, format!("/{path}")))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).map(|n| n * 1_000).collect();
        let check = |percent, expected: f64| {
            assert!(
                (percentile_ms(&hundred, percent) - expected).abs() < 1e-9,
                "{percent}"
            );
        };
        check(50, 50.0);
        check(99, 99.0);
        check(100, 100.0);
        assert!(percentile_ms(&[], 50).abs() < 1e-9);
    }

    #[test]
    fn only_this_machine_is_loaded() {
        assert!(
            local_address("http://127.0.0.1:8080/webhooks/github")
                .is_ok_and(|(_, path)| path == "/webhooks/github")
        );
        for url in [
            "http://192.0.2.1:80/",
            "https://127.0.0.1:1/",
            "http://example.com/",
        ] {
            assert!(local_address(url).is_err(), "{url}");
        }
    }
}
