//! What is signed: literals and parts of the request in the sender's order.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::ingest::verify::request::FORM;
use crate::ingest::verify::{Rejection, Request};
use crate::json::{self, Pointer};

use super::SchemeError;
use super::selector::HeaderNames;

/// What `{url-unescaped}` has without escapes.
const UNESCAPED: &str = ":/?@!$'()*,;";

/// What is signed, such as `{timestamp}.{body}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Timestamp,
    Body,
    Method,
    Url,
    /// The address without the escapes that nothing needs: HubSpot's way.
    UrlUnescaped,
    Secret,
    Header(HeaderNames),
    /// A parameter of the address, maybe in lower case.
    Query {
        name: String,
        is_lower: bool,
    },
    /// A value of the JSON body (of the item, where a scheme has items); an optional one
    /// that is not there is empty.
    Json {
        pointer: Pointer,
        is_optional: bool,
    },
    /// Names and values of the form, sorted, without anything between.
    Form,
    /// The field of a form or, without a body, of the query; else the body.
    Payload(String),
}

/// A stretch of what is signed.
#[derive(Debug)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(Cow<'a, [u8]>),
    /// The key itself, in the schemes that hash it with the rest.
    Secret,
}

/// What the parts of a template stand for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The time of signing as it was sent.
    pub timestamp: &'a str,
    /// The JSON in which pointers look: the body, or one of its items.
    pub json: &'a [u8],
}

impl Template {
    /// What is signed in one request.
    ///
    /// # Errors
    /// A part that must be there is not, is there twice, or cannot be read.
    pub fn render<'a>(&'a self, scope: Scope<'a>) -> Result<Vec<Piece<'a>>, Rejection> {
        let piece = |part| render(part, scope);
        self.parts.iter().map(piece).collect()
    }

    /// Whether the time of signing is part of it.
    pub fn has_timestamp(&self) -> bool {
        self.parts.contains(&Part::Timestamp)
    }

    /// Whether the key is part of it.
    pub fn has_secret(&self) -> bool {
        self.parts.contains(&Part::Secret)
    }

    /// Whether the address is part of it.
    pub fn has_url(&self) -> bool {
        self.parts.contains(&Part::Url) || self.parts.contains(&Part::UrlUnescaped)
    }

    /// Whether it holds all of the body.
    pub fn covers_body(&self) -> bool {
        let is_body = |part: &Part| matches!(part, Part::Body | Part::Form | Part::Payload(_));
        self.parts.iter().any(is_body)
    }

    /// The headers that are part of it.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderNames> {
        self.parts.iter().filter_map(|part| match part {
            Part::Header(names) => Some(names),
            _ => None,
        })
    }

    /// The parameters of the address that are part of it.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Query { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }
}

fn render<'a>(part: &'a Part, scope: Scope<'a>) -> Result<Piece<'a>, Rejection> {
    let request = scope.request;
    let bytes: Cow<'a, [u8]> = match part {
        Part::Literal(text) => text.as_bytes().into(),
        Part::Timestamp => scope.timestamp.as_bytes().into(),
        Part::Body => request.body.into(),
        Part::Method => request.method.as_bytes().into(),
        Part::Url => request.url.as_bytes().into(),
        Part::UrlUnescaped => unescaped(request.url).into_bytes().into(),
        Part::Secret => return Ok(Piece::Secret),
        Part::Header(names) => names
            .only(request.headers)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Rejection::MissingPart(format!("header `{names}`")))?
            .into(),
        Part::Query { name, is_lower } => {
            let value = request.query_once(name)?;
            let value = value.filter(|value| !value.is_empty());
            let mut value =
                value.ok_or_else(|| Rejection::MissingPart(format!("query `{name}`")))?;
            if *is_lower {
                value.make_ascii_lowercase();
            }
            value.into_bytes().into()
        }
        Part::Json {
            pointer,
            is_optional,
        } => match json_value(scope.json, pointer)? {
            Some(text) => text.into_bytes().into(),
            None if *is_optional => Cow::default(),
            None => return Err(Rejection::MissingPart(format!("`{pointer}` in the body"))),
        },
        // Of a body that is no form, nothing would be signed.
        Part::Form if !request.is_form() && !request.body.is_empty() => {
            return Err(Rejection::Requirement {
                place: "header `content-type`".to_owned(),
                wanted: FORM.to_owned(),
            });
        }
        Part::Form => request.sorted_form().into(),
        Part::Payload(field) => request.payload(field)?,
    };
    Ok(Piece::Bytes(bytes))
}

/// An address in which the characters of [`UNESCAPED`] stand for themselves.
fn unescaped(url: &str) -> String {
    let mut parts = url.split('%');
    let mut unescaped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2);
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.map(char::from).filter(|one| UNESCAPED.contains(*one)) {
            Some(one) => {
                unescaped.push(one);
                unescaped.push_str(&part[2..]);
            }
            None => {
                unescaped.push('%');
                unescaped.push_str(part);
            }
        }
    }
    unescaped
}

/// A scalar in JSON that proves something: its keys must not be repeated.
pub(super) fn json_value(json: &[u8], pointer: &Pointer) -> Result<Option<String>, Rejection> {
    let found = json::find_once(json, pointer).map_err(Rejection::unreadable_body)?;
    found.map_or(Ok(None), |raw| {
        json::scalar(raw).map_err(Rejection::unreadable_body)
    })
}

impl FromStr for Template {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Self, SchemeError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (literal, from_open) = rest.split_at(open);
            let end = from_open
                .find('}')
                .ok_or_else(|| SchemeError::Part(from_open.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(part(&from_open[1..end])?);
            rest = &from_open[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self {
            parts,
            text: text.to_owned(),
        })
    }
}

fn part(name: &str) -> Result<Part, SchemeError> {
    let unknown = || SchemeError::Part(format!("{{{name}}}"));
    let json = |pointer: &str, is_optional| {
        let pointer = pointer.parse().map_err(|_| unknown())?;
        Ok(Part::Json {
            pointer,
            is_optional,
        })
    };
    match name.split_once(':') {
        None => match name {
            "timestamp" => Ok(Part::Timestamp),
            "body" => Ok(Part::Body),
            "method" => Ok(Part::Method),
            "url" => Ok(Part::Url),
            "url-unescaped" => Ok(Part::UrlUnescaped),
            "secret" => Ok(Part::Secret),
            "form" => Ok(Part::Form),
            _ => Err(unknown()),
        },
        Some(("header", names)) => names.parse().map(Part::Header),
        Some((place @ ("query" | "query-lower"), name)) if !name.is_empty() => Ok(Part::Query {
            name: name.to_owned(),
            is_lower: place == "query-lower",
        }),
        Some(("json", pointer)) => json(pointer, false),
        Some(("json?", pointer)) => json(pointer, true),
        Some(("payload", field)) if !field.is_empty() => Ok(Part::Payload(field.to_owned())),
        Some(_) => Err(unknown()),
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, Scope, Template};
    use crate::event::Headers;
    use crate::ingest::verify::Request;

    fn render(template: &str, content_type: &str, body: &[u8]) -> Result<String, String> {
        let headers = Headers::new(vec![
            ("content-type".into(), content_type.into()),
            ("x-id".into(), b"msg_1".to_vec()),
        ]);
        let request = Request {
            method: "PUT",
            url: "https://h/x?payload=q&id=M1",
            headers: &headers,
            body,
        };
        let template: Template = template.parse().unwrap();
        let scope = Scope {
            request: &request,
            timestamp: "17",
            json: body,
        };
        let pieces = template
            .render(scope)
            .map_err(|rejection| rejection.to_string())?;
        let text = |piece: &Piece<'_>| match piece {
            Piece::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Piece::Secret => "SECRET".to_owned(),
        };
        Ok(pieces.iter().map(text).collect())
    }

    #[test]
    fn parts_stand_for_the_request() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        for (template, content_type, body, expected) in [
            ("v0:{timestamp}:{body}", "", "b", "v0:17:b"),
            (
                "{header:gone|x-id}.{timestamp}.{body}",
                "",
                "b",
                "msg_1.17.b",
            ),
            (
                "{secret}{method}{url}",
                "",
                "",
                "SECRETPUThttps://h/x?payload=q&id=M1",
            ),
            (
                "{json:/a/b}:{json?:/c}:{json?:/n}",
                "",
                r#"{"a":{"b":"\u00e9"},"n":null}"#,
                "é::",
            ),
            (
                "{url}{form}",
                form,
                "b=2&a=1&c=%20+",
                "https://h/x?payload=q&id=M1a1b2c  ",
            ),
            ("{payload:payload}", form, "x=1&payload=%7B%7D", "{}"),
            ("{payload:payload}", "application/json", "{ }", "{ }"),
            ("{payload:payload}", "", "", "q"),
            ("{query:payload}:{body}", form, "payload=b", "q:payload=b"),
            ("{query-lower:id}.{query:id}", "", "", "m1.M1"),
        ] {
            assert_eq!(
                render(template, content_type, body.as_bytes()).as_deref(),
                Ok(expected)
            );
        }
        for (template, content_type, body) in [
            ("{header:gone}", "", ""),
            ("{query:gone}", form, "gone=1"),
            ("{json:/a}", "", "{}"),
            ("{json:/a}", "", r#"{"a":1,"a":1}"#),
            ("{json:/a}", "", "a"),
            ("{url}{form}", "application/json", "{}"),
            ("{payload:payload}", form, "x=1"),
            ("{payload:payload}", form, "payload=1&payload=2"),
        ] {
            assert!(
                render(template, content_type, body.as_bytes()).is_err(),
                "{template} {body}"
            );
        }
    }

    /// The characters are those of the table in HubSpot's page on validating requests.
    #[test]
    fn escapes_that_nothing_needs_are_undone() {
        for (url, expected) in [
            ("https://h/a%2Fb%3a?c=%40%20%2C", "https://h/a/b:?c=@%20,"),
            ("https://h/%", "https://h/%"),
            ("https://h/%2", "https://h/%2"),
            ("https://h/%é%zz%25", "https://h/%é%zz%25"),
            ("", ""),
        ] {
            assert_eq!(super::unescaped(url), expected);
        }
    }

    #[test]
    fn templates_say_what_they_cover() {
        for (text, covers_body, has_timestamp) in [
            ("{timestamp}.{body}", true, true),
            ("{url}{form}", true, false),
            ("{timestamp}{json:/token}", false, true),
            ("", false, false),
        ] {
            let template: Template = text.parse().unwrap();
            assert_eq!(template.covers_body(), covers_body, "{text}");
            assert_eq!(template.has_timestamp(), has_timestamp, "{text}");
            assert_eq!(template.to_string(), text);
        }
        for bad in [
            "{body",
            "{nonce}",
            "{header:}",
            "{json:a}",
            "{payload:}",
            "{query:}",
            "{}",
        ] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
