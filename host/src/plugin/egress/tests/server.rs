//! A server on this machine that sends what a test tells it to, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is done on a connection once a request is there.
#[derive(Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Sends it again and again until nobody takes it any more.
    SendForever(Vec<u8>),
    /// Says no more, and stays.
    Stay,
    Close,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
    _connections: JoinSet<()>,
}

struct Seen {
    requests: Mutex<Vec<String>>,
    /// How many connections there were, and are.
    connections: watch::Sender<(usize, usize)>,
}

impl Step {
    /// A whole answer with a body.
    pub(super) fn ok(body: &str) -> Self {
        let length = body.len();
        Self::send(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    pub(super) fn send(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

impl Server {
    /// Answers each request, head and body as text, with the steps that `answer` names.
    pub(super) async fn start(answer: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            requests: Mutex::default(),
            connections: watch::Sender::new((0, 0)),
        });
        let mut connections = JoinSet::new();
        let (answer, theirs) = (Arc::new(answer), Arc::clone(&seen));
        connections.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                theirs.connections.send_modify(|(all, open)| {
                    *all += 1;
                    *open += 1;
                });
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&theirs));
                serving.spawn(async move {
                    serve(stream, &*answer, &seen).await;
                    seen.connections.send_modify(|(_, open)| *open -= 1);
                });
            }
        });
        Self {
            address,
            seen,
            _connections: connections,
        }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(super) fn n_connections(&self) -> usize {
        self.seen.connections.borrow().0
    }

    pub(super) fn n_open(&self) -> usize {
        self.seen.connections.borrow().1
    }

    /// Waits until no connection is open.
    pub(super) async fn all_closed(&self) {
        let mut connections = self.seen.connections.subscribe();
        connections.wait_for(|(_, open)| *open == 0).await.unwrap();
    }
}

async fn serve(mut stream: TcpStream, answer: &(dyn Fn(&str) -> Vec<Step> + Sync), seen: &Seen) {
    while let Some(request) = read_request(&mut stream).await {
        let steps = answer(&request);
        seen.requests.lock().unwrap().push(request);
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                    // Each step in a segment of its own.
                    tokio::task::yield_now().await;
                }
                Step::SendForever(bytes) => while stream.write_all(&bytes).await.is_ok() {},
                Step::Stay => {
                    // Until the other side goes away.
                    let mut rest = [0; 1024];
                    while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                    return;
                }
                Step::Close => return,
            }
        }
    }
}

/// A request's head and body; none once the connection has ended.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(n) if n > 0 => read.extend_from_slice(&more[..n]),
            Ok(_) | Err(_) => return None,
        }
    }
}
