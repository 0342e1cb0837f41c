//! Looks into a JSON body without building it: checks that it is JSON and picks
//! out the one value a pointer names.
//!
//! Pure, and quick enough for the door, where nobody else may wait for it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON Pointer (RFC 6901), such as `/order/id`; never the whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

/// Why a text is not a pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a JSON Pointer: it must begin with `/`, with `~0` for `~` and `~1` for `/`")]
pub struct PointerError(String);

/// Why a body is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotJson(String);

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let wrong = || PointerError(text.to_owned());
        let rest = text.strip_prefix('/').ok_or_else(wrong)?;
        rest.split('/')
            .map(|token| unescape(token).ok_or_else(wrong))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Pointer {
    /// As RFC 6901 writes it; reads back as the same pointer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.0 {
            write!(f, "/{}", token.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut plain = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

/// Checks that a body is one JSON value in UTF-8.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn check(body: &[u8]) -> Result<(), NotJson> {
    serde_json::from_str::<IgnoredAny>(utf8(body)?)
        .map(|_| ())
        .map_err(|error| NotJson(error.to_string()))
}

/// The value at `pointer` as text, if it is text, a number, `true` or `false`;
/// the whole body is checked to be JSON on the way.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn pick(body: &[u8], pointer: &Pointer) -> Result<Option<String>, NotJson> {
    match find(body, pointer)? {
        Some(value) if !value.get().starts_with(['{', '[']) => text(value),
        Some(_) | None => Ok(None),
    }
}

/// The value at `pointer` as text, whatever it is but null: text as it reads,
/// all else as JSON without spaces. The whole body is checked on the way.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn pick_any(body: &[u8], pointer: &Pointer) -> Result<Option<String>, NotJson> {
    find(body, pointer)?.map_or(Ok(None), text)
}

fn find<'b>(body: &'b [u8], pointer: &Pointer) -> Result<Option<&'b RawValue>, NotJson> {
    let mut reader = serde_json::Deserializer::from_str(utf8(body)?);
    let found = Seek(&pointer.0).deserialize(&mut reader);
    found
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| NotJson(error.to_string()))
}

/// A value's text; numbers keep every digit that was sent.
fn text(value: &RawValue) -> Result<Option<String>, NotJson> {
    match value.get() {
        "null" => Ok(None),
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted)
            .map(Some)
            .map_err(|error| NotJson(error.to_string())),
        other => Ok(Some(compact(other))),
    }
}

/// JSON without the spaces between its tokens.
fn compact(json: &str) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        if is_in_text {
            is_in_text = is_escaped || *c != '"';
            is_escaped = !is_escaped && *c == '\\';
            return true;
        }
        is_in_text = *c == '"';
        !c.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

fn utf8(body: &[u8]) -> Result<&str, NotJson> {
    std::str::from_utf8(body)
        .map_err(|error| NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// Walks to where its tokens lead, passing over everything else.
struct Seek<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            <&RawValue>::deserialize(deserializer).map(Some)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    // Nothing lies within these, and there are tokens left.

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let wanted = self
            .0
            .split_first()
            .and_then(|(first, rest)| Some((index(first)?, rest)));
        let mut found = None;
        let mut at = 0usize;
        loop {
            match wanted {
                Some((index, rest)) if index == at => match items.next_element_seed(Seek(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                },
                _ => {
                    if items.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(found);
                    }
                }
            }
            at += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.split_first();
        let mut found = None;
        while let Some(is_wanted) =
            entries.next_key_seed(KeyIs(wanted.map(|(first, _)| first.as_str())))?
        {
            match wanted {
                // A repeated key: the last one counts, as in most parsers.
                Some((_, rest)) if is_wanted => found = entries.next_value_seed(Seek(rest))?,
                _ => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Array indexes are decimal without leading zeros (RFC 6901 section 4).
fn index(token: &str) -> Option<usize> {
    (token == "0" || !token.starts_with('0')).then(|| token.parse().ok())?
}

/// Compares a key without keeping it.
struct KeyIs<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::{Pointer, check, pick, pick_any};

    #[test]
    fn pointers_find_values() {
        let body =
            br#"{"a":{"b/c":[1,"two",{"~d":true}]},"e":null,"n":-3,"f":1.5,"":"empty","a2":"x"}"#;
        for (pointer, expected) in [
            ("/a/b~1c/0", Some("1")),
            ("/a/b~1c/1", Some("two")),
            ("/a/b~1c/2/~0d", Some("true")),
            ("/a/b~1c/3", None),
            ("/a/b~1c/01", None),
            ("/a", None),
            ("/e", None),
            ("/n", Some("-3")),
            ("/f", Some("1.5")),
            ("/", Some("empty")),
            ("/missing", None),
            ("/a2/deeper", None),
        ] {
            let pointer: Pointer = pointer.parse().unwrap();
            assert_eq!(
                pick(body, &pointer).unwrap().as_deref(),
                expected,
                "{pointer:?}"
            );
        }
    }

    #[test]
    fn pointers_are_read_and_written() {
        for good in ["/", "/a", "/a/b", "/a~1b/~0~01", "//", "/é"] {
            let pointer: Pointer = good.parse().unwrap();
            assert_eq!(pointer.to_string(), good);
        }
        for bad in ["", "a", "a/b", "#/a", "/~", "/~2", "/a~"] {
            assert!(bad.parse::<Pointer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn any_value_has_its_text() {
        let body = br#" { "o" : { "b" : [ 1 , "a \" [ b" ] } , "e" : [ ] ,
            "n" : null , "t" : "\u00e9 x" , "big" : 123456789012345678901234567890 , "f" : 1.50 } "#;
        for (pointer, any, plain) in [
            ("/o", Some(r#"{"b":[1,"a \" [ b"]}"#), None),
            ("/o/b/1", Some(r#"a " [ b"#), Some(r#"a " [ b"#)),
            ("/e", Some("[]"), None),
            ("/n", None, None),
            ("/t", Some("é x"), Some("é x")),
            (
                "/big",
                Some("123456789012345678901234567890"),
                Some("123456789012345678901234567890"),
            ),
            ("/f", Some("1.50"), Some("1.50")),
            ("/gone", None, None),
            ("/n/x", None, None),
        ] {
            let parsed: Pointer = pointer.parse().unwrap();
            let found = pick_any(body, &parsed).unwrap();
            assert_eq!(found.as_deref(), any, "{pointer}");
            let found = pick(body, &parsed).unwrap();
            assert_eq!(found.as_deref(), plain, "{pointer}");
        }
    }

    #[test]
    fn what_is_not_json_is_said_so() {
        let pointer: Pointer = "/a".parse().unwrap();
        for bad in [
            &b""[..],
            b"{",
            b"{\"a\":1}x",
            b"{'a':1}",
            b"{\"a\":\"\xff\"}",
            b"nul",
            b"[1,]",
            b"{\"a\":01}",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
            assert!(pick(bad, &pointer).is_err(), "{bad:?}");
            assert!(pick_any(bad, &pointer).is_err(), "{bad:?}");
        }
        for good in [&b"1"[..], b" {} ", b"[]", b"null", "\"é\"".as_bytes()] {
            assert!(check(good).is_ok(), "{good:?}");
            assert_eq!(pick(good, &pointer), Ok(None), "{good:?}");
        }
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        assert!(check(&deep).is_ok());
    }
}
