//! Encrypted calls: only to servers whose certificate is trusted and names their host.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::{Answers, Egress, Network, Secrets, fetch, get, grant};

/// A server that answers one connection, and its own certificate for `api.example`.
struct TlsServer {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    thread: JoinHandle<()>,
}

impl TlsServer {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            // A client that does not trust it leaves in the middle of this.
            let mut request = [0; 1024];
            if tls.read(&mut request).is_ok_and(|n| n > 0) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                tls.write_all(answer).unwrap();
            }
        });
        Self {
            address,
            certificate,
            thread,
        }
    }
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_name_the_host() {
    for (host, is_trusted, problem) in [
        ("api.example", true, None),
        ("api.example", false, Some("UnknownIssuer")),
        ("other.example", true, Some("not valid for name")),
        ("127.0.0.1", true, Some("not valid for name")),
    ] {
        let server = TlsServer::start();
        let mut roots = RootCertStore::empty();
        if is_trusted {
            roots.add(server.certificate.clone()).unwrap();
        }
        let network = Network::new(Answers::of(&[&["127.0.0.1"]]), roots);
        let origin = format!("https://{host}:{}", server.address.port());
        let endpoints = [("api".to_owned(), grant(&origin, true))].into();
        let secrets = Arc::new(Secrets::new(&[].into()));
        let egress = Egress::new(&endpoints, secrets, &network);
        let answer = fetch(&egress, &get("api")).await;
        drop(egress);
        server.thread.join().unwrap();
        match (answer, problem) {
            (Ok(answer), None) => assert_eq!((answer.status, answer.body.0), (200, b"ok".to_vec())),
            (Err(error), Some(problem)) => {
                assert_eq!(error.code(), "unavailable");
                assert!(error.to_string().contains(problem), "{error}");
            }
            (other, _) => panic!("{host}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_should_be_encrypted_is_never_sent_in_the_clear() {
    let server = super::Server::start(|_| vec![super::Step::ok("answer")]).await;
    let origin = format!("https://{}", server.address);
    let egress = super::egress(&[("api", grant(&origin, true))], Answers::of(&[]));
    let call = super::Fetch {
        timeout: Some(std::time::Duration::from_millis(100)),
        ..get("api")
    };
    let failed = fetch(&egress, &call).await.unwrap_err();
    assert!(
        matches!(failed.code(), "unavailable" | "timeout"),
        "{failed}"
    );
    assert_eq!(server.requests(), [""; 0]);
}
