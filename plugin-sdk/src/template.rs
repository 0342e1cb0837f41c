//! Texts with placeholders that an event fills in, for plugins whose operator writes the
//! text.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{/order/id}` | what a JSON Pointer (RFC 6901) finds in the body |
//! | `{kind}`, `{source}`, `{provider}`, `{id}`, `{delivery_id}` | what the host knows of the event |
//! | `{/customer/name\|somebody}` | the text behind the bar where there is nothing |
//! | `{{` and `}}` | one brace |
//!
//! ```
//! use hookbay_plugin::{template::{Template, Values}, testing};
//! use serde_json::json;
//!
//! let template = Template::parse("Order {/order/id}: {/order/total} {/currency|EUR}")?;
//! let order = json!({"order": {"id": "A-7", "total": 84.9}});
//! let event = testing::json_event("shop", "order.paid", &order);
//!
//! let text = template.fill(&Values::of(&event), str::to_owned);
//! assert_eq!(text, "Order A-7: 84.9 EUR");
//! # Ok::<(), hookbay_plugin::template::Error>(())
//! ```
//!
//! What comes from outside goes through a function of the caller's, which makes it
//! harmless where the text is going: escapes it, or takes out what notifies people. The
//! operator's own text is left as it is.

use std::{borrow::Cow, error, fmt};

use serde_json::Value;

use crate::{Event, Failure, config};

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// What placeholders of one event become. Its body is read once, for any number of
/// templates.
#[derive(Debug)]
pub struct Values<'a> {
    event: &'a Event,
    /// Null where the body is not JSON.
    body: Value,
}

/// Why a text is no template. `?` turns it into a permanent [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder {
        place: Place,
        fallback: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Kind,
    Source,
    Provider,
    Id,
    DeliveryId,
    Pointer(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`Error`] if a brace is left open or stands alone, or a placeholder has no such
    /// name.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braces) = rest.split_at(at);
            literal.push_str(before);
            if let Some(behind) = braces.strip_prefix("{{") {
                literal.push('{');
                rest = behind;
            } else if let Some(behind) = braces.strip_prefix("}}") {
                literal.push('}');
                rest = behind;
            } else if let Some(inside) = braces.strip_prefix('{') {
                let (inside, behind) = inside.split_once('}').ok_or_else(|| {
                    Error(format!(
                        "`{braces}` has no closing brace; `{{{{` is a brace"
                    ))
                })?;
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::placeholder(inside)?);
                rest = behind;
            } else {
                return Err(Error(format!(
                    "`{braces}` closes nothing; `}}}}` is a brace"
                )));
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The template under a configuration key, or `default` where that is not set.
    ///
    /// # Errors
    ///
    /// [`Failure::Permanent`] that names the key and what is wrong with its text.
    pub fn from_config(key: &str, default: &str) -> Result<Self, Failure> {
        let text = config::get(key).map_or(Cow::Borrowed(default), Cow::Owned);
        Self::parse(&text).map_err(|error| Failure::permanent(format!("config.{key}: {error}")))
    }

    /// The text for one event. Each value goes through `harmless`; where there is none
    /// and no fallback, the text says so.
    #[must_use]
    pub fn fill(&self, values: &Values<'_>, harmless: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Placeholder { place, fallback } => match (values.at(place), fallback) {
                    (Some(value), _) => text.push_str(&harmless(&value)),
                    (None, Some(fallback)) => text.push_str(fallback),
                    (None, None) => text.push_str(&format!("(no {place})")),
                },
            }
        }
        text
    }
}

impl Part {
    fn placeholder(inside: &str) -> Result<Self, Error> {
        let (name, fallback) = match inside.split_once('|') {
            Some((name, fallback)) => (name, Some(fallback.to_owned())),
            None => (inside, None),
        };
        let place = match name.trim() {
            "kind" => Place::Kind,
            "source" => Place::Source,
            "provider" => Place::Provider,
            "id" => Place::Id,
            "delivery_id" => Place::DeliveryId,
            pointer if pointer.starts_with('/') => Place::Pointer(pointer.to_owned()),
            other => {
                return Err(Error(format!(
                    "`{{{other}}}` is no placeholder; there are `{{kind}}`, `{{source}}`, \
                     `{{provider}}`, `{{id}}`, `{{delivery_id}}`, and pointers into the body \
                     such as `{{/order/id}}`"
                )));
            }
        };
        Ok(Self::Placeholder { place, fallback })
    }
}

impl<'a> Values<'a> {
    /// Those of this event. A body that is not JSON has none.
    #[must_use]
    pub fn of(event: &'a Event) -> Self {
        Self {
            event,
            body: serde_json::from_slice(&event.body).unwrap_or_default(),
        }
    }

    /// Text as it is, other values as JSON; nothing for null.
    fn at(&self, place: &Place) -> Option<Cow<'_, str>> {
        let event = self.event;
        Some(match place {
            Place::Kind => Cow::Borrowed(&event.kind),
            Place::Source => Cow::Borrowed(&event.source),
            Place::Provider => Cow::Borrowed(&event.provider),
            Place::Id => Cow::Borrowed(&event.id),
            Place::DeliveryId => Cow::Borrowed(event.delivery_id.as_deref()?),
            Place::Pointer(pointer) => match self.body.pointer(pointer)? {
                Value::Null => return None,
                Value::String(text) => Cow::Borrowed(text),
                value
                @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    Cow::Owned(value.to_string())
                }
            },
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "kind",
            Self::Source => "source",
            Self::Provider => "provider",
            Self::Id => "id",
            Self::DeliveryId => "delivery_id",
            Self::Pointer(pointer) => pointer,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::permanent(error)
    }
}
