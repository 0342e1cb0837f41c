//! What a source's `redact` hides of a body, wherever bodies are shown or searched.
//!
//! Pure. Whoever may have the exact bytes asks for those instead.

use std::borrow::Cow;

use crate::json::{self, Pointer};

/// What stands for a hidden value.
const HIDDEN: &[u8] = br#""[redacted]""#;
/// What stands for a body in which nobody can say where the hidden values are.
const ALL_HIDDEN: &[u8] = br#""[redacted: not plain JSON]""#;

/// The body with the values at these pointers hidden, all else as it was sent. A body that
/// is not JSON, or in which a key on the way is there twice, is hidden whole.
pub fn redacted<'b>(body: &'b [u8], pointers: &[Pointer]) -> Cow<'b, [u8]> {
    if pointers.is_empty() || body.is_empty() {
        return body.into();
    }
    let mut spans = Vec::new();
    for pointer in pointers {
        match json::find_once(body, pointer) {
            Ok(Some(value)) => {
                // What was found is a part of the body.
                let start = value.as_ptr().addr() - body.as_ptr().addr();
                spans.push((start, start + value.len()));
            }
            Ok(None) => {}
            Err(_) => return ALL_HIDDEN.into(),
        }
    }
    if spans.is_empty() {
        return body.into();
    }
    spans.sort_unstable();
    let mut shown = Vec::with_capacity(body.len());
    let mut at = 0;
    for (start, end) in spans {
        // One within another is hidden with it.
        if start >= at {
            shown.extend_from_slice(&body[at..start]);
            shown.extend_from_slice(HIDDEN);
            at = end;
        }
    }
    shown.extend_from_slice(&body[at..]);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::redacted;

    fn shown(body: &str, pointers: &[&str]) -> String {
        let pointers: Vec<_> = pointers.iter().map(|text| text.parse().unwrap()).collect();
        String::from_utf8(redacted(body.as_bytes(), &pointers).into_owned()).unwrap()
    }

    #[test]
    fn values_are_hidden_where_they_stand() {
        let body = r#"{ "id": 1, "card": {"number": "4111", "cvc": [1,2]}, "note": "x" }"#;
        assert_eq!(shown(body, &[]), body);
        assert_eq!(shown(body, &["/nothing", "/id/deep"]), body);
        assert_eq!(
            shown(body, &["/card/number", "/note"]),
            r#"{ "id": 1, "card": {"number": "[redacted]", "cvc": [1,2]}, "note": "[redacted]" }"#
        );
        // One within another, in either order.
        for pointers in [["/card", "/card/number"], ["/card/cvc/0", "/card"]] {
            assert_eq!(
                shown(body, &pointers),
                r#"{ "id": 1, "card": "[redacted]", "note": "x" }"#
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_hidden_whole() {
        let hidden = r#""[redacted: not plain JSON]""#;
        for body in [
            "card=4111",
            r#"{"card": 1, "card": 2}"#,
            r#"{"card": "4111""#,
            "\u{feff}{}",
        ] {
            assert_eq!(shown(body, &["/card"]), hidden, "{body}");
        }
        assert_eq!(shown("", &["/card"]), "");
    }
}
