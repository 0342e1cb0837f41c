//! What a source's secrets say of a request, for [`verifier`](crate::verifier)s.
//!
//! A verifier computes with secrets that it never sees: what it holds is [`Hidden`], and the
//! only way out is to ask whether it is what the sender presents.

use crate::imports;

pub use crate::bindings::verifier::hookbay::plugin::oracle::{Encoding, Form, Hash, Signing};

/// Bytes that stay with the host: a secret, or what was made from one.
#[derive(Debug)]
pub struct Hidden(imports::oracle::Hidden);

/// Each of the source's secrets, in the order in which the operator wrote them. Any of them
/// may prove a request: while they are rotated there are several.
///
/// A secret of another form is the operator's mistake: the call does not return.
#[must_use]
pub fn secrets(form: Form) -> Vec<Hidden> {
    let secrets = imports::oracle::secrets(None, form);
    secrets.into_iter().map(Hidden).collect()
}

/// A named value of each of the source's secrets that is a table and has it.
///
/// A value of another form is the operator's mistake: the call does not return.
#[must_use]
pub fn secret_parts(name: &str, form: Form) -> Vec<Hidden> {
    let parts = imports::oracle::secrets(Some(name), form);
    parts.into_iter().map(Hidden).collect()
}

impl Hidden {
    /// These bytes between others: `AWS4` before the secret.
    #[must_use]
    pub fn joined(&self, before: impl AsRef<[u8]>, after: impl AsRef<[u8]>) -> Self {
        Self(self.0.joined(before.as_ref(), after.as_ref()))
    }

    /// The HMAC of a message, keyed with these bytes.
    #[must_use]
    pub fn hmac(&self, algorithm: Hash, message: impl AsRef<[u8]>) -> Self {
        Self(self.0.hmac(algorithm, message.as_ref()))
    }

    /// The plain hash of these bytes.
    #[must_use]
    pub fn digest(&self, algorithm: Hash) -> Self {
        Self(self.0.digest(algorithm))
    }

    /// These bytes as text.
    #[must_use]
    pub fn written(&self, encoding: Encoding) -> Self {
        Self(self.0.written(encoding))
    }

    /// Whether these are the bytes that somebody presents, in constant time.
    #[must_use]
    pub fn is(&self, presented: impl AsRef<[u8]>) -> bool {
        self.0.is(presented.as_ref())
    }

    /// Whether the private half of the public key that these bytes are has signed a message.
    #[must_use]
    pub fn has_signed(
        &self,
        signing: Signing,
        message: impl AsRef<[u8]>,
        signature: impl AsRef<[u8]>,
    ) -> bool {
        self.0
            .has_signed(signing, message.as_ref(), signature.as_ref())
    }
}
