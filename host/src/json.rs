//! Looks into a JSON body without building it: checks that it is JSON and picks
//! out the one value a pointer names.
//!
//! Pure, and quick enough for the door, where nobody else may wait for it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

mod list;

pub use list::first_items;

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

impl Pointer {
    /// The keys and indexes that it goes through.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
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

/// A whole body.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn document(body: &[u8]) -> Result<serde_json::Value, NotJson> {
    read(utf8(body)?)
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

/// The value at `pointer`, whatever it is.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn value(body: &[u8], pointer: &Pointer) -> Result<Option<serde_json::Value>, NotJson> {
    match find(body, pointer)? {
        Some(value) => read(value.get()).map(Some),
        None => Ok(None),
    }
}

/// The value at `pointer` as it was sent, for what proves a sender: two parsers must not
/// read two things, so a key on the way that is there twice is an error.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON, or which key is repeated.
pub fn find_once<'b>(body: &'b [u8], pointer: &Pointer) -> Result<Option<&'b str>, NotJson> {
    let found = seek(body, pointer, Repeated::Refused)?;
    Ok(found.map(RawValue::get))
}

/// The items of a list as they were sent; none of anything else.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn items(json: &str) -> Result<Vec<&str>, NotJson> {
    if !json.trim_start().starts_with('[') {
        return Ok(Vec::new());
    }
    let items: Vec<&RawValue> = read(json)?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

/// The keys of an object in their order; none of anything else.
///
/// # Errors
/// [`NotJson`] says where it stops being JSON.
pub fn keys(body: &[u8]) -> Result<Vec<String>, NotJson> {
    let json = utf8(body)?;
    if !json.trim_start().starts_with('{') {
        return check(body).map(|()| Vec::new());
    }
    read::<Keys>(json).map(|keys| keys.0)
}

/// The text of a value as [`find_once`] gives it, if it is text, a number, `true` or
/// `false`.
///
/// # Errors
/// [`NotJson`] says what is wrong with a text's escapes.
pub fn scalar(json: &str) -> Result<Option<String>, NotJson> {
    match json.as_bytes().first() {
        Some(b'{' | b'[') | None => Ok(None),
        Some(b'"') => read(json).map(Some),
        Some(_) if json == "null" => Ok(None),
        Some(_) => Ok(Some(json.to_owned())),
    }
}

fn read<'b, T: Deserialize<'b>>(json: &'b str) -> Result<T, NotJson> {
    serde_json::from_str(json).map_err(|error| NotJson(error.to_string()))
}

fn find<'b>(body: &'b [u8], pointer: &Pointer) -> Result<Option<&'b RawValue>, NotJson> {
    seek(body, pointer, Repeated::LastCounts)
}

fn seek<'b>(
    body: &'b [u8],
    pointer: &Pointer,
    repeated: Repeated,
) -> Result<Option<&'b RawValue>, NotJson> {
    let mut reader = serde_json::Deserializer::from_str(utf8(body)?);
    let seek = Seek {
        tokens: &pointer.0,
        repeated,
    };
    let found = seek.deserialize(&mut reader);
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

/// A body as text.
///
/// # Errors
/// [`NotJson`] says where it stops being UTF-8.
pub fn utf8(body: &[u8]) -> Result<&str, NotJson> {
    std::str::from_utf8(body)
        .map_err(|error| NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// Walks to where its tokens lead, passing over everything else.
struct Seek<'a> {
    tokens: &'a [String],
    repeated: Repeated,
}

/// What a repeated key on the way means.
#[derive(Clone, Copy)]
enum Repeated {
    /// The last one counts, as in most parsers.
    LastCounts,
    /// It is an error.
    Refused,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.tokens.is_empty() {
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
        let repeated = self.repeated;
        let wanted = self
            .tokens
            .split_first()
            .and_then(|(first, rest)| Some((index(first)?, rest)));
        let mut found = None;
        let mut at = 0usize;
        loop {
            match wanted {
                Some((index, tokens)) if index == at => {
                    match items.next_element_seed(Seek { tokens, repeated })? {
                        Some(value) => found = value,
                        None => return Ok(found),
                    }
                }
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
        let repeated = self.repeated;
        let wanted = self.tokens.split_first();
        let (mut found, mut is_seen) = (None, false);
        while let Some(is_wanted) =
            entries.next_key_seed(KeyIs(wanted.map(|(first, _)| first.as_str())))?
        {
            match wanted {
                Some((key, _)) if is_wanted && is_seen && matches!(repeated, Repeated::Refused) => {
                    return Err(A::Error::custom(format_args!("key `{key}` is there twice")));
                }
                Some((_, tokens)) if is_wanted => {
                    is_seen = true;
                    found = entries.next_value_seed(Seek { tokens, repeated })?;
                }
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

/// An object's keys, its values passed over.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Self, A::Error> {
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value::<IgnoredAny>()?;
            self.0.push(key);
        }
        Ok(self)
    }
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
mod tests;
