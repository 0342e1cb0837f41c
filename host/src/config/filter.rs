//! `filter`: which events of a source start runs.

use toml::Value;

use crate::ingest::filter::{Filter, Test};
use crate::ingest::scheme::selector::Selector;
use crate::trigger::KindPattern;

use super::reader::{Reading, Table};

/// Tables of conditions in each other.
const DEPTH_MAX: usize = 8;
/// What a condition on a value may say.
const TESTS: &str = "`eq`, `ne`, `gt`, `gte`, `lt`, `lte`, `in`, `not_in`, `exists`, `contains`, \
                     `starts_with` and `ends_with`";

/// Reads a filter's table and notes its problems.
pub(super) fn read(table: Table<'_>) -> Filter {
    let (path, reading) = (table.path_of(""), table.reading());
    Reader { reading }.all(&path, table.into_rest(), DEPTH_MAX)
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    reading: &'a Reading<'a>,
}

impl Reader<'_> {
    /// A table: every one of its conditions must hold.
    fn all(
        self,
        path: &str,
        entries: impl IntoIterator<Item = (String, Value)>,
        depth: usize,
    ) -> Filter {
        let mut filters = Vec::new();
        for (key, value) in entries {
            let path = format!("{path}.{key}");
            match key.as_str() {
                "kind" => filters.extend(self.kinds(&path, value)),
                "any" => filters.extend(self.any(&path, value, depth)),
                "not" => filters.extend(
                    self.nested(&path, value, depth)
                        .map(|filter| Filter::Not(Box::new(filter))),
                ),
                place => match place.parse::<Selector>() {
                    Ok(selector) => {
                        let tests = self.tests(&path, value).into_iter();
                        filters.extend(tests.map(|test| Filter::Value(selector.clone(), test)));
                    }
                    Err(_) => self.reading.problem(
                        &path,
                        "is no condition: use `kind`, `any`, `not`, `/POINTER`, `header:NAME`, \
                         `query:NAME` or `form:NAME`",
                    ),
                },
            }
        }
        Filter::All(filters)
    }

    fn nested(self, path: &str, value: Value, depth: usize) -> Option<Filter> {
        match value {
            Value::Table(table) if depth > 0 => Some(self.all(path, table, depth - 1)),
            Value::Table(_) => self.wrong(path, "is nested too deeply"),
            _ => self.wrong(path, "must be a table of conditions"),
        }
    }

    fn any(self, path: &str, value: Value, depth: usize) -> Option<Filter> {
        let Value::Array(tables) = value else {
            return self.wrong(path, "must be a list of tables of conditions");
        };
        if tables.is_empty() {
            return self.wrong(path, "is empty, which nothing could fit");
        }
        let nested = tables.into_iter().enumerate();
        let nested =
            nested.filter_map(|(n, table)| self.nested(&format!("{path}[{n}]"), table, depth));
        Some(Filter::Any(nested.collect()))
    }

    /// One pattern or several, of which one must fit.
    fn kinds(self, path: &str, value: Value) -> Option<Filter> {
        let texts = match value {
            Value::Array(texts) if !texts.is_empty() => texts,
            text @ Value::String(_) => vec![text],
            _ => return self.wrong(path, "must be a kind, or a list of kinds"),
        };
        let read = |text: Value| match text.as_str().map(str::parse::<KindPattern>) {
            Some(Ok(pattern)) => Some(pattern),
            Some(Err(error)) => self.wrong(path, &error.to_string()),
            None => self.wrong(path, "must be a kind, or a list of kinds"),
        };
        Some(Filter::Kind(texts.into_iter().filter_map(read).collect()))
    }

    /// A value, a list of values, or a table of tests that must all pass.
    fn tests(self, path: &str, value: Value) -> Vec<Test> {
        match value {
            Value::Table(tests) if tests.is_empty() => {
                self.reading
                    .problem(path, format_args!("says nothing: use {TESTS}"));
                Vec::new()
            }
            Value::Table(tests) => {
                let tests = tests.into_iter();
                tests
                    .filter_map(|(word, value)| self.test(&format!("{path}.{word}"), &word, value))
                    .collect()
            }
            Value::Array(_) => self
                .list(path, value)
                .map(Test::OneOf)
                .into_iter()
                .collect(),
            one => {
                let value = self.scalar(path, one);
                value
                    .map(|value| Test::OneOf(vec![value]))
                    .into_iter()
                    .collect()
            }
        }
    }

    fn test(self, path: &str, word: &str, value: Value) -> Option<Test> {
        match word {
            "eq" => Some(Test::OneOf(vec![self.scalar(path, value)?])),
            "ne" => Some(Test::NoneOf(vec![self.scalar(path, value)?])),
            "in" => self.list(path, value).map(Test::OneOf),
            "not_in" => self.list(path, value).map(Test::NoneOf),
            "gt" => self.limit(path, value).map(Test::Gt),
            "gte" => self.limit(path, value).map(Test::Gte),
            "lt" => self.limit(path, value).map(Test::Lt),
            "lte" => self.limit(path, value).map(Test::Lte),
            "contains" => self.scalar(path, value).map(Test::Contains),
            "starts_with" => self.text(path, value).map(Test::StartsWith),
            "ends_with" => self.text(path, value).map(Test::EndsWith),
            "exists" => match value {
                Value::Boolean(wanted) => Some(Test::Exists(wanted)),
                _ => self.wrong(path, "must be `true` or `false`"),
            },
            _ => self.wrong(path, &format!("is no test: use {TESTS}")),
        }
    }

    fn list(self, path: &str, value: Value) -> Option<Vec<serde_json::Value>> {
        match value {
            Value::Array(values) if !values.is_empty() => {
                let values = values.into_iter();
                values.map(|value| self.scalar(path, value)).collect()
            }
            _ => self.wrong(path, "must be a list of values"),
        }
    }

    /// What something can be greater or less than.
    fn limit(self, path: &str, value: Value) -> Option<serde_json::Value> {
        match self.scalar(path, value)? {
            serde_json::Value::Bool(_) => self.wrong(path, "must be a number, a text or a date"),
            limit => Some(limit),
        }
    }

    fn text(self, path: &str, value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            _ => self.wrong(path, "must be text in quotes"),
        }
    }

    /// A single value; dates are compared as they are written (RFC 3339).
    fn scalar(self, path: &str, value: Value) -> Option<serde_json::Value> {
        match value {
            Value::String(text) => Some(text.into()),
            Value::Integer(number) => Some(number.into()),
            Value::Boolean(value) => Some(value.into()),
            Value::Datetime(at) => Some(at.to_string().into()),
            Value::Float(number) if number.is_finite() => Some(number.into()),
            Value::Float(_) | Value::Array(_) | Value::Table(_) => {
                self.wrong(path, "must be text, a number, `true` or `false`")
            }
        }
    }

    fn wrong<T>(self, path: &str, problem: &str) -> Option<T> {
        self.reading.problem(path, problem);
        None
    }
}
