//! What connections may take before they have said anything: their number, and their time.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hookbay::http::Connections;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Folder, Host, eventually};
use crate::http::raw;

const SOURCES: &str = r#"
[sources.open]
provider = "none"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let mut folder = Folder::new(SOURCES, &[]).await;
    folder.bounds.body_within = Duration::from_millis(200);
    let host = Host::over(folder).await;
    for part in ["", "{\"half\":"] {
        let head = "POST /webhooks/open HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n";
        let answer = raw(host.public, format!("{head}{part}").into_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("body too slow"), "{answer}");
    }
    // One that arrives is taken, whoever dawdles beside it.
    assert_eq!(host.send("open", &[], "{}").await.status, 202);
    assert_eq!(host.items("events").await.len(), 1);
    assert_eq!(host.items("quarantine").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_arrive_is_not_waited_for() {
    let mut folder = Folder::new(SOURCES, &[]).await;
    folder.bounds.patience.head = Duration::from_millis(200);
    let host = Host::over(folder).await;
    for part in ["", "POST /webhooks/open HTTP/1.1\r\nhost: h\r\nx-long"] {
        // Ends when the host closes.
        let answer = raw(host.public, part.as_bytes().to_vec()).await;
        assert!(!answer.contains(" 202 "), "{answer}");
    }
    assert_eq!(host.send("open", &[], "{}").await.status, 202);
}

/// A connection from an address of this machine, if the host takes it: it answers on it.
async fn connect(host: SocketAddr, from: [u8; 4]) -> Option<std::net::TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(from), 0).into()).unwrap();
    let stream: TcpStream = socket.connect(host).await.ok()?;
    let stream = stream.into_std().unwrap();
    let ask = move || {
        let mut stream = stream;
        stream.set_nonblocking(false).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
            .ok()?;
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).ok()?;
        Some(stream)
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_of_one_host_and_of_all() {
    let sources = format!("trusted_proxies = [\"127.0.0.9\"]\n{SOURCES}");
    let mut folder = Folder::new(&sources, &[]).await;
    folder.bounds.connections = Connections {
        all: 10,
        of_one_host: 3,
    };
    let host = Host::over(folder).await;
    let mut of_one = Vec::new();
    for n in 0..3 {
        let taken = connect(host.public, [127, 0, 0, 2]).await;
        of_one.push(taken.unwrap_or_else(|| panic!("connection {n} is refused")));
    }
    for _ in 0..3 {
        assert!(connect(host.public, [127, 0, 0, 2]).await.is_none());
    }
    // Nobody else is meant.
    assert_eq!(host.send("open", &[], "{}").await.status, 202);
    // Who leaves makes room.
    of_one.pop();
    let again = eventually("there is room again", async || {
        connect(host.public, [127, 0, 0, 2]).await
    })
    .await;
    of_one.push(again);
    // A proxy speaks for many; with it all places are taken. The client of the test has one or
    // a few of them.
    let mut of_proxy = Vec::new();
    while let Some(taken) = connect(host.public, [127, 0, 0, 9]).await {
        of_proxy.push(taken);
        assert!(of_proxy.len() <= 7, "more than there are");
    }
    assert!(of_proxy.len() > 3, "{}", of_proxy.len());
    assert!(connect(host.public, [127, 0, 0, 3]).await.is_none());
    drop(of_proxy);
    eventually("there is room for all again", async || {
        connect(host.public, [127, 0, 0, 3]).await
    })
    .await;
}
