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

use super::tls::Tls;

/// Connections of one address at once.
const CONNECTIONS_MAX: usize = 10_000;
/// A request's head must have arrived within this time, the wait for it included.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// Largest head of a request; hyper would take 400 KiB for each connection.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// TLS must stand within this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Before the next try when no connection can be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long open requests may go on when the host stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `routes` until `stop`, over TLS if there is any; then lets open requests end,
/// at most for the grace.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    tls: Option<Tls>,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let acceptor = tls.as_ref().map(Tls::acceptor);
    let mut connections = JoinSet::new();
    let mut is_full = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // The kernel tells the sender that the connection is closed.
            Ok(_) if connections.len() >= CONNECTIONS_MAX => {
                if !std::mem::replace(&mut is_full, true) {
                    tracing::warn!(
                        limit = CONNECTIONS_MAX,
                        "too many connections; more are closed at once"
                    );
                }
            }
            Ok((stream, peer)) => {
                is_full = false;
                let routes = Routed {
                    routes: routes.clone(),
                    peer,
                };
                let watcher = graceful.watcher();
                match acceptor.clone() {
                    None => connections.spawn(attend(stream, routes, watcher)),
                    Some(acceptor) => {
                        let stop = stop.clone();
                        connections.spawn(attend_tls(acceptor, stream, routes, watcher, stop))
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

/// One connection, once its TLS stands; whoever takes too long for that is left alone.
async fn attend_tls(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    routes: Routed,
    watcher: Watcher,
    stop: CancellationToken,
) {
    at_once(&stream);
    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream));
    let encrypted = tokio::select! {
        () = stop.cancelled() => return,
        encrypted = handshake => encrypted,
    };
    match encrypted {
        Ok(Ok(stream)) => serve_connection(stream, routes, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "a connection has no TLS"),
        Err(_) => tracing::debug!("a connection took too long over its TLS"),
    }
}

async fn attend(stream: TcpStream, routes: Routed, watcher: Watcher) {
    at_once(&stream);
    serve_connection(stream, routes, watcher).await;
}

/// Small answers are not held back for more.
fn at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be held back by the network");
    }
}

async fn serve_connection<S>(stream: S, routes: Routed, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), routes);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke");
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
