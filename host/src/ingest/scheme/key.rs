//! What a source's secrets are once its scheme has read them.
//!
//! A [`Credential`] is what an operator pastes; a [`Keyring`] is what verification uses.
//! Reading happens once, when the configuration is read, so that a secret which cannot be
//! one is a problem at start and not a refusal at the door.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Secret;
use crate::public_key::PublicKey;

mod form;

pub use form::KeyForm;

/// A secret as the operator gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Text.
    Text(Secret),
    /// Named values, for schemes that need more than one.
    Named(BTreeMap<String, Credential>),
}

/// Which values a scheme's secret has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyShape {
    /// How the main value becomes a key.
    pub form: KeyForm,
    /// The name of the main value in a table; a secret that is text is just that.
    pub main: &'static str,
    /// The name of the value by which the sender names the key, and whether it must be there.
    pub id: Option<(&'static str, bool)>,
    /// Whether certificates may stand beside it.
    pub has_certificates: bool,
    /// Whether a token for a handshake may stand beside it.
    pub has_verify_token: bool,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub(super) material: Material,
    /// The other key that the same text may mean, where nobody can tell.
    alternative: Option<Secret>,
    /// By what the sender names it.
    pub(super) id: Option<String>,
    /// What a handshake must name.
    verify_token: Option<Secret>,
}

/// What a key is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Material {
    /// Bytes that both sides know.
    Shared(Secret),
    /// A key that anybody may know.
    Public(PublicKey),
}

/// A source's keys, any of which may match, and the certificates at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    keys: Arc<[Key]>,
    certificates: Arc<BTreeMap<String, PublicKey>>,
}

/// Why a credential is no key of its scheme. Nothing of the credential stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has no bytes.
    #[error("is empty")]
    Empty,
    /// It is not written as the scheme writes keys.
    #[error("is not {0}")]
    Form(&'static str),
    /// The scheme needs named values.
    #[error("must be a table with {0}")]
    NotNamed(String),
    /// A named value is missing.
    #[error("lacks `{0}`")]
    Missing(&'static str),
    /// A named value is not the scheme's.
    #[error("has `{given}`, which this provider does not use; it uses {known}")]
    Unknown {
        /// Its name.
        given: String,
        /// The names that there are.
        known: String,
    },
    /// A named value is a table, or text where a table belongs.
    #[error("`{0}` is of the wrong type")]
    Type(String),
    /// A certificate is none.
    #[error("the certificate of `{0}` is not one in PEM with a key of a known kind")]
    Certificate(String),
}

impl Credential {
    /// What it is recognised by, without telling it ([`Secret::fingerprint`]).
    pub fn fingerprint(&self) -> String {
        match self {
            Self::Text(secret) => secret.fingerprint(),
            Self::Named(values) => {
                let one =
                    |(name, value): (&String, &Self)| format!("{name}={};", value.fingerprint());
                let all: String = values.iter().map(one).collect();
                Secret::new(all).fingerprint()
            }
        }
    }
}

impl KeyShape {
    /// A secret with one value.
    pub const fn plain(form: KeyForm) -> Self {
        Self {
            form,
            main: "secret",
            id: None,
            has_certificates: false,
            has_verify_token: false,
        }
    }

    /// The names of the values, for messages.
    pub fn names(&self) -> String {
        let names = [
            Some(self.main),
            self.id.map(|(name, _)| name),
            self.has_verify_token.then_some("verify_token"),
            self.has_certificates.then_some("certs"),
        ];
        let names: Vec<String> = names
            .into_iter()
            .flatten()
            .map(|name| format!("`{name}`"))
            .collect();
        names.join(", ")
    }

    fn read(
        &self,
        credential: &Credential,
    ) -> Result<(Key, BTreeMap<String, PublicKey>), KeyError> {
        let key = |secret: &Secret| {
            let material = self.form.read(secret.expose())?;
            // Of the text, or of what it decodes to: anybody has an empty key.
            if matches!(&material, Material::Shared(key) if key.expose().is_empty()) {
                return Err(KeyError::Empty);
            }
            Ok(Key {
                material,
                alternative: self.form.alternative(secret.expose()),
                id: None,
                verify_token: None,
            })
        };
        let values = match credential {
            Credential::Text(_) if self.id.is_some_and(|(_, is_needed)| is_needed) => {
                return Err(KeyError::NotNamed(self.names()));
            }
            Credential::Text(secret) => return Ok((key(secret)?, BTreeMap::new())),
            Credential::Named(values) => values,
        };
        let text = |name: &'static str| match values.get(name) {
            Some(Credential::Text(text)) => Ok(Some(text)),
            Some(Credential::Named(_)) => Err(KeyError::Type(name.to_owned())),
            None => Ok(None),
        };
        self.refuse_others(values)?;
        let mut key = key(text(self.main)?.ok_or(KeyError::Missing(self.main))?)?;
        if let Some((name, is_needed)) = self.id {
            let id = text(name)?.map(|id| String::from_utf8_lossy(id.expose()).into_owned());
            if id.is_none() && is_needed {
                return Err(KeyError::Missing(name));
            }
            key.id = id;
        }
        key.verify_token = text("verify_token")?.cloned();
        if key.verify_token().is_some_and(<[u8]>::is_empty) {
            return Err(KeyError::Empty);
        }
        Ok((key, certificates(values.get("certs"))?))
    }

    fn refuse_others(&self, values: &BTreeMap<String, Credential>) -> Result<(), KeyError> {
        let is_known = |name: &str| {
            name == self.main
                || self.id.is_some_and(|(id, _)| id == name)
                || (self.has_certificates && name == "certs")
                || (self.has_verify_token && name == "verify_token")
        };
        match values.keys().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(given) => Err(KeyError::Unknown {
                given: given.clone(),
                known: self.names(),
            }),
        }
    }
}

fn certificates(given: Option<&Credential>) -> Result<BTreeMap<String, PublicKey>, KeyError> {
    let by_url = match given {
        None => return Ok(BTreeMap::new()),
        Some(Credential::Named(by_url)) => by_url,
        Some(Credential::Text(_)) => return Err(KeyError::Type("certs".to_owned())),
    };
    let read = |(url, pem): (&String, &Credential)| {
        let Credential::Text(pem) = pem else {
            return Err(KeyError::Type("certs".to_owned()));
        };
        let pem = std::str::from_utf8(pem.expose()).unwrap_or_default();
        let key = PublicKey::of_certificate(pem);
        Ok((
            url.clone(),
            key.ok_or_else(|| KeyError::Certificate(url.clone()))?,
        ))
    };
    by_url.iter().map(read).collect()
}

impl Key {
    /// The bytes that both sides know; none of a public key.
    pub(crate) fn shared(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Shared(secret) => Some(secret.expose()),
            Material::Public(_) => None,
        }
    }

    /// Both that its text may mean, where nobody can tell; else [`Self::shared`].
    pub(super) fn all_shared(&self) -> impl Iterator<Item = &[u8]> {
        let alternative = self.alternative.as_ref().map(Secret::expose);
        self.shared().into_iter().chain(alternative)
    }

    /// The key that anybody may know.
    pub(super) fn public(&self) -> Option<&PublicKey> {
        match &self.material {
            Material::Shared(_) => None,
            Material::Public(key) => Some(key),
        }
    }

    /// What a handshake must name.
    pub(crate) fn verify_token(&self) -> Option<&[u8]> {
        self.verify_token.as_ref().map(Secret::expose)
    }
}

impl Keyring {
    /// The keys of some credentials.
    ///
    /// # Errors
    /// The position of the first credential that is no key, and why.
    pub fn new(shape: &KeyShape, credentials: &[Credential]) -> Result<Self, (usize, KeyError)> {
        let mut keys = Vec::new();
        let mut certificates = BTreeMap::new();
        for (position, credential) in credentials.iter().enumerate() {
            let (key, more) = shape.read(credential).map_err(|error| (position, error))?;
            keys.push(key);
            certificates.extend(more);
        }
        Ok(Self {
            keys: keys.into(),
            certificates: Arc::new(certificates),
        })
    }

    /// The same with the key of the certificate at `url`.
    pub(crate) fn with_key(&self, url: &str, key: PublicKey) -> Self {
        let mut certificates = (*self.certificates).clone();
        certificates.insert(url.to_owned(), key);
        Self {
            keys: Arc::clone(&self.keys),
            certificates: Arc::new(certificates),
        }
    }

    /// The keys in the order of the configuration.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key of the certificate at an address, if it is at hand.
    pub(super) fn certificate(&self, url: &str) -> Option<&PublicKey> {
        self.certificates.get(url)
    }
}

#[cfg(test)]
mod tests;
