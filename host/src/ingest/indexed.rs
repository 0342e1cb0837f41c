//! The values that a source's `index` picks out of a body, so that events are found by
//! them.

use crate::json::{self, Pointer};

/// Longest value that is indexed, in bytes; more is cut, in searches too.
pub const VALUE_BYTES_MAX: usize = 200;

/// A text as it stands in the index.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(VALUE_BYTES_MAX)]
}

/// The texts, numbers and truth values at these pointers, each once.
pub(super) fn values(body: &[u8], pointers: &[Pointer]) -> Vec<String> {
    let mut values = Vec::new();
    for pointer in pointers {
        // What is not JSON has nothing to be found by.
        if let Ok(Some(value)) = json::pick(body, pointer) {
            let value = cut(&value).replace('\0', "\u{FFFD}");
            if !value.is_empty() && !values.contains(&value) {
                values.push(value);
            }
        }
    }
    values
}
