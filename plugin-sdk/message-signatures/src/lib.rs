//! HTTP Message Signatures (RFC 9421) for verifiers: which [`signatures`] a request has, what
//! each of them covers, and the text that its bytes sign.
//!
//! Whether that is enough, and whose keys may sign, is the verifier's to say: the sender writes
//! what is covered, and may leave anything out.
//!
//! ```
//! use hookbay_message_signatures::signatures;
//! use hookbay_plugin::testing;
//!
//! let mut request = testing::request("POST", "https://hooks.example.com/acme?a=b", "{}");
//! request.set_header("Signature-Input", r#"s=("@method" "@path");created=1700000000"#);
//! request.set_header("Signature", "s=:AQID:");
//!
//! let [signature] = &signatures(&request)?[..] else { panic!("it has one") };
//! assert_eq!(signature.bytes(), [1, 2, 3]);
//! assert!(signature.covers("@method") && !signature.covers("content-digest"));
//! assert_eq!(signature.time_ms("created")?, Some(1_700_000_000_000));
//! let base = concat!(
//!     "\"@method\": POST\n",
//!     "\"@path\": /acme\n",
//!     "\"@signature-params\": (\"@method\" \"@path\");created=1700000000",
//! );
//! assert_eq!(signature.base(&request)?, base);
//! # Ok::<(), hookbay_plugin::verifier::Rejection>(())
//! ```
//!
//! What it does not know, such as parameters of components, it refuses.

mod base;
mod digest;
mod fields;

pub use digest::check_content_digest;

use hookbay_plugin::verifier::{Reason, Rejection, Request};

use fields::Value;

/// Most members of `Signature-Input` that are looked at.
const SIGNATURES_MAX: usize = 4;

/// A signature of a request: a member of `Signature-Input`, and its bytes in `Signature`.
#[derive(Debug)]
pub struct Signature<'a> {
    components: Vec<String>,
    parameters: Vec<(&'a str, Value)>,
    /// What is signed and how, as it was sent, which is signed too.
    text: &'a str,
    bytes: Vec<u8>,
}

/// The signatures of a request, of the first four that it names.
///
/// # Errors
///
/// [`Reason::MissingSignature`] without one of the two headers, [`Reason::MalformedSignature`] if one
/// is not written as the RFC says.
pub fn signatures(request: &Request) -> Result<Vec<Signature<'_>>, Rejection> {
    let inputs = fields::inputs(request.header("signature-input")?)?;
    let mut bytes = fields::bytes("signature", request.header("signature")?)?;
    let mut signatures = Vec::new();
    for input in inputs.into_iter().take(SIGNATURES_MAX) {
        let own = bytes.iter().position(|(label, _)| *label == input.label);
        if let Some(own) = own {
            signatures.push(Signature {
                components: input.components,
                parameters: input.parameters,
                text: input.text,
                bytes: bytes.swap_remove(own).1,
            });
        }
    }
    Ok(signatures)
}

impl Signature<'_> {
    /// What proves it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it covers a component, such as `@method` or `content-digest`.
    #[must_use]
    pub fn covers(&self, component: &str) -> bool {
        self.components.iter().any(|covered| covered == component)
    }

    /// The signature base (section 2.5): the text that its bytes sign.
    ///
    /// # Errors
    ///
    /// [`Reason::MissingField`] if a component that it covers is not there, or not known here.
    pub fn base(&self, request: &Request) -> Result<String, Rejection> {
        base::of(request, self)
    }

    /// A time among its parameters, `created` or `expires`, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`Reason::MalformedTimestamp`] if it is no integer.
    pub fn time_ms(&self, name: &str) -> Result<Option<u64>, Rejection> {
        match self.parameter(name) {
            None => Ok(None),
            Some(Value::Integer(seconds)) => Ok(Some(seconds.saturating_mul(1000))),
            Some(Value::Text(_) | Value::Other) => Err(Rejection::new(
                Reason::MalformedTimestamp,
                format!("the signature's `{name}` is no time"),
            )),
        }
    }

    /// A text among its parameters, such as `alg`, `keyid` or `nonce`.
    ///
    /// # Errors
    ///
    /// [`Reason::MalformedSignature`] if it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Rejection> {
        match self.parameter(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Integer(_) | Value::Other) => Err(Rejection::new(
                Reason::MalformedSignature,
                format!("`{name}` is not a text"),
            )),
        }
    }

    fn parameter(&self, name: &str) -> Option<&Value> {
        let mut values = self.parameters.iter();
        let (_, value) = values.find(|(key, _)| *key == name)?;
        Some(value)
    }
}
