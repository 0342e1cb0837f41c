//! Which events of a source start runs: conditions on kind, headers and body.
//!
//! Pure. What does not fit is stored like any event and starts no run.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use crate::json;
use crate::trigger::KindPattern;

use super::scheme::selector::Selector;
use super::verify::Request;

/// A condition on events, made of conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them hold.
    All(Vec<Self>),
    /// One of them holds.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// The kind fits one of these.
    Kind(Vec<KindPattern>),
    /// The value at a place passes a test.
    Value(Selector, Test),
}

/// What a value must be. One that is missing or null passes only `Exists(false)` and
/// `NoneOf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// There, or not.
    Exists(bool),
    /// One of these.
    OneOf(Vec<Value>),
    /// None of these.
    NoneOf(Vec<Value>),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// A text with this in it, or a list with this among it.
    Contains(Value),
    /// A text that begins so.
    StartsWith(String),
    /// A text that ends so.
    EndsWith(String),
}

impl Filter {
    /// Whether an event of this kind fits; `json` is what its JSON document is.
    pub fn takes(&self, kind: &str, request: &Request<'_>, json: Option<&[u8]>) -> bool {
        let takes = |filter: &Self| filter.takes(kind, request, json);
        match self {
            Self::All(filters) => filters.iter().all(takes),
            Self::Any(filters) => filters.iter().any(takes),
            Self::Not(filter) => !takes(filter),
            Self::Kind(patterns) => patterns.iter().any(|pattern| pattern.matches(kind)),
            Self::Value(selector, test) => test.passes(&value(selector, request, json)),
        }
    }
}

/// The value at a place; null where there is none, or no JSON to look into.
fn value(selector: &Selector, request: &Request<'_>, json: Option<&[u8]>) -> Value {
    match selector {
        Selector::Pointer(pointer) => {
            let found = json.and_then(|json| json::value(json, pointer).ok().flatten());
            found.unwrap_or(Value::Null)
        }
        Selector::Header(_)
        | Selector::Query(_)
        | Selector::Form(_)
        | Selector::KeyEnding(_)
        | Selector::KeyOtherThan(_) => {
            let found = selector.find(request, json).ok().flatten();
            found.map_or(Value::Null, Value::String)
        }
    }
}

impl Test {
    fn passes(&self, value: &Value) -> bool {
        let is = |wanted: &Value| is_same(value, wanted);
        let stands = |limit: &Value| order(value, limit);
        match self {
            Self::Exists(wanted) => value.is_null() != *wanted,
            Self::OneOf(wanted) => wanted.iter().any(is),
            Self::NoneOf(unwanted) => !unwanted.iter().any(is),
            Self::Gt(limit) => stands(limit).is_some_and(Ordering::is_gt),
            Self::Gte(limit) => stands(limit).is_some_and(Ordering::is_ge),
            Self::Lt(limit) => stands(limit).is_some_and(Ordering::is_lt),
            Self::Lte(limit) => stands(limit).is_some_and(Ordering::is_le),
            Self::Contains(part) => match (value, part) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                (Value::Array(items), part) => items.iter().any(|item| is_same(item, part)),
                _ => false,
            },
            Self::StartsWith(start) => value.as_str().is_some_and(|text| text.starts_with(start)),
            Self::EndsWith(end) => value.as_str().is_some_and(|text| text.ends_with(end)),
        }
    }
}

fn is_same(value: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Number(_) => order(value, wanted) == Some(Ordering::Equal),
        other => value == other,
    }
}

/// How a value stands to a limit: numbers by size, texts by their bytes. Many senders write
/// amounts as texts, so a text that is a number stands to a number as one.
fn order(value: &Value, limit: &Value) -> Option<Ordering> {
    match (value, limit) {
        (Value::Number(value), Value::Number(limit)) => order_numbers(value, limit),
        (Value::String(value), Value::Number(limit)) => {
            order_numbers(&value.trim().parse().ok()?, limit)
        }
        (Value::String(value), Value::String(limit)) => Some(value.cmp(limit)),
        _ => None,
    }
}

/// Whole numbers exactly, others as floating-point ones.
fn order_numbers(value: &Number, limit: &Number) -> Option<Ordering> {
    match (value.as_i128(), limit.as_i128()) {
        (Some(value), Some(limit)) => Some(value.cmp(&limit)),
        _ => value.as_f64()?.partial_cmp(&limit.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Filter, Test};
    use crate::event::Headers;
    use crate::ingest::verify::Request;

    const BODY: &str = r#"{"total":12.5,"amount":"1099","paid":true,"note":null,"big":9007199254740993,
        "at":"2026-03-02T09:12:04Z","tags":["vip",7],"order":{"id":"A-17"}}"#;

    fn takes(filter: &Filter, kind: &str, body: &str) -> bool {
        let headers = Headers::new(vec![("x-shop".to_owned(), b"blue".to_vec())]);
        let request = Request {
            method: "POST",
            url: "https://h/x?mode=7",
            headers: &headers,
            body: body.as_bytes(),
        };
        filter.takes(kind, &request, Some(body.as_bytes()))
    }

    fn at(place: &str, test: Test) -> Filter {
        Filter::Value(place.parse().unwrap(), test)
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        let one = |value: Value| Test::OneOf(vec![value]);
        let none = |value: Value| Test::NoneOf(vec![value]);
        for (place, test, expected) in [
            ("/total", Test::Gt(json!(12)), true),
            ("/total", Test::Gt(json!(12.5)), false),
            ("/total", Test::Gte(json!(12.5)), true),
            ("/total", Test::Lt(json!(13)), true),
            ("/total", Test::Lte(json!(12.4)), false),
            ("/amount", Test::Gt(json!(999)), true),
            ("/amount", one(json!(1099)), true),
            ("/amount", one(json!("1099")), true),
            ("/amount", Test::Gt(json!("9")), false),
            ("/at", Test::Gte(json!("2026-03-01")), true),
            ("/at", Test::Gt(json!(5)), false),
            ("/big", one(json!(9_007_199_254_740_992_u64)), false),
            ("/big", Test::Gt(json!(9_007_199_254_740_992_u64)), true),
            ("/paid", one(json!(true)), true),
            ("/paid", one(json!("true")), false),
            ("/paid", Test::Gt(json!(0)), false),
            ("/order/id", Test::StartsWith("A-".to_owned()), true),
            ("/order/id", Test::EndsWith("18".to_owned()), false),
            ("/order/id", Test::Contains(json!("-1")), true),
            ("/tags", Test::Contains(json!("vip")), true),
            ("/tags", Test::Contains(json!(7)), true),
            ("/tags", Test::Contains(json!("v")), false),
            ("/tags/1", one(json!(7)), true),
            ("/order", Test::Exists(true), true),
            ("/order", Test::StartsWith(String::new()), false),
            ("/note", Test::Exists(true), false),
            ("/gone", Test::Exists(false), true),
            ("/gone", Test::Lt(json!(5)), false),
            ("/gone", one(json!(5)), false),
            ("/gone", none(json!(5)), true),
            ("/total", none(json!(12.5)), false),
            ("header:x-shop", one(json!("blue")), true),
            ("header:x-none", Test::Exists(false), true),
            ("query:mode", one(json!(7)), true),
        ] {
            assert_eq!(
                takes(&at(place, test.clone()), "k", BODY),
                expected,
                "{place} {test:?}"
            );
        }
    }

    #[test]
    fn conditions_are_joined() {
        let kind = |patterns: &[&str]| {
            Filter::Kind(patterns.iter().map(|text| text.parse().unwrap()).collect())
        };
        let paid = || at("/paid", Test::OneOf(vec![json!(true)]));
        let rich = || at("/total", Test::Gt(json!(100)));
        for (filter, expected) in [
            (kind(&["order.*"]), true),
            (kind(&["refund", "order.made"]), true),
            (kind(&["order"]), false),
            (Filter::All(vec![kind(&["order.*"]), paid()]), true),
            (Filter::All(vec![paid(), rich()]), false),
            (Filter::Any(vec![paid(), rich()]), true),
            (Filter::Any(vec![]), false),
            (Filter::All(vec![]), true),
            (Filter::Not(Box::new(rich())), true),
        ] {
            assert_eq!(takes(&filter, "order.made", BODY), expected, "{filter:?}");
        }
        // Where there is no JSON, nothing is there.
        assert!(!takes(&paid(), "order.made", "total=5"));
        assert!(takes(
            &at("/total", Test::Exists(false)),
            "order.made",
            "total=5"
        ));
    }
}
