//! What verifiers compute with: a source's secrets, which they hold as handles and never
//! as bytes. There is no way back from a handle to what is behind it but the comparison
//! with what somebody presents.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::Resource;

use crate::config::Secret;
use crate::hash::{Encoding, Hash, is_same};
use crate::public_key::{PublicKey, Signing};
use crate::run::Outcome;

use super::bindings::verifier::hookbay::plugin::oracle as wit;
use super::limits::{Exceeded, ORACLE_BYTES_MIN, ORACLE_CALL_WEIGHT, ORACLE_SIGNATURE_WEIGHT};
use super::sandbox::Guest;
use super::secrets::{KeyEncoding, decoded};

/// The value of a table that is meant where none is named.
const MAIN_PART: &str = "secret";

/// One of a source's secrets, as its operator wrote it.
#[derive(Clone, Debug)]
pub enum SourceSecret {
    /// Text.
    Text(Secret),
    /// Named values.
    Named(BTreeMap<String, Secret>),
}

/// Bytes that stay here: a secret, or what was made from one.
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Hidden {
    bytes: Vec<u8>,
    /// Which of the secrets they come from.
    secret: usize,
}

/// What a verifier may ask, and which secret has proved something.
#[derive(Default)]
pub(super) struct Oracle {
    /// None while the verifier describes itself.
    secrets: Option<Arc<[SourceSecret]>>,
    /// How much may still be computed: what the host does costs the guest no instructions.
    bytes_left: usize,
    bytes_max: usize,
    proved_by: Option<usize>,
}

impl Oracle {
    /// The oracle for one request, whose body has so many bytes.
    pub(super) fn new(secrets: Arc<[SourceSecret]>, body_bytes: usize) -> Self {
        let bytes_max = ORACLE_BYTES_MIN.saturating_add(body_bytes.saturating_mul(8));
        Self {
            secrets: Some(secrets),
            bytes_left: bytes_max,
            bytes_max,
            proved_by: None,
        }
    }

    /// The secret that last agreed with what was presented.
    pub(super) fn proved_by(&self) -> Option<usize> {
        self.proved_by
    }

    /// Takes the weight of one call from what is left.
    fn pay(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let weight = bytes.saturating_add(ORACLE_CALL_WEIGHT);
        let left = self.bytes_left.checked_sub(weight);
        self.bytes_left = left.ok_or_else(|| Exceeded {
            outcome: Outcome::Calls,
            message: format!("more than {} bytes for the oracle", self.bytes_max),
        })?;
        Ok(())
    }
}

impl SourceSecret {
    fn part(&self, name: Option<&str>) -> Option<&Secret> {
        match (self, name) {
            (Self::Text(text), None) => Some(text),
            (Self::Text(_), Some(_)) => None,
            (Self::Named(values), name) => values.get(name.unwrap_or(MAIN_PART)),
        }
    }
}

impl Guest {
    /// Gives the guest a handle of bytes that come from one of the secrets.
    fn hide(&mut self, secret: usize, bytes: Vec<u8>) -> wasmtime::Result<Resource<Hidden>> {
        Ok(self.table.push(Hidden { bytes, secret })?)
    }

    /// Makes other bytes of hidden ones; `more` is what it costs beside reading them.
    fn make(
        &mut self,
        from: &Resource<Hidden>,
        more: usize,
        make: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> wasmtime::Result<Resource<Hidden>> {
        let Hidden { bytes, secret } = self.table.get(from)?;
        self.oracle.pay(bytes.len().saturating_add(more))?;
        let (secret, made) = (*secret, make(bytes));
        self.hide(secret, made)
    }

    /// Answers a question about hidden bytes; a yes proves the request.
    fn answer(
        &mut self,
        about: &Resource<Hidden>,
        weight: usize,
        is_so: impl FnOnce(&[u8]) -> bool,
    ) -> wasmtime::Result<bool> {
        let Hidden { bytes, secret } = self.table.get(about)?;
        self.oracle.pay(bytes.len().saturating_add(weight))?;
        let is_so = is_so(bytes);
        if is_so {
            self.oracle.proved_by = Some(*secret);
        }
        Ok(is_so)
    }
}

impl wit::Host for Guest {
    fn secrets(
        &mut self,
        part: Option<String>,
        form: wit::Form,
    ) -> wasmtime::Result<Vec<Resource<Hidden>>> {
        let Some(secrets) = self.oracle.secrets.clone() else {
            let message = "`describe` may call nothing, but called oracle.secrets";
            return Err(wasmtime::Error::msg(message));
        };
        let form = KeyEncoding::from(form);
        let mut handles = Vec::with_capacity(secrets.len());
        for (position, secret) in secrets.iter().enumerate() {
            let Some(secret) = secret.part(part.as_deref()) else {
                continue;
            };
            // The operator's mistake: the sender is neither genuine nor not.
            let bytes = decoded(secret.expose(), form).ok_or_else(|| {
                let (number, written) = (position + 1, form.written());
                wasmtime::Error::msg(format!("secret {number} of the source is not {written}"))
            })?;
            self.oracle.pay(bytes.len())?;
            handles.push(self.hide(position, bytes.into_owned())?);
        }
        Ok(handles)
    }
}

impl wit::HostHidden for Guest {
    fn joined(
        &mut self,
        this: Resource<Hidden>,
        before: Vec<u8>,
        after: Vec<u8>,
    ) -> wasmtime::Result<Resource<Hidden>> {
        let more = before.len().saturating_add(after.len());
        self.make(&this, more, |bytes| {
            [before.as_slice(), bytes, after.as_slice()].concat()
        })
    }

    fn hmac(
        &mut self,
        this: Resource<Hidden>,
        algorithm: wit::Hash,
        message: Vec<u8>,
    ) -> wasmtime::Result<Resource<Hidden>> {
        self.make(&this, message.len(), |key| {
            Hash::from(algorithm).keyed(key, std::iter::once(message.as_slice()))
        })
    }

    fn digest(
        &mut self,
        this: Resource<Hidden>,
        algorithm: wit::Hash,
    ) -> wasmtime::Result<Resource<Hidden>> {
        self.make(&this, 0, |bytes| {
            Hash::from(algorithm).plain(std::iter::once(bytes))
        })
    }

    fn written(
        &mut self,
        this: Resource<Hidden>,
        encoding: wit::Encoding,
    ) -> wasmtime::Result<Resource<Hidden>> {
        self.make(&this, 0, |bytes| {
            Encoding::from(encoding).encode(bytes).into_bytes()
        })
    }

    fn is(&mut self, this: Resource<Hidden>, presented: Vec<u8>) -> wasmtime::Result<bool> {
        self.answer(&this, presented.len(), |bytes| is_same(bytes, &presented))
    }

    fn has_signed(
        &mut self,
        this: Resource<Hidden>,
        signing: wit::Signing,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> wasmtime::Result<bool> {
        let weight = message.len().saturating_add(ORACLE_SIGNATURE_WEIGHT);
        self.answer(&this, weight, |bytes| {
            let key = PublicKey::ed25519(bytes)
                .or_else(|| PublicKey::from_text(std::str::from_utf8(bytes).ok()?));
            key.is_some_and(|key| key.has_signed(signing.into(), &message, &signature))
        })
    }

    fn drop(&mut self, this: Resource<Hidden>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl From<wit::Form> for KeyEncoding {
    fn from(form: wit::Form) -> Self {
        match form {
            wit::Form::Text => Self::Text,
            wit::Form::Base64 => Self::Base64,
            wit::Form::Hex => Self::Hex,
            wit::Form::Whsec => Self::Whsec,
        }
    }
}

impl From<wit::Hash> for Hash {
    fn from(hash: wit::Hash) -> Self {
        match hash {
            wit::Hash::Md5 => Self::Md5,
            wit::Hash::Sha1 => Self::Sha1,
            wit::Hash::Sha256 => Self::Sha256,
            wit::Hash::Sha384 => Self::Sha384,
            wit::Hash::Sha512 => Self::Sha512,
        }
    }
}

impl From<wit::Encoding> for Encoding {
    fn from(encoding: wit::Encoding) -> Self {
        match encoding {
            wit::Encoding::Hex => Self::Hex,
            wit::Encoding::HexUpper => Self::HexUpper,
            wit::Encoding::Base64 => Self::Base64,
            wit::Encoding::Base64url => Self::Base64Url,
        }
    }
}

impl From<wit::Signing> for Signing {
    fn from(signing: wit::Signing) -> Self {
        match signing {
            wit::Signing::Ed25519 => Self::Ed25519,
            wit::Signing::EcdsaP256Der => Self::EcdsaDer,
            wit::Signing::EcdsaP256Fixed => Self::EcdsaFixed,
            wit::Signing::RsaSha256 => Self::RsaSha256,
            wit::Signing::RsaSha384 => Self::RsaSha384,
            wit::Signing::RsaSha512 => Self::RsaSha512,
            wit::Signing::RsaPssSha256 => Self::RsaPssSha256,
            wit::Signing::RsaPssSha512 => Self::RsaPssSha512,
        }
    }
}
