//! A request as its sender signed it, and what is written in its address and form.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::event::Headers;

use super::Rejection;

/// The content type of forms.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A request as its sender signed it: the bytes that came, under the address that the
/// sender was given.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The whole address with its query, as the sender knows it: behind a proxy that is
    /// another one than ours.
    pub url: &'a str,
    /// The headers, names in lower case.
    pub headers: &'a Headers,
    /// The exact bytes of the body.
    pub body: &'a [u8],
}

/// A name and its value out of a query or a form, decoded.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Request<'a> {
    /// The query, without its `?`.
    pub fn query(&self) -> Option<&'a str> {
        let address = self.url.split('#').next().unwrap_or_default();
        address.split_once('?').map(|(_, query)| query)
    }

    /// The path of the address.
    pub fn path(&self) -> &'a str {
        let after_scheme = self
            .url
            .split_once("://")
            .map_or(self.url, |(_, rest)| rest);
        let path = after_scheme
            .find('/')
            .map_or("/", |start| &after_scheme[start..]);
        path.split(['?', '#']).next().unwrap_or_default()
    }

    /// Whether the body says that it is a form.
    pub fn is_form(&self) -> bool {
        self.has_content_type(FORM)
    }

    /// Whether `Content-Type` is this one, whatever its parameters.
    pub fn has_content_type(&self, wanted: &str) -> bool {
        let given = self.headers.text("content-type").unwrap_or_default();
        let essence = given.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(wanted)
    }

    /// The text of a header that proves something.
    ///
    /// # Errors
    /// It is there more than once, or is not text.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&'a str>, Rejection> {
        let mut values = self.headers.iter().filter(|(key, _)| *key == name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Rejection::Repeated(format!("header `{name}`"))),
            (Some((_, value)), None) => match std::str::from_utf8(value) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(Rejection::MalformedSignature(format!("header `{name}`"))),
            },
        }
    }

    /// The first value of a parameter of the address.
    pub fn query_value(&self, name: &str) -> Option<String> {
        let query = self.query()?;
        first(pairs(query.as_bytes()), name)
    }

    /// The value of a parameter of the address that proves something.
    ///
    /// # Errors
    /// It is there more than once, or is not text.
    pub(crate) fn query_once(&self, name: &str) -> Result<Option<String>, Rejection> {
        let place = || format!("query `{name}`");
        let query = self.query().unwrap_or_default();
        match only(pairs(query.as_bytes()), name, place) {
            Ok(value) => match String::from_utf8(value.into_owned()) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(Rejection::MalformedSignature(place())),
            },
            Err(Rejection::MissingPart(_)) => Ok(None),
            Err(rejection) => Err(rejection),
        }
    }

    /// The first value of a field, if the body is a form.
    pub fn form_value(&self, name: &str) -> Option<String> {
        self.is_form().then(|| first(self.form(), name))?
    }

    /// The fields of the body, read as a form.
    pub(crate) fn form(&self) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        pairs(self.body)
    }

    /// Names and values of the form without anything between, sorted by name and value;
    /// none if the body is no form.
    pub(crate) fn sorted_form(&self) -> Vec<u8> {
        let mut fields: Vec<Pair<'a>> = match self.is_form() {
            true => self.form().collect(),
            false => Vec::new(),
        };
        fields.sort_unstable();
        let bytes = fields.iter().flat_map(|(name, value)| [&**name, &**value]);
        bytes.collect::<Vec<_>>().concat()
    }

    /// A field of the form; without a body one of the query; else the whole body.
    ///
    /// # Errors
    /// The field is not there, or there twice.
    pub(crate) fn payload(&self, field: &str) -> Result<Cow<'a, [u8]>, Rejection> {
        let place = || format!("field `{field}`");
        if self.is_form() {
            only(self.form(), field, place)
        } else if self.body.is_empty() {
            only(
                pairs(self.query().unwrap_or_default().as_bytes()),
                field,
                place,
            )
        } else {
            Ok(self.body.into())
        }
    }
}

/// The one value under a name.
///
/// # Errors
/// It is not there, or there twice; `place` is what it is called.
pub(crate) fn only<'a>(
    pairs: impl Iterator<Item = Pair<'a>>,
    name: &str,
    place: impl Fn() -> String,
) -> Result<Cow<'a, [u8]>, Rejection> {
    let mut values = pairs.filter(|(key, _)| **key == *name.as_bytes());
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(value),
        (Some(_), Some(_)) => Err(Rejection::Repeated(place())),
        (None, _) => Err(Rejection::MissingPart(place())),
    }
}

fn first<'a>(mut pairs: impl Iterator<Item = Pair<'a>>, name: &str) -> Option<String> {
    let (_, value) = pairs.find(|(key, _)| **key == *name.as_bytes())?;
    String::from_utf8(value.into_owned()).ok()
}

/// Pairs as browsers write forms (the URL Standard's `urlencoded` parser), but for the
/// decoded bytes, which need not be UTF-8.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    let pair = |pair| {
        let mut halves = <[u8]>::splitn(pair, 2, |byte| *byte == b'=');
        let name = decoded(halves.next().unwrap_or_default());
        (name, decoded(halves.next().unwrap_or_default()))
    };
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(pair)
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return percent_decode(text).into();
    }
    let spaced = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte });
    let spaced: Vec<u8> = spaced.collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::{Headers, Request};

    #[test]
    fn addresses_and_forms_are_read() {
        let form = |content_type: &str| {
            Headers::new(vec![("content-type".to_owned(), content_type.into())])
        };
        let headers = form("Application/X-WWW-Form-Urlencoded; charset=utf-8");
        let request = Request {
            method: "POST",
            url: "https://h:1/a/b?x=%2B1&x=2&y=a+b#c?d",
            headers: &headers,
            body: b"b=%FF&a=1&&a=0&c",
        };
        assert_eq!(
            (request.path(), request.query()),
            ("/a/b", Some("x=%2B1&x=2&y=a+b"))
        );
        assert_eq!(request.query_value("x").as_deref(), Some("+1"));
        assert_eq!(request.query_value("y").as_deref(), Some("a b"));
        assert_eq!(request.query_value("z"), None);
        assert_eq!(request.form_value("a").as_deref(), Some("1"));
        assert_eq!(request.form_value("b"), None);
        assert_eq!(request.sorted_form(), b"a0a1b\xffc");
        assert!(request.payload("a").is_err() && request.payload("z").is_err());
        let headers = form("application/json");
        let request = Request {
            headers: &headers,
            url: "https://h",
            ..request
        };
        assert_eq!((request.path(), request.query()), ("/", None));
        assert_eq!(request.form_value("a"), None);
        assert_eq!(request.sorted_form(), b"");
        assert_eq!(&*request.payload("a").unwrap(), request.body);
    }
}
