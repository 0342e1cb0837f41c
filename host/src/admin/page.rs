//! Lists: `{"items": […], "next_cursor": …}`, newest first, and their parameters.
//!
//! Parameters are taken out one by one and parsed; what is left over is refused,
//! so that a misspelt filter does not silently select everything.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::config::units;

use super::AdminError;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 1000;
/// The parameters that are times, which JSON may have as numbers.
const TIMES: [&str; 2] = ["since", "until"];

/// One page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Given back as `cursor`, continues behind the last item; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// The parameters of a request.
pub(super) struct Parameters(BTreeMap<String, String>);

impl<T: Serialize> Page<T> {
    /// A page of at most `limit` of `items`, which hold one more if there is more.
    pub(super) fn new(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if is_more {
            items.last().map(cursor)
        } else {
            None
        };
        Self { items, next_cursor }
    }

    /// A page that ends where it was looked no further, if it is not full.
    pub(super) fn or_behind(mut self, looked_to: Option<String>) -> Self {
        self.next_cursor = self.next_cursor.or(looked_to);
        self
    }

    /// The page as an answer.
    pub(super) fn json(self) -> Json<Self> {
        Json(self)
    }
}

impl Parameters {
    /// The same parameters as the members of an object, for bulk work. Nothing may
    /// be empty: who forgets a value does not mean everything.
    pub(super) fn of_object(
        object: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, AdminError> {
        let text = |(name, value): (String, serde_json::Value)| match value {
            serde_json::Value::String(text) if !text.is_empty() => Ok((name, text)),
            serde_json::Value::Number(number) if TIMES.contains(&name.as_str()) => {
                // `5.0` is the number `5`, however it is written.
                let whole = number.as_f64().filter(|number| number.fract() == 0.0);
                let text = whole.map_or_else(|| number.to_string(), |whole| format!("{whole}"));
                Ok((name, text))
            }
            _ => Err(AdminError::Invalid(format!(
                "parameter `{name}` of the filter must be a text that is not empty"
            ))),
        };
        object
            .into_iter()
            .map(text)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// One parameter, if it was given.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// One parameter, parsed.
    pub(super) fn parse<T>(&mut self, name: &str) -> Result<Option<T>, AdminError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error| AdminError::Invalid(format!("parameter `{name}` is wrong: {error}")))
    }

    /// A time: RFC 3339, or Unix seconds.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, AdminError> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let time = Timestamp::parse(&text);
        let wrong = || {
            AdminError::Invalid(format!(
                "parameter `{name}` is not a time such as `2026-11-22T01:30:00Z`"
            ))
        };
        time.ok_or_else(wrong).map(Some)
    }

    /// A place in a list that has numbers.
    pub(super) fn place(&mut self, name: &str) -> Result<Option<i64>, AdminError> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let wrong =
            || AdminError::Invalid(format!("parameter `{name}` is wrong: `{text}` is no place"));
        units::place(&text).ok_or_else(wrong).map(Some)
    }

    /// How many items a page has.
    pub(super) fn limit(&mut self) -> Result<u32, AdminError> {
        let limit = self.place("limit")?.unwrap_or(LIMIT_DEFAULT.into());
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(limit);
        }
        Err(AdminError::Invalid(format!(
            "parameter `limit` is {limit}, but a page has 1 to {LIMIT_MAX} items"
        )))
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<(), AdminError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(AdminError::Invalid(format!(
                "parameter `{name}` is not known here"
            ))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|error| AdminError::Invalid(error.to_string()))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs {
            if value.is_empty() {
                return Err(AdminError::Invalid(format!(
                    "parameter `{name}` is empty; leave it out, or give it a value"
                )));
            }
            if let Some((name, _)) = parameters
                .insert(name.clone(), value)
                .map(|value| (name, value))
            {
                return Err(AdminError::Invalid(format!(
                    "parameter `{name}` is given twice"
                )));
            }
        }
        Ok(Self(parameters))
    }
}
