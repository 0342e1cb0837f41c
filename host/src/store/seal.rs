//! Encryption at rest of what senders sent: AES-256-GCM, after compression.
//!
//! A sealed request is the key's id (8 bytes), a random nonce (12), and the request
//! encrypted with its tag; its `header_bytes` is `-1 - header_bytes`, so that rows of
//! either kind stand side by side and no row says which it is but by its own data. The
//! row's id and the numbers beside it are authenticated with it: no row can be put in
//! place of another. The first key of the ring seals, all of them open.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use super::request::KeptRequest;
use super::sql::sql;
use super::{Store, StoreError, damaged};

/// Length of a key's id.
const ID_BYTES: usize = 8;
/// Length of a key.
const KEY_BYTES: usize = 32;

/// Names a key, and says nothing of it: the beginning of a hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; ID_BYTES]);

/// The keys that requests are sealed and opened with; none is no encryption.
#[derive(Default)]
pub(super) struct Keyring(Vec<(KeyId, LessSafeKey)>);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Keyring {
    /// A ring of these keys, the one that seals first.
    pub(super) fn new(keys: &[[u8; KEY_BYTES]]) -> Self {
        let key = |bytes: &[u8; KEY_BYTES]| {
            let hash = Sha256::digest([b"hookbay key id:".as_slice(), bytes].concat());
            let mut id = [0; ID_BYTES];
            id.copy_from_slice(&hash[..ID_BYTES]);
            let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the key has the right length");
            (KeyId(id), LessSafeKey::new(key))
        };
        Self(keys.iter().map(key).collect())
    }

    /// Seals the request of the row with this id, if there is a key and it is not sealed.
    pub(super) fn seal(&self, row: &[u8], kept: &mut KeptRequest) {
        let Some((id, key)) = self.0.first() else {
            return;
        };
        if kept.is_sealed() {
            return;
        }
        let nonce: [u8; NONCE_LEN] = rand::random();
        let aad = Aad::from(beside(row, kept));
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut kept.bytes)
            .expect("a request is far below the 64 GiB that the cipher takes");
        kept.bytes = [&id.0, &nonce[..], &kept.bytes, tag.as_ref()].concat();
        kept.header_bytes = -1 - kept.header_bytes;
    }

    /// Opens what [`Self::seal`] sealed for the row with this id; what is not sealed stays.
    ///
    /// # Errors
    /// [`StoreError::MissingKey`]; [`StoreError::Damaged`] if the bytes are not what was
    /// sealed for this row.
    pub(super) fn open(
        &self,
        row: &[u8],
        mut kept: KeptRequest,
    ) -> Result<KeptRequest, StoreError> {
        if !kept.is_sealed() {
            return Ok(kept);
        }
        let is_cut = || damaged("a sealed request has no end");
        let (id, rest) = kept.bytes.split_first_chunk().ok_or_else(is_cut)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or_else(is_cut)?;
        let id = KeyId(*id);
        let found = self.0.iter().find(|(known, _)| *known == id);
        let (_, key) = found.ok_or_else(|| StoreError::MissingKey(id.to_string()))?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut sealed = sealed.to_vec();
        kept.header_bytes = -1 - kept.header_bytes;
        let plain = key
            .open_in_place(nonce, Aad::from(beside(row, &kept)), &mut sealed)
            .map_err(|_| damaged("it is not what was encrypted for this row"))?
            .len();
        sealed.truncate(plain);
        kept.bytes = sealed;
        Ok(kept)
    }

    fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.0.iter().map(|(id, _)| id)
    }
}

impl KeptRequest {
    fn is_sealed(&self) -> bool {
        self.header_bytes < 0
    }
}

/// What is authenticated with a request and not encrypted.
fn beside(row: &[u8], kept: &KeptRequest) -> Vec<u8> {
    let [encoding, header_bytes] = [kept.encoding, kept.header_bytes].map(i64::to_be_bytes);
    [row, &encoding, &header_bytes].concat()
}

impl Store {
    /// Notes the key that seals from now on; the ids of those that sealed before and are not
    /// in the ring: what they sealed cannot be read.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer.
    pub async fn note_keys(&self) -> Result<Vec<String>, StoreError> {
        let ids: Vec<String> = self.0.keyring.ids().map(KeyId::to_string).collect();
        let first = ids.first().cloned();
        self.write(move |tx| {
            let (ids, first) = (ids.clone(), first.clone());
            Box::pin(async move {
                if let Some(first) = first {
                    let note = sql(
                        "insert into seal_keys (key_id, first_used_ms) values ($1, $2) \
                         on conflict (key_id) do nothing",
                    );
                    tx.execute(note.bind(first).bind(tx.now)).await?;
                }
                let used = sql("select key_id from seal_keys order by key_id");
                let rows = tx.fetch_all(used).await?;
                let used = rows.iter().map(|row| row.text("key_id"));
                let used = used.collect::<Result<Vec<_>, _>>()?;
                Ok(used.into_iter().filter(|id| !ids.contains(id)).collect())
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::StoreError;
    use super::super::request::{KeptRequest, keep};
    use super::Keyring;
    use crate::event::Headers;

    fn kept() -> KeptRequest {
        let headers = Headers::new(vec![("x-a".into(), b"1".to_vec())]);
        keep(&headers, &[b'a'; 1000])
    }

    fn sealed(ring: &Keyring, row: &[u8]) -> KeptRequest {
        let mut sealed = kept();
        ring.seal(row, &mut sealed);
        sealed
    }

    #[test]
    fn what_is_sealed_is_opened_by_any_key_of_the_ring() {
        let (old, new) = ([1; 32], [2; 32]);
        let before = sealed(&Keyring::new(&[old]), b"row");
        let rotated = Keyring::new(&[new, old]);
        let after = sealed(&rotated, b"row");
        for sealed in [before.clone(), after.clone()] {
            assert!(!sealed.bytes.windows(4).any(|part| part == b"x-a:"));
            let opened = rotated.open(b"row", sealed).unwrap();
            assert_eq!(opened.bytes, kept().bytes);
            assert_eq!(opened.header_bytes, kept().header_bytes);
        }
        assert_ne!(
            sealed(&rotated, b"row").bytes,
            after.bytes,
            "nonces are random"
        );
        // The new key alone opens what it sealed, and names the one that is missing.
        let new = Keyring::new(&[new]);
        assert!(new.open(b"row", after).is_ok());
        let missing = new.open(b"row", before).unwrap_err();
        assert!(matches!(missing, StoreError::MissingKey(id) if id.len() == 16));
    }

    #[test]
    fn without_keys_nothing_is_sealed() {
        let none = Keyring::new(&[]);
        let plain = sealed(&none, b"row");
        assert_eq!(plain.bytes, kept().bytes);
        assert_eq!(none.open(b"row", plain.clone()).unwrap().bytes, plain.bytes);
        let ring = Keyring::new(&[[1; 32]]);
        assert_eq!(ring.open(b"row", plain.clone()).unwrap().bytes, plain.bytes);
    }

    #[test]
    fn a_changed_or_moved_row_is_damaged() {
        let ring = Keyring::new(&[[1; 32]]);
        let good = sealed(&ring, b"row");
        let mut flipped = good.clone();
        *flipped.bytes.last_mut().unwrap() ^= 1;
        let mut moved = good.clone();
        moved.header_bytes -= 1;
        let mut cut = good.clone();
        cut.bytes.truncate(15);
        let mut encoding = good.clone();
        encoding.encoding = 1 - encoding.encoding;
        for (row, kept) in [
            (b"row", flipped),
            (b"row", moved),
            (b"row", cut),
            (b"row", encoding),
            (b"raw", good),
        ] {
            let error = ring.open(row, kept).unwrap_err();
            assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        }
    }
}
