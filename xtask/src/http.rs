//! One keep-alive HTTP/1.1 connection over a blocking socket: enough for the load generator
//! and for reading the admin API of a host on this machine.
//!
//! No TLS, no redirects, and only answers with a `Content-Length`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
/// A page of a thousand runs is well under a mebibyte.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// A connection that opens when it is needed and again after an error.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// One answer, its body borrowed from the connection's buffer.
pub(crate) struct Response<'a> {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The status line and the headers, each in a line.
    pub(crate) head: &'a [u8],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// A connection to `address`, not yet open.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: vec![0; 4096],
        }
    }

    /// Opens the connection where it is not open.
    pub(crate) fn open(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends `request`, head and body, with one write and reads the answer.
    ///
    /// # Errors
    /// What the socket says, or `InvalidData` for an answer that this client cannot read.
    /// The connection is closed then, and the next exchange opens another.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Response<'_>> {
        let received = self.open().and_then(|()| self.send_and_receive(request));
        match received {
            Ok(answer) => {
                if answer.is_last {
                    self.stream = None;
                }
                Ok(Response {
                    status: answer.status,
                    head: &self.buffer[..answer.body_start],
                    body: &self.buffer[answer.body_start..answer.end],
                })
            }
            Err(error) => {
                self.stream = None;
                Err(error)
            }
        }
    }

    fn send_and_receive(&mut self, request: &[u8]) -> io::Result<Answer> {
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        stream.write_all(request)?;
        let mut filled = 0;
        let mut answer = None;
        loop {
            if filled == self.buffer.len() {
                if filled >= RESPONSE_BYTES_MAX {
                    return Err(unreadable("the answer is too large"));
                }
                self.buffer.resize(filled * 2, 0);
            }
            let n_read = stream.read(&mut self.buffer[filled..])?;
            if n_read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += n_read;
            if answer.is_none() {
                answer = Answer::parse(&self.buffer[..filled])?;
            }
            match answer {
                Some(complete) if filled >= complete.end => return Ok(complete),
                Some(_) | None => {}
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Answer {
    status: u16,
    body_start: usize,
    end: usize,
    is_last: bool,
}

impl Answer {
    /// Nothing while the head is not complete.
    fn parse(received: &[u8]) -> io::Result<Option<Self>> {
        let Some(head_end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&received[..head_end])
            .map_err(|_| unreadable("the head is not text"))?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| unreadable("the answer has no status line"))?;
        let mut body_bytes = None;
        let mut is_last = false;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                body_bytes = value.trim().parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                is_last = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let body_start = head_end + 4;
        // RFC 9110 section 15.3.5: nothing follows.
        let body_bytes = if status == 204 { Some(0) } else { body_bytes };
        let body_bytes =
            body_bytes.ok_or_else(|| unreadable("the answer has no content-length"))?;
        if body_bytes > RESPONSE_BYTES_MAX {
            return Err(unreadable("the answer is too large"));
        }
        Ok(Some(Self {
            status,
            body_start,
            end: body_start + body_bytes,
            is_last,
        }))
    }
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_head() {
        let whole = b"HTTP/1.1 202 Accepted\r\ncontent-LENGTH: 2\r\nConnection: Close\r\n\r\nok";
        let answer = Answer::parse(whole)
            .expect("it is well formed")
            .expect("it is complete");
        assert_eq!(
            (answer.status, &whole[answer.body_start..answer.end]),
            (202, &b"ok"[..])
        );
        assert!(answer.is_last);
        assert!(
            Answer::parse(&whole[..20])
                .expect("it is well formed so far")
                .is_none()
        );
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
