//! The fake host of verifiers: a source with its secrets, and requests to it.

use std::cell::RefCell;

use super::NOW_MS;
use crate::{
    Header,
    verifier::{Rejection, Request, Verified, Verifier},
};

thread_local! {
    /// The request that this thread is verifying, for the oracle to reach.
    static CURRENT: RefCell<Option<Verifying>> = const { RefCell::new(None) };
}

/// The secrets of a source, in the order of its configuration.
///
/// Hashes are real. Whether a public key has signed something, which takes more than this kit
/// should bring along, is what the test says with [`Secrets::with_signature`].
#[derive(Clone, Debug)]
pub struct Secrets {
    secrets: Vec<Vec<(String, String)>>,
    signatures: Vec<(String, Vec<u8>, Vec<u8>)>,
}

/// What the oracle knows while a request is verified.
#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) secrets: Secrets,
    /// Whether a secret has agreed with something.
    pub(super) is_proved: bool,
}

/// A request of this method, address and body to the source `acme`.
#[must_use]
pub fn request(method: &str, url: &str, body: impl AsRef<[u8]>) -> Request {
    Request {
        source: "acme".to_owned(),
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: body.as_ref().to_vec(),
        received_at_ms: NOW_MS,
    }
}

impl Request {
    /// Sets a header, as a sender that sends it once.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let name = name.to_ascii_lowercase();
        self.headers.retain(|header| header.name != name);
        let value = value.as_ref().to_vec();
        self.headers.push(Header { name, value });
    }
}

/// The name of the value of a secret that is text.
pub(super) const MAIN: &str = "secret";

impl Secrets {
    /// Secrets that are text.
    #[must_use]
    pub fn new<T: Into<String>>(secrets: impl IntoIterator<Item = T>) -> Self {
        let text = |secret: T| vec![(MAIN.to_owned(), secret.into())];
        Self {
            secrets: secrets.into_iter().map(text).collect(),
            signatures: Vec::new(),
        }
    }

    /// The same with a secret more, which is a table of named values.
    #[must_use]
    pub fn with_table(mut self, values: &[(&str, &str)]) -> Self {
        let value = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.secrets.push(values.iter().map(value).collect());
        self
    }

    /// The same, of which the public key `secret` has signed a message: every other pair of
    /// message and signature is wrong.
    #[must_use]
    pub fn with_signature(
        mut self,
        secret: &str,
        message: impl AsRef<[u8]>,
        signature: impl AsRef<[u8]>,
    ) -> Self {
        let (message, signature) = (message.as_ref().to_vec(), signature.as_ref().to_vec());
        self.signatures
            .push((secret.to_owned(), message, signature));
        self
    }

    /// Asks a verifier about a request.
    ///
    /// # Errors
    ///
    /// Why it rejects it.
    ///
    /// # Panics
    ///
    /// If the verifier does, or takes a request for genuine that the oracle has not proved:
    /// a host does not accept that.
    pub fn verify<V: Verifier>(&self, request: &Request) -> Result<Verified, Rejection> {
        CURRENT.set(Some(Verifying {
            secrets: self.clone(),
            is_proved: false,
        }));
        let said = V::verify(request);
        let verifying = CURRENT.take();
        let is_proved = verifying.is_some_and(|verifying| verifying.is_proved);
        assert!(
            said.is_err() || is_proved,
            "the verifier took a request for genuine that no secret had proved"
        );
        said
    }

    pub(super) fn tables(&self) -> &[Vec<(String, String)>] {
        &self.secrets
    }

    pub(super) fn has_signed(&self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.signatures.iter().any(|(by, signed, with)| {
            by.as_bytes() == key && signed == message && with == signature
        })
    }
}

/// Lets the oracle work on the request that this thread is verifying.
#[track_caller]
pub(super) fn with_request<T>(call: &str, work: impl FnOnce(&mut Verifying) -> T) -> T {
    CURRENT.with_borrow_mut(|current| match current {
        Some(verifying) => work(verifying),
        None => panic!("{call} was called outside of `verify`; use `testing::Secrets::verify`"),
    })
}
