//! Signatures with secrets that the plugin never sees.
//!
//! ```
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success};
//! use hookbay_plugin::{crypto, http, manifest, testing};
//!
//! struct Forward;
//!
//! impl Plugin for Forward {
//!     fn manifest() -> Manifest {
//!         manifest!()
//!             .custom_endpoint("shop", "our own shop")
//!             .secret("SHOP_KEY", "what the shop checks signatures with")
//!     }
//!
//!     fn handle(event: &Event, _run: &Run) -> Result<Success, Failure> {
//!         let signature =
//!             crypto::hmac_sha256("SHOP_KEY", crypto::KeyEncoding::Text, &event.body)?;
//!         let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
//!         http::post("shop", "/orders")
//!             .header("X-Signature", format!("sha256={signature}"))
//!             .body(event.body.clone())
//!             .send()?
//!             .error_for_status()?;
//!         Ok(Success::new("forwarded"))
//!     }
//! }
//!
//! let mut host = testing::Host::new().with_secret("SHOP_KEY", "Jefe");
//! host.on("shop", "POST", "/orders", |request| {
//!     let signature = request.header("x-signature").unwrap_or_default();
//!     // RFC 4231, test case 2.
//!     assert!(signature.starts_with("sha256=5bdcc146bf60754e6a042426089575c7"));
//!     testing::Answer::new(204)
//! });
//! let event = testing::event("generic", "order", "what do ya want for nothing?");
//! assert_eq!(host.handle::<Forward>(&event).summary(), "forwarded");
//! ```

use std::{error, fmt};

use crate::{Failure, imports};

/// How a secret's text becomes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEncoding {
    /// Its bytes as they are.
    Text,
    /// Base64.
    Base64,
    /// Hexadecimal.
    Hex,
    /// Base64 behind `whsec_` (Standard Webhooks).
    Whsec,
}

/// Why there is no signature. `?` turns it into a permanent [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The operator has granted no secret of this name.
    Denied(String),
    /// The secret is not written in this encoding.
    InvalidKey(String),
}

/// The HMAC-SHA256 of `message`, 32 bytes, with the secret of this name as its key.
///
/// # Errors
///
/// [`Error::Denied`] or [`Error::InvalidKey`].
pub fn hmac_sha256(
    secret: &str,
    encoding: KeyEncoding,
    message: impl AsRef<[u8]>,
) -> Result<Vec<u8>, Error> {
    let message = message.as_ref();
    Ok(imports::crypto::hmac_sha256(
        secret,
        encoding.into(),
        message,
    )?)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(what) => write!(f, "crypto denied: {what}"),
            Self::InvalidKey(what) => write!(f, "crypto invalid key: {what}"),
        }
    }
}

impl error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::permanent(error)
    }
}

impl From<KeyEncoding> for imports::crypto::KeyEncoding {
    fn from(encoding: KeyEncoding) -> Self {
        match encoding {
            KeyEncoding::Text => Self::Text,
            KeyEncoding::Base64 => Self::Base64,
            KeyEncoding::Hex => Self::Hex,
            KeyEncoding::Whsec => Self::Whsec,
        }
    }
}

impl From<imports::crypto::Error> for Error {
    fn from(error: imports::crypto::Error) -> Self {
        match error {
            imports::crypto::Error::Denied(what) => Self::Denied(what),
            imports::crypto::Error::InvalidKey(what) => Self::InvalidKey(what),
        }
    }
}
