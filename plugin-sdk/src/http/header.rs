//! What a request's header can be: text, or a secret that the host fills in.

use crate::imports::http as wit;

/// The value of a request's header. Text and bytes convert into one.
///
/// ```
/// use hookbay_plugin::http::{self, Credential, HeaderValue};
///
/// // `Authorization: Basic base64(STRIPE_KEY:)`
/// let user = HeaderValue::Basic {
///     user: Credential::Secret("STRIPE_KEY".to_owned()),
///     password: Credential::Text(String::new()),
/// };
/// http::get("stripe", "/v1/charges").header("Authorization", user);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// These bytes.
    Plain(Vec<u8>),
    /// A secret between two texts.
    Secret {
        /// Its name in the manifest and the grant.
        secret: String,
        /// What stands before it: `Bearer `, most often.
        prefix: String,
        /// What stands behind it: most often nothing.
        suffix: String,
    },
    /// `Basic base64(user:password)` (RFC 7617).
    Basic {
        /// Before the colon.
        user: Credential,
        /// Behind the colon.
        password: Credential,
    },
}

/// One half of a [`HeaderValue::Basic`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// This text.
    Text(String),
    /// The secret of this name.
    Secret(String),
}

impl From<&str> for HeaderValue {
    fn from(value: &str) -> Self {
        Self::Plain(value.as_bytes().to_vec())
    }
}

impl From<String> for HeaderValue {
    fn from(value: String) -> Self {
        Self::Plain(value.into_bytes())
    }
}

impl From<&String> for HeaderValue {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<Vec<u8>> for HeaderValue {
    fn from(value: Vec<u8>) -> Self {
        Self::Plain(value)
    }
}

impl From<HeaderValue> for wit::HeaderValue {
    fn from(value: HeaderValue) -> Self {
        match value {
            HeaderValue::Plain(bytes) => Self::Plain(bytes),
            HeaderValue::Secret {
                secret,
                prefix,
                suffix,
            } => Self::Secret(wit::SecretValue {
                secret,
                prefix,
                suffix,
            }),
            HeaderValue::Basic { user, password } => Self::Basic(wit::BasicPair {
                user: user.into(),
                password: password.into(),
            }),
        }
    }
}

impl From<Credential> for wit::Credential {
    fn from(credential: Credential) -> Self {
        match credential {
            Credential::Text(text) => Self::Text(text),
            Credential::Secret(name) => Self::Secret(name),
        }
    }
}
