//! The listener and its connections: a thread for the one, a thread for each of the others.

use std::io::{self, BufReader, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::http::{Answer, Request};

/// Connections at a time; a further one is closed unheard.
const CONNECTIONS_MAX: usize = 256;

/// What a request gets.
pub(crate) enum Reply {
    /// This.
    Answer(Answer),
    /// The end of the connection.
    HangUp,
    /// Nothing, until the sender gives up.
    Hold,
}

/// A listener that is served until this is dropped; no thread is left then.
pub(crate) struct Server {
    address: SocketAddr,
    is_stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

struct Connection {
    /// To end it from outside.
    stream: TcpStream,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(
        address: SocketAddr,
        reply: impl Fn(Request) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let is_stopping = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&is_stopping);
        let accepting = std::thread::spawn(move || accept(&listener, &is_told, &Arc::new(reply)));
        Ok(Self {
            address,
            is_stopping,
            accepting: Some(accepting),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        // It waits for a connection: this one tells it to look.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            // A panic of it has been printed.
            drop(accepting.join());
        }
    }
}

fn accept<F>(listener: &TcpListener, is_stopping: &AtomicBool, reply: &Arc<F>)
where
    F: Fn(Request) -> Reply + Send + Sync + 'static,
{
    let mut connections: Vec<Connection> = Vec::new();
    for stream in listener.incoming() {
        if is_stopping.load(Ordering::SeqCst) {
            break;
        }
        connections.retain(|connection| !connection.serving.is_finished());
        let Ok(stream) = stream else { continue };
        let Ok(ours) = stream.try_clone() else {
            continue;
        };
        if connections.len() == CONNECTIONS_MAX {
            continue;
        }
        let reply = Arc::clone(reply);
        connections.push(Connection {
            stream: ours,
            // A connection that breaks concerns nobody but its sender.
            serving: std::thread::spawn(move || drop(serve(&stream, &*reply))),
        });
    }
    for Connection { stream, serving } in connections {
        drop(stream.shutdown(Shutdown::Both));
        drop(serving.join());
    }
}

fn serve(stream: &TcpStream, reply: &impl Fn(Request) -> Reply) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader, &mut &*stream)? {
        let is_last = request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        match reply(request) {
            Reply::Answer(answer) => answer.write(&mut &*stream)?,
            Reply::HangUp => break,
            Reply::Hold => {
                // Returns when the sender, or the stop, closes the connection.
                let n_read = reader.read(&mut [0])?;
                debug_assert_eq!(n_read, 0, "a sender that waits says nothing");
                break;
            }
        }
        if is_last {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}
