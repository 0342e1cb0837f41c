//! A page as it stands.

use serde::Serialize;

use crate::{Date, Value};

/// A page and what its columns say. Its JSON is `{"page": ID, "url": URL}`, for a
/// [`Success`](hookbay_plugin::Success)'s data.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Page {
    /// Its id.
    #[serde(rename = "page")]
    pub id: String,
    /// Where people see it.
    pub url: String,
    #[serde(skip)]
    pub(crate) values: Vec<(&'static str, Value)>,
}

impl Page {
    /// The value of a column, unless it is empty.
    #[must_use]
    pub fn value(&self, column: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        let (_, value) = values.find(|(own, _)| *own == column)?;
        Some(value)
    }

    /// The same of a column with text.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.value(column)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Date(_) => None,
        }
    }

    /// The same of a column with numbers.
    #[must_use]
    pub fn number(&self, column: &str) -> Option<f64> {
        match self.value(column)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) | Value::Date(_) => None,
        }
    }

    /// The same of a column with dates.
    #[must_use]
    pub fn date(&self, column: &str) -> Option<&Date> {
        match self.value(column)? {
            Value::Date(date) => Some(date),
            Value::Text(_) | Value::Number(_) => None,
        }
    }
}
