//! Requests and answers: the client that a sender or an operator would use, and sockets for
//! what no client would send.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Body, Method};
use serde_json::Value;

/// Speaks HTTP without proxies and certificates.
pub(crate) struct Client(reqwest::Client);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new() -> Self {
        // An error means that another test was first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .tls_certs_only([])
            .build();
        Self(client.unwrap())
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let answer = self.try_ask(method, url, headers, body).await;
        answer.unwrap_or_else(|| panic!("{url} does not answer"))
    }

    /// None, if nobody answers at the address.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Option<Answer> {
        let mut request = self.0.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.ok()?.to_vec();
        Some(Answer {
            status,
            headers,
            body,
        })
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The event that a 2xx names.
    pub(crate) fn event(&self) -> String {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.text()
        );
        self.json()["event_id"].as_str().unwrap().to_owned()
    }

    /// Status and word of an acknowledgement: `(202, "accepted")`.
    pub(crate) fn word(&self) -> (u16, String) {
        (
            self.status,
            self.json()["status"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

/// Writes `request` to a socket as it is and reads until the host closes; the text of all
/// answers. The request must make the host close (`connection: close`).
pub(crate) async fn raw(address: SocketAddr, request: Vec<u8>) -> String {
    on_socket(address, move |mut socket| {
        socket.write_all(&request).unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is the host's right: it need not read a refused body.
        let ended = socket.read_to_end(&mut answer);
        assert!(ended.is_ok() || !answer.is_empty(), "{ended:?}");
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

/// Writes `request` to a socket as it is and goes away without reading the answer.
pub(crate) async fn send_and_leave(address: SocketAddr, request: Vec<u8>) {
    on_socket(address, move |mut socket| {
        socket.write_all(&request).unwrap();
        socket.shutdown(Shutdown::Both).unwrap();
    })
    .await;
}

async fn on_socket<T: Send + 'static>(
    address: SocketAddr,
    use_it: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> T {
    let on_thread = move || {
        let socket = TcpStream::connect(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        use_it(socket)
    };
    tokio::task::spawn_blocking(on_thread).await.unwrap()
}
