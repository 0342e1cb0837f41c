//! TLS of an address: what it proves who it is with, and how connections begin.
//!
//! rustls with ring, TLS 1.2 and 1.3. The certificate can be exchanged while the address
//! is served: connections that have begun keep theirs.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;

/// A certificate with those that vouch for it, and its private key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

/// Why there is no [`Identity`] in what was given.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Of the certificates.
    #[error("{0}")]
    Certificate(String),
    /// Of the key.
    #[error("{0}")]
    Key(String),
}

/// Begins TLS on the connections of one address.
#[derive(Clone)]
pub struct Tls {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// The identity in force.
struct Current(ArcSwap<CertifiedKey>);

impl Identity {
    /// Certificates in PEM, the address's own first, and its key in PEM (PKCS #8, PKCS #1
    /// or SEC 1).
    ///
    /// # Errors
    /// [`IdentityError`] if either is not there, cannot be used, or is not the other's.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain
            .map_err(|error| IdentityError::Certificate(format!("the file is not PEM: {error}")))?;
        if chain.is_empty() {
            let none = "there is no `BEGIN CERTIFICATE` in the file".to_owned();
            return Err(IdentityError::Certificate(none));
        }
        // The error says nothing of the key itself.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            IdentityError::Key(format!("there is no private key in the file: {error}"))
        })?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                IdentityError::Key("is not the key of the certificate".to_owned())
            }
            rustls::Error::InvalidCertificate(_) => {
                IdentityError::Certificate(format!("cannot be used: {error}"))
            }
            _ => IdentityError::Key(format!("cannot be used: {error}")),
        })?;
        Ok(Self(Arc::new(certified)))
    }
}

impl PartialEq for Identity {
    /// Keys are equal where their certificates are.
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.0.cert.len())
    }
}

impl IdentityError {
    /// The setting that has the problem.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "cert",
            Self::Key(_) => "key",
        }
    }
}

impl Tls {
    /// TLS with this identity.
    ///
    /// # Panics
    /// Never: ring has what TLS 1.2 and 1.3 need.
    pub fn new(identity: &Identity) -> Self {
        let current = Arc::new(Current(ArcSwap::from(Arc::clone(&identity.0))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            current,
            config: Arc::new(config),
        }
    }

    /// Has new connections begin with another identity.
    pub fn replace(&self, identity: &Identity) {
        self.current.0.store(Arc::clone(&identity.0));
    }

    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(Arc::clone(&self.config))
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(…)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
