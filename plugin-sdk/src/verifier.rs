//! Verifiers: components that prove who sent a request.
//!
//! Where a sender signs in a way that no record of the host's catalogue describes, a source
//! names a verifier: `provider = "plugin:NAME"`. The host asks it about every request, before
//! anything is stored. It has the request, and through [`oracle`](crate::oracle) what the
//! source's secrets say of it; it has no network, no state and no clock but the time of
//! receipt. This is a whole one, for a sender that signs the SHA-256 of the body and not the
//! body itself:
//!
//! ```
//! use hookbay_plugin::{
//!     oracle::{self, Form, Hash},
//!     testing,
//!     verifier::{About, Reason, Rejection, Request, Verified, Verifier},
//! };
//! # fn sha256_hex(_: &[u8]) -> String {
//! #     // Of the body below.
//! #     "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".to_owned()
//! # }
//!
//! struct Acme;
//!
//! impl Verifier for Acme {
//!     fn about() -> About {
//!         hookbay_plugin::about!().covers_body()
//!     }
//!
//!     fn verify(request: &Request) -> Result<Verified, Rejection> {
//!         let signature = request.header("x-acme-signature")?;
//!         let message = format!("{} {}", request.method, sha256_hex(&request.body));
//!         for secret in oracle::secrets(Form::Text) {
//!             if secret.hmac(Hash::Sha256, &message).written(oracle::Encoding::Hex).is(signature) {
//!                 return Ok(Verified::new());
//!             }
//!         }
//!         Err(Rejection::new(Reason::WrongSignature, "`x-acme-signature` is not the HMAC"))
//!     }
//! }
//!
//! hookbay_plugin::export_verifier!(Acme);
//!
//! let secrets = testing::Secrets::new(["old", "It's a Secret to Everybody"]);
//! let mut request = testing::request("POST", "https://hooks.example.com/webhooks/acme", "hello world");
//! assert_eq!(secrets.verify::<Acme>(&request).unwrap_err().reason, Reason::MissingSignature);
//!
//! // By `printf 'POST b94d27b9…' | openssl dgst -sha256 -hmac "It's a Secret to Everybody"`.
//! request.set_header("X-Acme-Signature", "4a0b80e9a3f2d0c78a7634bf101aab519b9394666099dff534acc1644ba3de9d");
//! assert!(secrets.verify::<Acme>(&request).is_ok());
//! ```
//!
//! A request counts as genuine only if the oracle has said yes to something about it: a
//! verifier that forgets to look is an error of the verifier's, not a door that stands open.

use std::fmt;

use crate::Header;
use crate::bindings::verifier::exports::hookbay::plugin::verification as wit;

pub use wit::Reason;

/// A verifier: what it is, and whether a request is genuine.
pub trait Verifier {
    /// Says what the verifier is, usually starting from [`about!`](crate::about!).
    ///
    /// Runs once per file; the oracle does not answer here.
    fn about() -> About;

    /// Says whether a request is genuine.
    ///
    /// A panic says nothing about the request: its sender is asked to come again.
    ///
    /// # Errors
    ///
    /// Why it is not.
    fn verify(request: &Request) -> Result<Verified, Rejection>;
}

/// What a verifier is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub description: String,
    /// Whether a request is genuine only with exactly this body.
    pub does_cover_body: bool,
    /// Headers that are a credential by themselves: never stored, never shown.
    pub credential_headers: Vec<String>,
}

/// A request as its sender signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the source.
    pub source: String,
    /// The method, in upper case.
    pub method: String,
    /// The whole address as the sender knows it, by the operator's `public_url`; without one
    /// only path and query.
    pub url: String,
    /// The headers, names in lower case.
    pub headers: Vec<Header>,
    /// The exact bytes that were received.
    pub body: Vec<u8>,
    /// When it was received, in milliseconds since 1970.
    pub received_at_ms: u64,
}

/// What is known of a genuine request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// When it was signed, in milliseconds since 1970, if that is signed too: the host
    /// compares it with the time of receipt.
    pub signed_at_ms: Option<u64>,
    /// What happened, unless the source says where that stands.
    pub kind: Option<String>,
    /// What makes the same delivery known when it comes again, likewise.
    pub delivery_id: Option<String>,
}

/// Why a request is not genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Of which sort it is.
    pub reason: Reason,
    /// For the operator: names what was looked at, never what would have been right.
    pub detail: String,
}

/// The crate's own name, version and description, as an [`About`].
#[macro_export]
macro_rules! about {
    () => {
        $crate::verifier::About::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::env!("CARGO_PKG_DESCRIPTION"),
        )
    };
}

/// Exports a [`Verifier`] as this crate's component. Once per crate, at its root; a crate is a
/// plugin or a verifier.
#[macro_export]
macro_rules! export_verifier {
    ($verifier:ident) => {
        // Checks the type natively too, where the rest is left out.
        const _: fn() -> $crate::verifier::About = <$verifier as $crate::verifier::Verifier>::about;

        // The exports' names are no valid symbols outside of WebAssembly.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;
            impl $crate::verifier::Exported for Exported {
                type Verifier = $verifier;
            }
            $crate::bindings::verifier::export_verifier!(
                Exported with_types_in $crate::bindings::verifier
            );
        };
    };
}

/// What [`export_verifier!`](crate::export_verifier!) makes: `Plugin` and [`Verifier`] cannot
/// both be what every type of an author's is for the bindings.
#[doc(hidden)]
pub trait Exported {
    /// The author's.
    type Verifier: Verifier;
}

impl<E: Exported> wit::Guest for E {
    fn describe() -> wit::About {
        let about = E::Verifier::about();
        wit::About {
            name: about.name,
            version: about.version,
            description: about.description,
            covers_body: about.does_cover_body,
            credential_headers: about.credential_headers,
        }
    }

    fn verify(request: wit::Request) -> Result<wit::Verified, wit::Rejection> {
        let header = |header: wit::Header| Header {
            name: header.name,
            value: header.value,
        };
        let request = Request {
            source: request.source,
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(header).collect(),
            body: request.body,
            received_at_ms: request.received_at,
        };
        match E::Verifier::verify(&request) {
            Ok(verified) => Ok(wit::Verified {
                signed_at: verified.signed_at_ms,
                kind: verified.kind,
                delivery_id: verified.delivery_id,
            }),
            Err(rejection) => Err(wit::Rejection {
                reason: rejection.reason,
                detail: rejection.detail,
            }),
        }
    }
}

impl About {
    /// A verifier that covers nothing of the body; [`about!`](crate::about!) fills this in.
    #[must_use]
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
            does_cover_body: false,
            credential_headers: Vec::new(),
        }
    }

    /// The same, whose requests are genuine only with exactly their body.
    #[must_use]
    pub fn covers_body(mut self) -> Self {
        self.does_cover_body = true;
        self
    }

    /// The same with a header that is a credential by itself.
    #[must_use]
    pub fn credential_header(mut self, name: &str) -> Self {
        self.credential_headers.push(name.to_owned());
        self
    }
}

impl Request {
    /// The text of a header that must be there once.
    ///
    /// # Errors
    ///
    /// It is not there, there more than once, or not text.
    pub fn header(&self, name: &str) -> Result<&str, Rejection> {
        let mut values = self.headers.iter().filter(|header| header.name == name);
        let (first, second) = (values.next(), values.next());
        let malformed =
            |what| Rejection::new(Reason::MalformedSignature, format!("`{name}` {what}"));
        match (first, second) {
            (None, _) => Err(Rejection::new(
                Reason::MissingSignature,
                format!("`{name}` is missing"),
            )),
            (Some(_), Some(_)) => Err(malformed("is there more than once")),
            (Some(header), None) => {
                str::from_utf8(&header.value).map_err(|_| malformed("is not text"))
            }
        }
    }
}

impl Verified {
    /// Genuine, and nothing else is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Rejection {
    /// Not genuine, for this reason.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { reason, detail }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Rejection {}
