//! Requests and answers, read from and written to a stream: as much of HTTP/1.1 as the host's
//! client, curl and a browser need.

use std::io::{self, BufRead, Read, Write};

use serde_json::Value;

/// Longest line of a head; lines of a head.
const LINE_BYTES_MAX: u64 = 16 << 10;
const HEADERS_MAX: usize = 100;
/// Largest body.
const BODY_BYTES_MAX: usize = 32 << 20;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What stands behind `?`; empty without one.
    pub query: String,
    /// The headers as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; 0 stands for none in what is told of a call.
    pub status: u16,
    /// The headers, without those about the body's length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What was done, for people; it is printed, not sent.
    pub note: String,
}

impl Request {
    /// A request without headers.
    #[must_use]
    pub fn new(method: &str, path: &str, body: &[u8]) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: body.to_vec(),
        }
    }

    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether `Authorization` is `Bearer` and this token.
    #[must_use]
    pub fn bears(&self, token: &str) -> bool {
        let bearer = self.header("authorization");
        bearer.and_then(|value| value.strip_prefix("Bearer ")) == Some(token)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Reads the next request of a connection; none where the connection has ended. `back` is
    /// where a sender is told to go on that waits to be.
    pub(crate) fn read(
        stream: &mut impl BufRead,
        back: &mut impl Write,
    ) -> io::Result<Option<Self>> {
        let Some(first) = line(stream)? else {
            return Ok(None);
        };
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(unreadable("the request line"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self::new(method, path, b"");
        query.clone_into(&mut request.query);
        loop {
            let next = line(stream)?.ok_or_else(|| unreadable("the head"))?;
            if next.is_empty() {
                break;
            }
            if request.headers.len() == HEADERS_MAX {
                return Err(unreadable("the number of headers"));
            }
            let (name, value) = next.split_once(':').ok_or_else(|| unreadable("a header"))?;
            request
                .headers
                .push((name.to_owned(), value.trim().to_owned()));
        }
        if request.header("expect").is_some() {
            back.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = request.read_body(stream)?;
        Ok(Some(request))
    }

    fn read_body(&self, stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let coding = self.header("transfer-encoding").unwrap_or_default();
        if coding.eq_ignore_ascii_case("chunked") {
            return chunks(stream);
        }
        let Some(length) = self.header("content-length") else {
            return Ok(Vec::new());
        };
        let length: usize = length
            .parse()
            .map_err(|_| unreadable("the content length"))?;
        exactly(stream, length)
    }
}

impl Answer {
    /// An answer with a JSON body.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", &body.to_string())
    }

    /// An answer of plain text.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// A page for people.
    #[must_use]
    pub fn html(body: &str) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    /// No answer, for the sake of what is told of it.
    pub(crate) fn none(note: &str) -> Self {
        Self::new(0, "", "").with_note(note)
    }

    fn new(status: u16, content_type: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.as_bytes().to_vec(),
            note: String::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says what was done.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Writes it, head and body together.
    pub(crate) fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason());
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes)
    }

    /// Nobody reads it, but old clients want one.
    fn reason(&self) -> &'static str {
        match self.status {
            200..=299 => "OK",
            _ => "Not OK",
        }
    }
}

/// A line without its end; none at the stream's end.
fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    if stream.take(LINE_BYTES_MAX).read_line(&mut text)? == 0 {
        return Ok(None);
    }
    match text.strip_suffix('\n') {
        Some(line) => Ok(Some(line.trim_end_matches('\r').to_owned())),
        None => Err(unreadable("a line")),
    }
}

/// A body in chunks (RFC 9112, 7.1); trailers are skipped.
fn chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let head = line(stream)?.ok_or_else(|| unreadable("a chunk"))?;
        let digits = head.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(|_| unreadable("a chunk"))?;
        if length == 0 {
            while line(stream)?.is_some_and(|trailer| !trailer.is_empty()) {}
            return Ok(body);
        }
        if body.len() + length > BODY_BYTES_MAX {
            return Err(unreadable("the size of the body"));
        }
        body.extend(exactly(stream, length)?);
        line(stream)?;
    }
}

fn exactly(stream: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_BYTES_MAX {
        return Err(unreadable("the size of the body"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} is not as HTTP/1.1 has it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Option<Request>> {
        Request::read(&mut text.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn bodies_come_with_a_length_or_in_chunks() {
        for text in [
            "POST /a?b=c HTTP/1.1\r\nCONTENT-length: 5\r\nX-A:  1 \r\n\r\nhello",
            "POST /a?b=c HTTP/1.1\r\nX-A: 1\r\nTransfer-Encoding: Chunked\r\n\r\n\
             2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n",
        ] {
            let request = read(text).expect("it is readable").expect("it is there");
            assert_eq!(
                (request.path.as_str(), request.query.as_str()),
                ("/a", "b=c")
            );
            assert_eq!(request.body, b"hello");
            assert_eq!(request.header("x-a"), Some("1"));
        }
        assert_eq!(read("").expect("an end is no error"), None);
    }

    #[test]
    fn a_sender_that_waits_is_told_to_go_on() {
        let text = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na";
        let mut back = Vec::new();
        let request = Request::read(&mut text.as_bytes(), &mut back);
        assert_eq!(request.expect("it is readable").expect("there").body, b"a");
        assert_eq!(back, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        for text in [
            "GET\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a",
            "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
