//! A client that sends deliveries of its caller's own making, one after the other.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::config;
use crate::delivery::{Delivery, Shape, delivery_id};
use crate::host::Host;
use crate::http::{Connection, Response};

const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// No delivery is tried for longer.
const WITHIN: Duration = Duration::from_secs(300);

/// The client, and where it writes down what was acknowledged.
pub(crate) struct Sender {
    address: SocketAddr,
    secret: String,
    connection: Connection,
    acked: File,
    seed: u64,
    n_ids: u64,
    request: Vec<u8>,
}

impl Sender {
    /// A client of `host`.
    pub(crate) fn new(host: &Host, acked: &Path) -> Result<Self> {
        let address = host.addresses().public;
        let opened = OpenOptions::new().create(true).append(true).open(acked);
        Ok(Self {
            address,
            secret: host.secret()?,
            connection: Connection::new(address),
            acked: opened.with_context(|| format!("cannot write {}", acked.display()))?,
            seed: u64::from_str_radix(&config::random_secret()?[..16], 16)?,
            n_ids: 0,
            request: Vec::new(),
        })
    }

    /// A delivery id that no other delivery has.
    pub(crate) fn take_id(&mut self) -> String {
        self.n_ids += 1;
        delivery_id(self.seed, self.n_ids)
    }

    /// Signs a push.
    pub(crate) fn sign(&self, body: &[u8]) -> Delivery {
        let shape = Shape {
            host: &self.address.to_string(),
            path: "/webhooks/github",
            secret: self.secret.as_bytes(),
            event: "push",
            body_bytes: body.len(),
        };
        Delivery::build(&shape, body)
    }

    /// Sends until it is acknowledged, and writes that down with a note of one word.
    pub(crate) fn deliver(&mut self, delivery: &Delivery, id: &str, note: &str) -> Result<()> {
        delivery.write(id, &mut self.request);
        let started = Instant::now();
        while started.elapsed() < WITHIN {
            match self.connection.exchange(&self.request) {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return note_acked(&mut self.acked, id, &answer, note);
                }
                Ok(answer) if answer.status != 429 && answer.status != 503 => {
                    bail!("delivery {id} was answered {}", answer.status)
                }
                Ok(_) | Err(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
        bail!(
            "delivery {id} was not acknowledged within {} s",
            WITHIN.as_secs()
        );
    }

    /// Sends once and writes down an acknowledgement; true when there was none, as the host
    /// was overloaded.
    pub(crate) fn is_refused(&mut self, delivery: &Delivery, id: &str) -> Result<bool> {
        delivery.write(id, &mut self.request);
        let answer = self.connection.exchange(&self.request)?;
        match answer.status {
            503 => Ok(true),
            200..300 => note_acked(&mut self.acked, id, &answer, "").map(|()| false),
            status => bail!("delivery {id} was answered {status}"),
        }
    }

    /// Sends all of the request but the last `missing` bytes and goes away.
    pub(crate) fn abandon(
        &mut self,
        delivery: &Delivery,
        id: &str,
        missing: Option<usize>,
    ) -> Result<()> {
        delivery.write(id, &mut self.request);
        let end = self.request.len() - missing.unwrap_or_default();
        let mut stream = TcpStream::connect(self.address).context("cannot connect")?;
        stream
            .write_all(&self.request[..end])
            .context("cannot send half a request")
    }
}

/// Writes down an acknowledgement, with a note of one word.
fn note_acked(acked: &mut File, id: &str, answer: &Response<'_>, note: &str) -> Result<()> {
    let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let event_id = body["event_id"].as_str().unwrap_or("-");
    let line = format!("{id} {event_id} {} {note}", answer.status);
    let line = line.trim_end().to_owned() + "\n";
    acked
        .write_all(line.as_bytes())
        .context("cannot write down what was acknowledged")
}
