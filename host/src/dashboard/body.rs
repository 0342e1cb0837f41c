//! Bodies of strangers, as far as they stand in a page: cut, and without what their source
//! hides.

use std::borrow::Cow;

use crate::redact::redacted;

use super::failure::Failure;
use super::frame::Visit;

/// As much of a body as stands in a page; the rest is fetched when somebody wants it.
const SHOWN_BYTES: usize = 64 << 10;
/// As much of a body that is no text.
const SHOWN_HEX: usize = 512;
/// A body as it stands in a page.
pub(super) enum Shown {
    /// Text from its beginning, and whether that is all.
    Text {
        text: String,
        is_whole: bool,
    },
    /// The first bytes of what is no text.
    Bytes(String),
    Empty,
}

impl Shown {
    /// The body at an address of the API, which came in by a source.
    pub(super) async fn at(visit: &Visit, path: &str, source: &str) -> Result<Self, Failure> {
        let body = visit.open(path).await?.into_body();
        let body = axum::body::to_bytes(body, usize::MAX).await;
        let body = body.map_err(|error| Failure::Broken(format!("reading {path}: {error}")))?;
        let source = visit.desk.dashboard.sources.named(source);
        let hidden = source.as_ref().map(|source| &source.config.redact[..]);
        Ok(match redacted(&body, hidden.unwrap_or_default()) {
            Cow::Borrowed(body) => Self::of(body),
            Cow::Owned(body) => Self::of(&body).without_the_rest(),
        })
    }

    /// A page does not fetch the rest of it: at its address are the exact bytes.
    fn without_the_rest(self) -> Self {
        match self {
            Self::Text {
                text,
                is_whole: false,
            } => Self::Text {
                text: text + "\n…",
                is_whole: true,
            },
            shown => shown,
        }
    }

    fn of(body: &[u8]) -> Self {
        if body.is_empty() {
            return Self::Empty;
        }
        let start = &body[..body.len().min(SHOWN_BYTES)];
        let text = match std::str::from_utf8(start) {
            Ok(text) => Some(text),
            // Cut in the middle of a character.
            Err(error) if error.error_len().is_none() && start.len() < body.len() => {
                std::str::from_utf8(&start[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        match text.filter(|text| !text.contains('\0')) {
            Some(text) => Self::Text {
                text: text.to_owned(),
                is_whole: text.len() == body.len(),
            },
            None => Self::Bytes(hex_lines(&body[..body.len().min(SHOWN_HEX)])),
        }
    }
}

/// Bytes as hexadecimal numbers, sixteen in a line.
fn hex_lines(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| {
        let numbers: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        numbers.join(" ")
    };
    let lines: Vec<String> = bytes.chunks(16).map(line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{SHOWN_BYTES, Shown};

    #[test]
    fn a_body_is_cut_between_characters_and_bytes_are_shown_as_such() {
        let Shown::Text { text, is_whole } = Shown::of("{\"näme\":1}".as_bytes()) else {
            panic!("a text");
        };
        assert_eq!((text.as_str(), is_whole), ("{\"näme\":1}", true));
    }

    #[test]
    fn a_long_text_is_shown_from_its_beginning() {
        let long = format!("a{}", "ä".repeat(SHOWN_BYTES));
        let Shown::Text { text, is_whole } = Shown::of(long.as_bytes()) else {
            panic!("a text");
        };
        assert!(!is_whole && long.starts_with(&text) && text.len() > SHOWN_BYTES - 3);
        assert!(matches!(Shown::of(&[0xff, 0xfe, 0]), Shown::Bytes(hex) if hex == "ff fe 00"));
        assert!(matches!(Shown::of(b""), Shown::Empty));
    }
}
