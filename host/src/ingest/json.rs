//! Looks into a JSON body without building it: checks that it is JSON and picks
//! out the one value a pointer names.

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON Pointer (RFC 6901), such as `/order/id`.
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
    let mut reader = serde_json::Deserializer::from_str(utf8(body)?);
    let picked = Seek(&pointer.0).deserialize(&mut reader);
    picked
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| NotJson(error.to_string()))
}

fn utf8(body: &[u8]) -> Result<&str, NotJson> {
    std::str::from_utf8(body)
        .map_err(|error| NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// Walks to where its tokens lead, passing over everything else.
struct Seek<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.0.is_empty().then(|| value.to_string()))
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
    use super::{Pointer, check, pick};

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
        for bad in ["", "a", "/~", "/~2"] {
            assert!(bad.parse::<Pointer>().is_err(), "{bad}");
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
        }
        for good in [&b"1"[..], b" {} ", b"[]", b"null", "\"é\"".as_bytes()] {
            assert!(check(good).is_ok(), "{good:?}");
            assert_eq!(pick(good, &pointer), Ok(None), "{good:?}");
        }
        let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
        assert!(check(&deep).is_ok());
    }
}
