//! How a request is kept: its header block as on the wire, then the exact body,
//! compressed as one.

use bytes::Bytes;

use crate::event::Headers;

use super::StoreError;

/// Requests below this size are kept as they are.
const COMPRESS_FROM: usize = 512;

/// A request in the form in which it is kept.
#[derive(Clone, Debug)]
pub(super) struct KeptRequest {
    pub(super) encoding: i64,
    pub(super) header_bytes: i64,
    pub(super) bytes: Vec<u8>,
}

/// A kept request that cannot be read: the file was damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored request is damaged: {0}")]
pub struct DamagedRequest(String);

impl DamagedRequest {
    pub(super) fn new(what: &str) -> Self {
        Self(what.to_owned())
    }
}

/// Puts a request into the form in which it is kept.
pub(super) fn keep(headers: &Headers, body: &[u8]) -> KeptRequest {
    let header_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let mut plain = Vec::with_capacity(header_bytes + body.len());
    for (name, value) in headers.iter() {
        plain.extend_from_slice(name.as_bytes());
        plain.extend_from_slice(b": ");
        plain.extend_from_slice(value);
        plain.extend_from_slice(b"\r\n");
    }
    plain.extend_from_slice(body);
    let header_bytes = i64::try_from(header_bytes).unwrap_or(i64::MAX);
    if plain.len() >= COMPRESS_FROM {
        let packed = lz4_flex::block::compress_prepend_size(&plain);
        if packed.len() < plain.len() {
            return KeptRequest {
                encoding: 1,
                header_bytes,
                bytes: packed,
            };
        }
    }
    KeptRequest {
        encoding: 0,
        header_bytes,
        bytes: plain,
    }
}

/// Reads a kept request back.
///
/// # Errors
/// [`DamagedRequest`] if the bytes are not what [`keep`] wrote.
pub(super) fn read(kept: KeptRequest) -> Result<(Headers, Bytes), DamagedRequest> {
    let plain = match kept.encoding {
        0 => kept.bytes,
        1 => lz4_flex::block::decompress_size_prepended(&kept.bytes)
            .map_err(|error| DamagedRequest(error.to_string()))?,
        other => return Err(DamagedRequest(format!("encoding {other} is not known"))),
    };
    let mut plain = Bytes::from(plain);
    let header_bytes = usize::try_from(kept.header_bytes).unwrap_or(usize::MAX);
    if header_bytes > plain.len() {
        return Err(DamagedRequest(format!(
            "{header_bytes} bytes of headers in {}",
            plain.len()
        )));
    }
    let block = plain.split_to(header_bytes);
    Ok((parse(&block)?, plain))
}

/// Values hold no CR or LF (RFC 9110 section 5.5), so lines part at CRLF.
fn parse(mut block: &[u8]) -> Result<Headers, DamagedRequest> {
    let damaged = || DamagedRequest("a header line has no end".to_owned());
    let mut pairs = Vec::new();
    while !block.is_empty() {
        let end = block
            .windows(2)
            .position(|pair| pair == b"\r\n")
            .ok_or_else(damaged)?;
        let line = &block[..end];
        let colon = line
            .windows(2)
            .position(|pair| pair == b": ")
            .ok_or_else(damaged)?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        pairs.push((name, line[colon + 2..].to_vec()));
        block = &block[end + 2..];
    }
    Ok(Headers::new(pairs))
}

/// An error of reading one request: as damage, where no later try will change it.
pub(super) fn of_reading(error: StoreError) -> StoreError {
    match error {
        StoreError::Database(error) if is_damage(&error) => {
            DamagedRequest(error.to_string()).into()
        }
        error => error,
    }
}

/// Whether the file itself is damaged (SQLITE_CORRUPT, SQLITE_NOTADB), or holds what
/// nobody wrote there: no later try will change that.
fn is_damage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        sqlx::Error::Database(error) => matches!(error.code().as_deref(), Some("11" | "26")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Headers, KeptRequest, keep, read};

    #[test]
    fn requests_come_back_exactly() {
        let headers = Headers::new(vec![
            ("x-a".into(), b"1".to_vec()),
            ("x-empty".into(), Vec::new()),
            ("x-bytes".into(), b"caf\xe9: yes".to_vec()),
            ("x-a".into(), b"2".to_vec()),
        ]);
        let noise: Vec<u8> = (0..10_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for body in [
            &b""[..],
            b"{}",
            b"\r\n\r\n",
            b"\x00\xff",
            &[b'a'; 100_000],
            &noise,
        ] {
            for headers in [&headers, &Headers::default()] {
                let kept = keep(headers, body);
                let (read_headers, read_body) = read(kept).unwrap();
                assert_eq!(&read_headers, headers);
                assert_eq!(&read_body[..], body);
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let kept = keep(&Headers::default(), &[b'a'; 1000]);
        for (encoding, header_bytes, bytes) in [
            (2, 0, kept.bytes.clone()),
            (1, 0, kept.bytes[..5].to_vec()),
            (0, 5000, b"short".to_vec()),
            (0, 5, b"short".to_vec()),
        ] {
            assert!(
                read(KeptRequest {
                    encoding,
                    header_bytes,
                    bytes
                })
                .is_err()
            );
        }
    }
}
