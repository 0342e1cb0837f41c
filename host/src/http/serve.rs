//! Serves one address: accepts connections, bounds their number and the patience
//! with them, and ends them in order when the host stops.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections of one address at once.
const CONNECTIONS_MAX: usize = 10_000;
/// A request's head must have arrived within this time, the wait for it included.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// Largest head of a request; hyper would take 400 KiB for each connection.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Before the next try when no connection can be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long open requests may go on when the host stops.
const GRACE: Duration = Duration::from_secs(10);

/// Serves `routes` until `stop`; then lets open requests end, at most for the
/// grace.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
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
            Ok((stream, _)) => {
                is_full = false;
                let connection = graceful.watch(connection(stream, routes.clone()));
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection broke");
                    }
                });
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

fn connection(
    stream: TcpStream,
    routes: Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be held back by the network");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
}
