//! Serves one address: accepts connections, bounds their number and the patience
//! with them, and ends them in order when the host stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::crowd::{Crowd, Place};
use super::tls::Tls;

/// Largest head of a request; hyper would take 400 KiB for each connection.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Before the next try when no connection can be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long open requests may go on when the host stops.
const GRACE: Duration = Duration::from_secs(10);

/// How long a connection may take over what comes before a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until TLS stands.
    pub handshake: Duration,
    /// Until a request's head has arrived, the wait for it included.
    pub head: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
        }
    }
}

/// Serves `routes` until `stop`, over TLS if there is any; then lets open requests end,
/// at most for the grace.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    tls: Option<Tls>,
    (crowd, patience): (Crowd, Patience),
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let acceptor = tls.as_ref().map(Tls::acceptor);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without a place, the kernel tells the sender that the connection is closed.
                let Some(place) = crowd.enter(peer.ip()) else {
                    continue;
                };
                let attended = Attended {
                    routes: Routed {
                        routes: routes.clone(),
                        peer,
                    },
                    patience,
                    watcher: graceful.watcher(),
                    _place: place,
                };
                at_once(&stream);
                match acceptor.clone() {
                    None => connections.spawn(attended.serve(stream)),
                    Some(acceptor) => {
                        connections.spawn(attended.serve_tls(acceptor, stream, stop.clone()))
                    }
                };
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "connections were still open; they are cut off"
        );
        connections.shutdown().await;
    }
}

/// One connection, and what it takes to answer on it.
struct Attended {
    routes: Routed,
    patience: Patience,
    watcher: Watcher,
    /// Held as long as it is open.
    _place: Place,
}

impl Attended {
    /// Once its TLS stands; whoever takes too long for that is left alone.
    async fn serve_tls(self, acceptor: TlsAcceptor, stream: TcpStream, stop: CancellationToken) {
        let handshake = tokio::time::timeout(self.patience.handshake, acceptor.accept(stream));
        let encrypted = tokio::select! {
            () = stop.cancelled() => return,
            encrypted = handshake => encrypted,
        };
        match encrypted {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection has no TLS"),
            Err(_) => tracing::debug!("a connection took too long over its TLS"),
        }
    }

    async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), self.routes);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// Small answers are not held back for more.
fn at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be held back by the network");
    }
}

/// The routes, as whoever is at the other end of one connection reaches them: requests
/// carry its address as axum's [`ConnectInfo`].
struct Routed {
    routes: Router,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for Routed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Router as tower_service::Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        tower_service::Service::call(&mut self.routes.clone(), request)
    }
}
