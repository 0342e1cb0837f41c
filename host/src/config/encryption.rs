//! `[encryption]`: the keys that stored requests are encrypted with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::Value;

use super::reader::Table;
use super::secret::secret;

/// Length of a key.
const KEY_BYTES: usize = 32;

/// Keys of 32 bytes, the one that encrypts first; none is no encryption. Never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EncryptionKeys(Vec<[u8; KEY_BYTES]>);

impl EncryptionKeys {
    /// The keys, for the store.
    pub fn expose(&self) -> &[[u8; KEY_BYTES]] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKeys({} keys)", self.0.len())
    }
}

/// Reads `[encryption]`: `keys` is a secret or a list of them, each 32 bytes in base64 or
/// hexadecimal.
pub(super) fn read(table: Option<Table<'_>>) -> EncryptionKeys {
    let Some(mut table) = table else {
        return EncryptionKeys::default();
    };
    let listed = match table.take("keys") {
        Some(Value::Array(listed)) => listed,
        Some(one) => vec![one],
        None => Vec::new(),
    };
    if listed.is_empty() {
        table.problem("keys", "is missing: at least one key of 32 random bytes");
    }
    let mut keys = Vec::new();
    for (n, value) in listed.into_iter().enumerate() {
        let name = format!("keys[{n}]");
        let Some(text) = secret(&table.path_of(&name), value, table.reading()) else {
            continue;
        };
        match decoded(text.expose()) {
            Some(key) if keys.contains(&key) => table.problem(&name, "is there twice"),
            Some(key) => keys.push(key),
            None => table.problem(
                &name,
                "is not 32 bytes in base64 or hexadecimal, as `openssl rand -base64 32` makes them",
            ),
        }
    }
    table.finish();
    EncryptionKeys(keys)
}

fn decoded(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let text = text.trim_ascii();
    let bytes = match text.len() {
        64 => hex::decode(text).ok(),
        _ => STANDARD.decode(text).ok(),
    };
    bytes?.try_into().ok()
}
