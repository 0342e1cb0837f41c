//! The certificates of both addresses, which can be exchanged while they are served.

use crate::config::Config;
use crate::http::Tls;

/// What the two addresses prove who they are with; none is no TLS.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) public: Option<Tls>,
    pub(super) admin: Option<Tls>,
}

impl Certificates {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            public: config.tls.as_ref().map(Tls::new),
            admin: config.admin_tls.as_ref().map(Tls::new),
        }
    }

    /// Has new connections begin with what the configuration has now.
    pub(super) fn replace(&self, config: &Config) {
        for (tls, identity) in [
            (&self.public, &config.tls),
            (&self.admin, &config.admin_tls),
        ] {
            if let (Some(tls), Some(identity)) = (tls, identity) {
                tls.replace(identity);
            }
        }
    }
}
