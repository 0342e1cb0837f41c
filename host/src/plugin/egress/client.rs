//! Connections: to approved addresses, over TLS where the grant says so, kept for a while.
//!
//! hyper-util's client has no redirects, no proxies, no cookies and no decompression, so that
//! none of them has to be switched off. Each endpoint has a client of its own: a kept
//! connection is never used under another grant than the one that approved its address.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http_body_util::Full;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower_service::Service;

use super::resolve::{Resolve, ResolveError, SystemResolver, Target, approved};
use crate::plugin::limits::{HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX};

/// Longest time from a look-up to the end of the TLS handshake. A request has its own limit;
/// this one ends what goes on after the request has been given up.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long one address is tried alone before the next one is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// How long a connection is kept that nobody uses.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Most connections of an endpoint that are kept.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// A client of one endpoint.
pub(super) type EndpointClient = Client<Connector, Full<Bytes>>;

/// What the egress of all plugins shares: the threads it is on, how names are looked up, and
/// who is trusted.
#[derive(Clone)]
pub struct Network {
    runtime: Handle,
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("cannot connect to `{host}`: {reason}")]
    Refused { host: String, reason: io::Error },
    #[error("no connection within {} s", CONNECT_MAX.as_secs())]
    Slow,
}

impl Network {
    /// The system's resolver; Mozilla's roots (a slim container has no others) and the system's.
    ///
    /// Reads the system's certificates, so call it once, at start; see [`Network::new`].
    ///
    /// # Panics
    /// Without a runtime.
    pub fn system() -> Self {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        // What cannot be read or parsed is only missing: certificates are then refused.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::new(Arc::new(SystemResolver::new()), roots)
    }

    /// A resolver and the roots of the certificates to trust. Connections live on the runtime
    /// that this is called on.
    ///
    /// # Panics
    /// Without a runtime.
    pub fn new(resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            runtime: Handle::current(),
            resolver,
            tls: Arc::new(tls),
        }
    }

    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// A client that connects to `target` and nowhere else.
    pub(super) fn client(&self, target: Target, tasks: &Tasks) -> EndpointClient {
        let tcp = ApprovedTcp {
            target: Arc::new(target),
            resolver: Arc::clone(&self.resolver),
        };
        let https = HttpsConnector::from((tcp, Arc::clone(&self.tls)));
        Client::builder(tasks.spawner())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(HTTP_HEADERS_MAX)
            .http1_max_buf_size(HTTP_HEADER_BYTES_MAX)
            .build(Connector(https))
    }
}

/// The tasks that serve the connections of one plugin; they end with it.
#[derive(Debug, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// Starts tasks for whom it was made, as long as that one is there.
#[derive(Clone)]
pub(super) struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl Tasks {
    fn spawner(&self) -> Spawner {
        // Not strong: a connection's task holds one, and would keep all of them alive.
        Spawner(Arc::downgrade(&self.0))
    }
}

impl hyper::rt::Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for Spawner {
    fn execute(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Some(tasks) = self.0.upgrade() {
            let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }
}

/// Connects within [`CONNECT_MAX`], TLS included.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<ApprovedTcp>);

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_MAX, connected).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectError::Slow.into()),
            }
        })
    }
}

/// Connects to the addresses that the filter approves of its own target, whatever is asked.
#[derive(Clone)]
struct ApprovedTcp {
    target: Arc<Target>,
    resolver: Arc<dyn Resolve>,
}

impl Service<Uri> for ApprovedTcp {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let Self { target, resolver } = self.clone();
        Box::pin(async move {
            let addresses = approved(&target, resolver.as_ref()).await?;
            let addresses: Vec<SocketAddr> = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, target.port))
                .collect();
            match first_to_connect(&addresses).await {
                Ok(stream) => Ok(TokioIo::new(stream)),
                Err(reason) => Err(ConnectError::Refused {
                    host: target.host.to_string(),
                    reason,
                }),
            }
        })
    }
}

/// Tries the addresses in order, the next one as soon as one fails or takes long.
async fn first_to_connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        attempts.extend(waiting.next().map(TcpStream::connect));
        let ended = if waiting.len() > 0 {
            tokio::time::timeout(STAGGER, attempts.next()).await
        } else {
            Ok(attempts.next().await)
        };
        match ended {
            Ok(Some(Ok(stream))) => {
                // A request is written in one go and waited for.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Some(Err(error))) => failure = error,
            Ok(None) => return Err(failure),
            Err(_) => {}
        }
    }
}
