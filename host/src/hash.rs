//! Hash functions, how their results are written, and the one comparison of proofs.
//!
//! A signature is never decoded to be compared: the right one is written as its
//! sender writes it, and the two texts are compared. A spelling that the sender
//! would not use (other case, other padding, one byte too few) is then no signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// MD5: broken elsewhere, still unbroken in HMAC (RFC 6151).
    Md5,
    /// SHA-1: weak elsewhere, still sound in HMAC.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Upper-case hexadecimal.
    HexUpper,
    /// Hexadecimal in either case.
    HexAny,
    /// Base64 with padding (RFC 4648 section 4).
    Base64,
    /// Base64 for addresses, without padding (RFC 4648 section 5).
    Base64Url,
    /// The same with padding.
    Base64UrlPadded,
}

/// Whether two proofs are the same, in a time that tells nothing but their lengths.
/// Every comparison with something secret in the host goes through here.
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The keyed hash (HMAC, RFC 2104) of some pieces, one after the other.
    pub fn keyed<'p>(self, key: &[u8], pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
        match self {
            Self::Md5 => keyed::<Hmac<Md5>>(key, pieces),
            Self::Sha1 => keyed::<Hmac<Sha1>>(key, pieces),
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, pieces),
            Self::Sha384 => keyed::<Hmac<Sha384>>(key, pieces),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, pieces),
        }
    }

    /// The plain hash of some pieces, one after the other.
    pub fn plain<'p>(self, pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
        match self {
            Self::Md5 => plain::<Md5>(pieces),
            Self::Sha1 => plain::<Sha1>(pieces),
            Self::Sha256 => plain::<Sha256>(pieces),
            Self::Sha384 => plain::<Sha384>(pieces),
            Self::Sha512 => plain::<Sha512>(pieces),
        }
    }
}

fn keyed<'p, M: Mac + KeyInit>(key: &[u8], pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().to_vec()
}

fn plain<'p, D: Digest>(pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut hash = D::new();
    for piece in pieces {
        hash.update(piece);
    }
    hash.finalize().to_vec()
}

impl Encoding {
    /// What it is called in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "lower-case hexadecimal",
            Self::HexUpper => "upper-case hexadecimal",
            Self::HexAny => "hexadecimal",
            Self::Base64 => "base64",
            Self::Base64Url => "base64 for addresses",
            Self::Base64UrlPadded => "padded base64 for addresses",
        }
    }

    /// Bytes as the sender writes them; either case is written in lower case.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex | Self::HexAny => hex::encode(bytes),
            Self::HexUpper => hex::encode_upper(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
            Self::Base64UrlPadded => URL_SAFE.encode(bytes),
        }
    }

    /// The bytes of a text that is written exactly so.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Hex | Self::HexUpper | Self::HexAny => hex::decode(text).ok()?,
            Self::Base64 => STANDARD.decode(text).ok()?,
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text).ok()?,
            Self::Base64UrlPadded => URL_SAFE.decode(text).ok()?,
        };
        self.is_written(text, &bytes).then_some(bytes)
    }

    /// Whether a text is these bytes as the sender writes them, in constant time.
    pub fn is_written(self, text: &str, bytes: &[u8]) -> bool {
        let expected = self.encode(bytes);
        match self {
            Self::HexAny => is_same(expected.as_bytes(), text.to_ascii_lowercase().as_bytes()),
            Self::Hex | Self::HexUpper | Self::Base64 | Self::Base64Url | Self::Base64UrlPadded => {
                is_same(expected.as_bytes(), text.as_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Hash, is_same};

    #[test]
    fn only_the_senders_spelling_counts() {
        use Encoding::{Base64, Base64Url, Base64UrlPadded, Hex, HexAny, HexUpper};
        for (encoding, text, is_right) in [
            (Hex, "00ff", true),
            (Hex, "00FF", false),
            (Hex, "00f", false),
            (Hex, "00ff00", false),
            (HexUpper, "00FF", true),
            (HexUpper, "00ff", false),
            (HexAny, "00fF", true),
            (Base64, "AP8=", true),
            (Base64, "AP8", false),
            (Base64, "AP9=", false),
            (Base64, "AP8=\n", false),
            (Base64Url, "AP8", true),
            (Base64Url, "AP8=", false),
            (Base64UrlPadded, "AP8=", true),
            (Base64UrlPadded, "AP8", false),
        ] {
            assert_eq!(encoding.is_written(text, &[0, 255]), is_right, "{text}");
            assert_eq!(
                encoding.decode(text) == Some(vec![0, 255]),
                is_right,
                "{text}"
            );
        }
        assert!(is_same(b"", b"") && !is_same(b"a", b"b") && !is_same(b"a", b"aa"));
    }

    /// RFC 2202 (MD5, SHA-1) and RFC 4231 (the others), test case 2.
    #[test]
    fn keyed_hashes_are_the_published_ones() {
        for (hash, expected) in [
            (Hash::Md5, "750c783e6ab0b503eaa86e310a5db738"),
            (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                Hash::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Hash::Sha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                Hash::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let pieces = [&b"what do ya want "[..], b"for nothing?"];
            let found = hash.keyed(b"Jefe", pieces.into_iter());
            assert_eq!(hex::encode(found), expected, "{}", hash.name());
        }
    }
}
