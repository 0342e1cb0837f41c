//! `Content-Encoding: gzip` (RFC 1952): bodies as they read, within a bound.
//!
//! Pure. Events keep the exact bytes that were sent; whoever looks into one inflates it.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::bufread::MultiGzDecoder;

use crate::event::Headers;

/// What no source takes more of.
const PLAIN_MAX: u64 = 256 << 20;

/// Why a body cannot be inflated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It becomes larger than it may.
    #[error("the body inflates to more than {0} bytes")]
    TooLarge(u64),
    /// It is not what its header says.
    #[error("the body is not gzip: {0}")]
    NotGzip(String),
}

/// Whether headers say that the body is compressed in the way that we know. Of several
/// encodings, one over the other, we know none.
pub fn is_compressed(headers: &Headers) -> bool {
    let encoding = headers.text("content-encoding").unwrap_or_default().trim();
    encoding.eq_ignore_ascii_case("gzip") || encoding.eq_ignore_ascii_case("x-gzip")
}

/// The body that `compressed` stands for, of at most `limit` bytes.
///
/// # Errors
/// [`InflateError`]; no more than `limit` bytes are ever held.
pub fn inflate(compressed: &[u8], limit: u64) -> Result<Vec<u8>, InflateError> {
    let mut plain = Vec::new();
    // One byte more tells what is too large.
    let mut reader = MultiGzDecoder::new(compressed).take(limit.saturating_add(1));
    reader
        .read_to_end(&mut plain)
        .map_err(|error| InflateError::NotGzip(error.to_string()))?;
    if plain.len() as u64 > limit {
        return Err(InflateError::TooLarge(limit));
    }
    Ok(plain)
}

/// A stored body as it reads: inflated if its headers say so. It was within its source's
/// bound when it was taken.
pub fn plain<'b>(headers: &Headers, body: &'b [u8]) -> Cow<'b, [u8]> {
    if !is_compressed(headers) {
        return body.into();
    }
    inflate(body, PLAIN_MAX).map_or(body.into(), Cow::from)
}

#[cfg(test)]
mod tests {
    use super::{Headers, InflateError, inflate, is_compressed, plain};

    /// `{"id":1}`, by Python's gzip module without a time.
    const COMPRESSED: &[u8] = &[
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xab, 0x56, 0xca, 0x4c, 0x51,
        0xb2, 0x32, 0xac, 0x05, 0x00, 0xc5, 0xf8, 0x5d, 0x44, 0x08, 0x00, 0x00, 0x00,
    ];

    fn encoded(encoding: &str) -> Headers {
        Headers::new(vec![("content-encoding".to_owned(), encoding.into())])
    }

    #[test]
    fn bodies_are_inflated_within_their_bound() {
        assert_eq!(inflate(COMPRESSED, 8), Ok(b"{\"id\":1}".to_vec()));
        assert_eq!(inflate(COMPRESSED, 7), Err(InflateError::TooLarge(7)));
        // Several members, one after the other, are one body.
        assert_eq!(inflate(&COMPRESSED.repeat(3), 24).unwrap().len(), 24);
        let without_end = &COMPRESSED[..COMPRESSED.len() - 1];
        let mut damaged = COMPRESSED.to_vec();
        damaged[21] ^= 1;
        let trailing = [COMPRESSED, b"rest"].concat();
        for bad in [b"", b"{}".as_slice(), without_end, &damaged, &trailing] {
            assert!(
                matches!(inflate(bad, 100), Err(InflateError::NotGzip(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn only_what_says_so_is_inflated() {
        for (encoding, expected) in [
            ("gzip", true),
            (" GZip ", true),
            ("x-gzip", true),
            ("identity", false),
            ("br", false),
            ("gzip, gzip", false),
            ("", false),
        ] {
            assert_eq!(is_compressed(&encoded(encoding)), expected, "{encoding}");
        }
        assert!(!is_compressed(&Headers::default()));
        assert_eq!(&*plain(&encoded("gzip"), COMPRESSED), b"{\"id\":1}");
        assert_eq!(&*plain(&encoded("br"), COMPRESSED), COMPRESSED);
        assert_eq!(&*plain(&encoded("gzip"), b"{}"), b"{}");
    }
}
