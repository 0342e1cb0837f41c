//! The header fields of signatures and digests: as much of Structured Fields (RFC 9651) as they use.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hookbay_plugin::verifier::{Reason, Rejection};

/// One member of `Signature-Input`: what is signed, and how.
pub(crate) struct Input<'a> {
    pub(crate) label: &'a str,
    pub(crate) components: Vec<String>,
    pub(crate) parameters: Vec<(&'a str, Value)>,
    /// Its value as it was sent, which is signed too.
    pub(crate) text: &'a str,
}

/// The value of a parameter.
#[derive(Debug)]
pub(crate) enum Value {
    Integer(u64),
    Text(String),
    /// Anything else, which nothing here reads.
    Other,
}

/// The members of `Signature-Input`.
pub(crate) fn inputs(text: &str) -> Result<Vec<Input<'_>>, Rejection> {
    members(text, "signature-input", |reader, label| {
        let before = reader.rest;
        let components = reader.components()?;
        let parameters = reader.parameters()?;
        let text = &before[..before.len() - reader.rest.len()];
        Some(Input {
            label,
            components,
            parameters,
            text,
        })
    })
}

/// The members of `Signature` or `Content-Digest`: labels with bytes.
pub(crate) fn bytes<'a>(header: &str, text: &'a str) -> Result<Vec<(&'a str, Vec<u8>)>, Rejection> {
    members(text, header, |reader, label| {
        let bytes = reader.bytes()?;
        reader.parameters()?;
        Some((label, bytes))
    })
}

/// A dictionary whose labels are all different.
fn members<'a, T>(
    text: &'a str,
    header: &str,
    mut value: impl FnMut(&mut Reader<'a>, &'a str) -> Option<T>,
) -> Result<Vec<T>, Rejection> {
    let malformed = || {
        let detail = format!("`{header}` is not written as RFC 9421 says");
        Rejection::new(Reason::MalformedSignature, detail)
    };
    let mut reader = Reader {
        rest: text.trim_matches([' ', '\t']),
    };
    let (mut labels, mut members) = (Vec::new(), Vec::new());
    loop {
        let label = reader.key().ok_or_else(malformed)?;
        if labels.contains(&label) || !reader.takes('=') {
            return Err(malformed());
        }
        labels.push(label);
        members.push(value(&mut reader, label).ok_or_else(malformed)?);
        reader.skip_blank();
        if reader.rest.is_empty() {
            return Ok(members);
        }
        if !reader.takes(',') {
            return Err(malformed());
        }
        reader.skip_blank();
    }
}

/// What is left of a field.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn takes(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// What comes before the first character that does not belong.
    fn while_is(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|next| !belongs(next));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn key(&mut self) -> Option<&'a str> {
        let key = self.while_is(|next| {
            next.is_ascii_lowercase() || next.is_ascii_digit() || "_-.*".contains(next)
        });
        let is_key = key.starts_with(|first: char| first.is_ascii_lowercase() || first == '*');
        is_key.then_some(key)
    }

    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        if !self.takes('"') {
            return None;
        }
        let mut chars = self.rest.char_indices();
        while let Some((at, next)) = chars.next() {
            match next {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => return None,
                },
                ' '..='~' => text.push(next),
                _ => return None,
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        if !self.takes(':') {
            return None;
        }
        let text = self.while_is(|next| next != ':');
        let bytes = STANDARD.decode(text).ok()?;
        self.takes(':').then_some(bytes)
    }

    /// An inner list of texts without parameters: those change what a component means.
    fn components(&mut self) -> Option<Vec<String>> {
        let mut components = Vec::new();
        if !self.takes('(') {
            return None;
        }
        loop {
            self.while_is(|next| next == ' ');
            if self.takes(')') {
                return Some(components);
            }
            let component = self.text()?;
            if components.contains(&component) || !self.rest.starts_with([' ', ')']) {
                return None;
            }
            components.push(component);
        }
    }

    fn parameters(&mut self) -> Option<Vec<(&'a str, Value)>> {
        let mut parameters: Vec<(&str, Value)> = Vec::new();
        while self.takes(';') {
            self.while_is(|next| next == ' ');
            let key = self.key()?;
            let value = if self.takes('=') {
                self.value()?
            } else {
                Value::Other
            };
            if parameters.iter().any(|(known, _)| *known == key) {
                return None;
            }
            parameters.push((key, value));
        }
        Some(parameters)
    }

    fn value(&mut self) -> Option<Value> {
        match self.rest.chars().next()? {
            '"' => self.text().map(Value::Text),
            ':' => self.bytes().map(|_| Value::Other),
            '0'..='9' => {
                let digits = self.while_is(|next| next.is_ascii_digit());
                // RFC 9651: at most 15 digits; a decimal is no time.
                let integer = digits.parse().ok().filter(|_| digits.len() <= 15)?;
                (!self.rest.starts_with('.')).then_some(Value::Integer(integer))
            }
            _ => {
                let token =
                    self.while_is(|next| next.is_ascii_graphic() && !";,()\"".contains(next));
                (!token.is_empty()).then_some(Value::Other)
            }
        }
    }
}
