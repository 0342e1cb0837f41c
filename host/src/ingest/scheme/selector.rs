//! Places in a request where a value stands: a header, the query, a form, the JSON body.
//!
//! Kinds, delivery ids and handshakes are read with these. What takes part in a proof is
//! read by stricter rules, in `template` and `signatures`.

use std::fmt;
use std::str::FromStr;

use crate::event::Headers;
use crate::ingest::verify::{Rejection, Request};
use crate::json::{self, NotJson, Pointer, PointerError};

use super::SchemeError;

/// Names of headers, of which a sender uses one or several; in lower case. A name that
/// ends in `*` stands for all that go on with digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames(Vec<String>);

/// A place where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The first of these headers that is there.
    Header(HeaderNames),
    /// A parameter of the address.
    Query(String),
    /// A field of a form.
    Form(String),
    /// A text, number, `true` or `false` in the JSON body.
    Pointer(Pointer),
    /// The first key of the JSON body that ends so.
    KeyEnding(String),
    /// The first key of the JSON body that is another.
    KeyOtherThan(String),
}

/// Where a value may stand: alternatives in order, each some places whose values are
/// joined by dots. The first place of an alternative decides whether it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub Vec<Vec<Selector>>);

/// Where a list stands in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// The document is the list.
    Document,
    /// It stands within.
    At(Pointer),
}

impl List {
    /// The first `max` items as they were sent, and one more if there are more; none if
    /// there is no list.
    ///
    /// # Errors
    /// The document is not JSON, or a key on the way is there twice.
    pub fn items<'j>(&self, json: &'j [u8], max: usize) -> Result<Option<Vec<&'j str>>, NotJson> {
        match self {
            Self::Document => json::first_items(json::utf8(json)?, max),
            Self::At(pointer) => match json::find_once(json, pointer)? {
                Some(list) => json::first_items(list, max),
                None => Ok(None),
            },
        }
    }
}

impl FromStr for List {
    type Err = PointerError;

    /// A JSON Pointer; an empty one is the whole document.
    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self::Document);
        }
        text.parse().map(Self::At)
    }
}

impl HeaderNames {
    /// The value of the first of them that is there.
    ///
    /// # Errors
    /// [`Rejection::Repeated`] if it is there more than once.
    pub fn only<'h>(&self, headers: &'h Headers) -> Result<Option<&'h [u8]>, Rejection> {
        for name in &self.0 {
            let mut values = values(headers, name);
            let Some(value) = values.next() else {
                continue;
            };
            return match values.next() {
                None => Ok(Some(value)),
                Some(_) => Err(Rejection::Repeated(format!("header `{name}`"))),
            };
        }
        Ok(None)
    }

    /// The values of all of them that are there, in the order of the request.
    pub fn all_values<'h>(&self, headers: &'h Headers) -> Vec<&'h [u8]> {
        let own = headers.iter().filter(|(name, _)| self.has(name));
        own.map(|(_, value)| value).collect()
    }

    /// The same, each of them once.
    ///
    /// # Errors
    /// [`Rejection::Repeated`] if one is there more than once.
    pub fn each<'h>(&self, headers: &'h Headers) -> Result<Vec<&'h [u8]>, Rejection> {
        let mut found: Vec<(&str, &[u8])> = Vec::new();
        for (name, value) in headers.iter().filter(|(name, _)| self.has(name)) {
            if found.iter().any(|(other, _)| *other == name) {
                return Err(Rejection::Repeated(format!("header `{name}`")));
            }
            found.push((name, value));
        }
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    /// Whether a header is one of them.
    pub fn has(&self, header: &str) -> bool {
        self.0.iter().any(|name| match name.strip_suffix('*') {
            Some(stem) => header
                .strip_prefix(stem)
                .is_some_and(|number| !number.is_empty() && is_digits(number)),
            None => name == header,
        })
    }

    /// The one that is used where a request is made.
    pub fn first(&self) -> String {
        self.0
            .first()
            .map_or_else(String::new, |name| name.replace('*', "1"))
    }

    /// All of them, as written.
    pub fn all(&self) -> &[String] {
        &self.0
    }
}

fn values<'h>(headers: &'h Headers, name: &str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .iter()
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Selector {
    /// The value in a request; `json` is what its JSON document is.
    ///
    /// # Errors
    /// The document is looked at and is not JSON.
    pub fn find(
        &self,
        request: &Request<'_>,
        json: Option<&[u8]>,
    ) -> Result<Option<String>, NotJson> {
        let keys = || json.map_or(Ok(Vec::new()), json::keys);
        match self {
            Self::Header(names) => Ok(names
                .0
                .iter()
                .find_map(|name| request.headers.text(name))
                .map(str::to_owned)),
            Self::Query(name) => Ok(request.query_value(name)),
            Self::Form(name) => Ok(request.form_value(name)),
            Self::Pointer(pointer) => json.map_or(Ok(None), |json| json::pick(json, pointer)),
            Self::KeyEnding(end) => Ok(keys()?.into_iter().find(|key| key.ends_with(end.as_str()))),
            Self::KeyOtherThan(other) => Ok(keys()?.into_iter().find(|key| key != other)),
        }
    }

    /// Whether it looks into the JSON document.
    pub fn is_inside(&self) -> bool {
        match self {
            Self::Pointer(_) | Self::KeyEnding(_) | Self::KeyOtherThan(_) => true,
            Self::Header(_) | Self::Query(_) | Self::Form(_) => false,
        }
    }
}

impl Place {
    /// The value in a request, if it is not empty.
    ///
    /// # Errors
    /// The document is looked at and is not JSON.
    pub fn find(
        &self,
        request: &Request<'_>,
        json: Option<&[u8]>,
    ) -> Result<Option<String>, NotJson> {
        self.find_where(request, json, &|_| true)
    }

    /// The same of the alternatives whose first place `takes` approves of.
    ///
    /// # Errors
    /// As [`Place::find`].
    pub fn find_where(
        &self,
        request: &Request<'_>,
        json: Option<&[u8]>,
        takes: &dyn Fn(&Selector) -> bool,
    ) -> Result<Option<String>, NotJson> {
        for alternative in &self.0 {
            let Some((first, rest)) = alternative.split_first() else {
                continue;
            };
            if !takes(first) {
                continue;
            }
            let found = first.find(request, json)?.filter(|text| !text.is_empty());
            let Some(mut value) = found else {
                continue;
            };
            for selector in rest {
                if let Some(more) = selector.find(request, json)? {
                    value.push('.');
                    value.push_str(&more);
                }
            }
            return Ok(Some(value));
        }
        Ok(None)
    }

    /// Every selector in it.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.0.iter().flatten()
    }
}

impl FromStr for HeaderNames {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let name = |name: &str| {
            let plain = name.strip_suffix('*').unwrap_or(name);
            let is_token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`~".contains(&byte);
            if plain.is_empty() || !plain.bytes().all(is_token) {
                return Err(SchemeError::Header(name.to_owned()));
            }
            Ok(name.to_ascii_lowercase())
        };
        text.split('|')
            .map(name)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Selector {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let wrong = || SchemeError::Selector(text.to_owned());
        if text.starts_with('/') {
            return text.parse().map(Self::Pointer).map_err(|_| wrong());
        }
        let (place, name) = text.split_once(':').ok_or_else(wrong)?;
        match (place, name) {
            (_, "") => Err(wrong()),
            ("header", names) => names.parse().map(Self::Header),
            ("query", name) => Ok(Self::Query(name.to_owned())),
            ("form", name) => Ok(Self::Form(name.to_owned())),
            ("key", name) => match (name.strip_prefix('*'), name.strip_prefix('!')) {
                (Some(end), _) => Ok(Self::KeyEnding(end.to_owned())),
                (_, Some(other)) => Ok(Self::KeyOtherThan(other.to_owned())),
                (None, None) => Err(wrong()),
            },
            (_, _) => Err(wrong()),
        }
    }
}

impl fmt::Display for HeaderNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("|"))
    }
}

impl fmt::Display for Selector {
    /// As a configuration writes it; reads back as the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(names) => write!(f, "header:{names}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Pointer(pointer) => pointer.fmt(f),
            Self::KeyEnding(end) => write!(f, "key:*{end}"),
            Self::KeyOtherThan(other) => write!(f, "key:!{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderNames, Place, Selector};
    use crate::event::Headers;
    use crate::ingest::verify::Request;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Headers::new(pairs.iter().map(pair).collect())
    }

    #[test]
    fn headers_are_there_once() {
        let names: HeaderNames = "X-Sig-*|other".parse().unwrap();
        assert_eq!(names.to_string(), "x-sig-*|other");
        for (given, expected) in [
            (
                vec![("x-sig-1", "a"), ("x-sig-12", "b"), ("other", "c")],
                Some(3),
            ),
            (
                vec![("x-sig-", "a"), ("x-sig-x", "b"), ("x-sig", "c")],
                Some(0),
            ),
            (vec![("x-sig-1", "a"), ("x-sig-1", "a")], None),
        ] {
            let given = headers(&given);
            assert_eq!(names.each(&given).ok().map(|values| values.len()), expected);
        }
        let names: HeaderNames = "a|b".parse().unwrap();
        for (given, expected) in [
            (vec![("b", "2"), ("a", "1")], Some(Some("1"))),
            (vec![("b", "2"), ("c", "3")], Some(Some("2"))),
            (vec![], Some(None)),
            (vec![("b", "2"), ("b", "2")], None),
        ] {
            let given = headers(&given);
            let expected = expected.map(|value| value.map(str::as_bytes));
            assert_eq!(names.only(&given).ok(), expected);
        }
        for bad in ["", "a|", "a b", "a:b", "*"] {
            assert!(bad.parse::<HeaderNames>().is_err(), "{bad}");
        }
    }

    #[test]
    fn places_join_and_fall_back() {
        let headers = headers(&[("x-event", "push"), ("content-type", "application/json")]);
        let body = br#"{"action":"opened","n":3,"update_id":1,"tweet_events":[]}"#;
        let request = Request {
            method: "POST",
            url: "https://h/x?a=1&b=%20c",
            headers: &headers,
            body,
        };
        for (place, expected) in [
            (vec![vec!["header:x-event", "/action"]], Some("push.opened")),
            (vec![vec!["header:x-event", "/gone", "/n"]], Some("push.3")),
            (vec![vec!["header:gone", "/action"]], None),
            (vec![vec!["header:gone"], vec!["query:b"]], Some(" c")),
            (vec![vec!["key:*_events"]], Some("tweet_events")),
            (vec![vec!["key:!action"]], Some("n")),
            (vec![], None),
        ] {
            let alternative = |selectors: &Vec<&str>| {
                let selectors = selectors.iter();
                selectors
                    .map(|text| text.parse::<Selector>().unwrap())
                    .collect()
            };
            let place = Place(place.iter().map(alternative).collect());
            let found = place.find(&request, Some(body)).unwrap();
            assert_eq!(found.as_deref(), expected, "{place:?}");
            for selector in place.selectors() {
                assert_eq!(selector.to_string().parse().as_ref(), Ok(selector));
            }
        }
        for bad in ["", "header", "header:", "key:x", "what:ever"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
