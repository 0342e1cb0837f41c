//! Signatures of plugin files: Ed25519 (RFC 8032) over the exact bytes of the file,
//! beside it in `NAME.wasm.sig`. Pure.
//!
//! Keys and signatures are each one line of base64 (RFC 4648 section 4), without any
//! framing, so that other tools can make and check them. Verified are the bytes that
//! are in memory and that will run; nothing is read a second time.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{PUBLIC_KEY_LENGTH, SECRET_KEY_LENGTH, SIGNATURE_LENGTH};
use ed25519_dalek::{Signer as _, VerifyingKey};

/// Whose plugins run here; with none, everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys(Vec<PublicKey>);

/// What checks a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What makes one; never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Why a file does not count as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("it has no signature beside it (`.sig`), and `trusted_keys` asks for one")]
    Missing,
    /// It is none.
    #[error("its signature is not one line of base64 with {SIGNATURE_LENGTH} bytes")]
    Malformed,
    /// It was made by somebody else, or for other bytes.
    #[error("its signature is of other bytes, or by none of `trusted_keys`")]
    Untrusted,
}

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has another form.
    #[error("is not an Ed25519 key: one line of base64 with 32 bytes")]
    Malformed,
    /// Signatures by it prove nothing.
    #[error("is a weak Ed25519 key, for which anybody can make signatures")]
    Weak,
}

impl TrustedKeys {
    /// These keys.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// Whether a file needs a signature.
    pub fn are_required(&self) -> bool {
        !self.0.is_empty()
    }

    /// Checks that one of the keys has signed these bytes, if there is any key.
    ///
    /// # Errors
    /// The [`SignatureError`] says why they do not count as signed.
    pub fn check(&self, bytes: &[u8], signature: Option<&[u8]>) -> Result<(), SignatureError> {
        if !self.are_required() {
            return Ok(());
        }
        let text = signature.ok_or(SignatureError::Missing)?;
        let signature = decoded::<SIGNATURE_LENGTH>(text).ok_or(SignatureError::Malformed)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature);
        // Strict: no second signature of the same bytes can be made from one.
        let mut keys = self.0.iter();
        keys.any(|key| key.0.verify_strict(bytes, &signature).is_ok())
            .then_some(())
            .ok_or(SignatureError::Untrusted)
    }
}

impl SigningKey {
    /// The key of these random bytes.
    pub fn of(random: [u8; SECRET_KEY_LENGTH]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&random))
    }

    /// The key in a key file.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn read(text: &[u8]) -> Result<Self, KeyError> {
        decoded(text).map(Self::of).ok_or(KeyError::Malformed)
    }

    /// The text of its key file.
    pub fn text(&self) -> String {
        format!("{}\n", STANDARD.encode(self.0.to_bytes()))
    }

    /// What checks its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The text of the signature file for these bytes.
    pub fn sign(&self, bytes: &[u8]) -> String {
        format!("{}\n", STANDARD.encode(self.0.sign(bytes).to_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = decoded::<PUBLIC_KEY_LENGTH>(text.as_bytes()).ok_or(KeyError::Malformed)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Malformed)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A line of base64 with exactly so many bytes.
fn decoded<const LENGTH: usize>(text: &[u8]) -> Option<[u8; LENGTH]> {
    STANDARD.decode(text.trim_ascii()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{KeyError, PublicKey, SignatureError, SigningKey, TrustedKeys};

    fn key(n: u8) -> SigningKey {
        SigningKey::of([n; 32])
    }

    #[test]
    fn a_signature_by_a_trusted_key_over_these_bytes_counts() {
        let trusted = TrustedKeys::new(vec![key(1).public(), key(2).public()]);
        let signed = |n: u8, bytes: &[u8]| Some(key(n).sign(bytes).into_bytes());
        let mut flipped = key(1).sign(b"plugin").into_bytes();
        flipped[3] ^= 1;
        for (what, signature, expected) in [
            ("the first key", signed(1, b"plugin"), Ok(())),
            ("the second key", signed(2, b"plugin"), Ok(())),
            ("none", None, Err(SignatureError::Missing)),
            (
                "another key",
                signed(3, b"plugin"),
                Err(SignatureError::Untrusted),
            ),
            (
                "other bytes",
                signed(1, b"plugin "),
                Err(SignatureError::Untrusted),
            ),
            (
                "a changed one",
                Some(flipped),
                Err(SignatureError::Untrusted),
            ),
            (
                "an empty one",
                Some(Vec::new()),
                Err(SignatureError::Malformed),
            ),
            (
                "no base64",
                Some(b"!!".to_vec()),
                Err(SignatureError::Malformed),
            ),
            (
                "too short",
                Some(b"AAAA".to_vec()),
                Err(SignatureError::Malformed),
            ),
            (
                "two lines",
                Some(
                    [key(1).sign(b"plugin"), key(2).sign(b"plugin")]
                        .concat()
                        .into_bytes(),
                ),
                Err(SignatureError::Malformed),
            ),
        ] {
            assert_eq!(
                trusted.check(b"plugin", signature.as_deref()),
                expected,
                "{what}"
            );
        }
        assert_eq!(TrustedKeys::default().check(b"plugin", None), Ok(()));
    }

    #[test]
    fn keys_read_back_and_wrong_ones_do_not() {
        let (private, public) = (key(7), key(7).public());
        let again = SigningKey::read(private.text().as_bytes()).unwrap();
        assert_eq!(again.public(), public);
        assert_eq!(public.to_string().parse::<PublicKey>(), Ok(public));
        assert!(!format!("{private:?}").contains(private.text().trim()));
        // The point of order one, under which some signatures fit any message.
        let weak = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(weak.parse::<PublicKey>(), Err(KeyError::Weak));
        for wrong in ["", "AAAA", "not base64", &private.text().repeat(2)] {
            assert_eq!(
                wrong.parse::<PublicKey>(),
                Err(KeyError::Malformed),
                "{wrong}"
            );
            let read = SigningKey::read(wrong.as_bytes());
            assert_eq!(
                read.map(|key| key.text()),
                Err(KeyError::Malformed),
                "{wrong}"
            );
        }
    }

    /// RFC 8032, section 7.1, test 3.
    #[test]
    fn signatures_are_as_the_standard_has_them() {
        let seed = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7";
        let mut bytes = [0; 32];
        hex::decode_to_slice(seed, &mut bytes).unwrap();
        let signature = SigningKey::of(bytes).sign(&[0xaf, 0x82]);
        let expected = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
        let bytes = super::decoded::<64>(signature.as_bytes()).unwrap();
        assert_eq!(hex::encode(bytes), expected);
    }
}
