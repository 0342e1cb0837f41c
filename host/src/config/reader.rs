//! Reads tables of settings and collects every problem, so that one look at a
//! configuration names all that is wrong with it.
//!
//! A value keeps its path (`sources.github.secret`). Values that came from the
//! environment are text and are read as what the key wants.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::units;

/// What all tables of one configuration share.
pub(crate) struct Reading<'a> {
    /// What relative paths are relative to.
    pub(crate) base: &'a Path,
    /// Paths of the keys that came from the environment.
    pub(crate) from_environment: &'a BTreeSet<String>,
    /// Looks up a variable for `{ env = "…" }`.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// One line per problem, naming the key.
    pub(crate) problems: RefCell<Vec<String>>,
    /// The files that were read, or were to be.
    pub(crate) files: &'a RefCell<BTreeSet<PathBuf>>,
    /// Those of them that hold a secret.
    pub(crate) secret_files: RefCell<BTreeSet<PathBuf>>,
    /// Whether a secret stands in the configuration's file itself.
    pub(crate) has_secrets: Cell<bool>,
}

/// One table; what is asked for is taken out, what is left over is unknown.
pub(crate) struct Table<'a> {
    path: String,
    entries: BTreeMap<String, Value>,
    known: BTreeSet<&'static str>,
    reading: &'a Reading<'a>,
}

impl<'a> Reading<'a> {
    /// Notes a problem with the value at `path`.
    pub(crate) fn problem(&self, path: &str, what: impl Display) {
        self.problems.borrow_mut().push(format!("{path}: {what}"));
    }

    /// A file that a setting names, relative to the configuration's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let file = self.base.join(name);
        self.files.borrow_mut().insert(file.clone());
        file
    }

    /// The same of a file that holds a secret.
    pub(crate) fn secret_file(&self, name: &str) -> PathBuf {
        let file = self.file(name);
        self.secret_files.borrow_mut().insert(file.clone());
        file
    }
}

impl<'a> Table<'a> {
    /// The table at `path`, which is empty at the top.
    pub(crate) fn new(path: String, value: toml::Table, reading: &'a Reading<'a>) -> Self {
        Self {
            path,
            entries: value.into_iter().collect(),
            known: BTreeSet::new(),
            reading,
        }
    }

    /// The full path of one of its keys; of the table itself for no key.
    pub(crate) fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// Where problems go.
    pub(crate) fn reading(&self) -> &'a Reading<'a> {
        self.reading
    }

    /// Notes a problem with one of its keys.
    pub(crate) fn problem(&self, key: &str, what: impl Display) {
        self.reading.problem(&self.path_of(key), what);
    }

    /// Whether a key is there and was not asked for yet.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The raw value of a key that is still to be asked for.
    pub(crate) fn peek(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// The raw value of a key.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.entries.remove(key)
    }

    /// Text.
    pub(crate) fn string(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => self.mistyped(key, "text in quotes", &other),
        }
    }

    /// A list of texts; empty without the key.
    pub(crate) fn strings(&mut self, key: &'static str) -> Vec<String> {
        let values = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => {
                return self
                    .mistyped(key, "a list of texts", &other)
                    .unwrap_or_default();
            }
        };
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            other => self.mistyped(key, "a list of texts", &other),
        };
        values.into_iter().filter_map(text).collect()
    }

    /// Text that a type can read.
    pub(crate) fn parse<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: Display,
    {
        let text = self.string(key)?;
        self.noted(key, text.parse::<T>())
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        match self.take(key)? {
            Value::Boolean(value) => Some(value),
            Value::String(text)
                if self.is_from_environment(key) && text.parse::<bool>().is_ok() =>
            {
                text.parse().ok()
            }
            other => self.mistyped(key, "`true` or `false`", &other),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn integer(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let number = match self.take(key)? {
            Value::Integer(number) => number,
            Value::String(text) if self.is_from_environment(key) && text.parse::<i64>().is_ok() => {
                text.parse().unwrap_or_default()
            }
            other => return self.mistyped(key, "a whole number", &other),
        };
        let found = u32::try_from(number)
            .ok()
            .filter(|number| bounds.contains(number));
        if found.is_none() {
            self.problem(
                key,
                format_args!("{number} is outside {} to {}", bounds.start(), bounds.end()),
            );
        }
        found
    }

    /// A number within bounds.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<f64>,
    ) -> Option<f64> {
        let number = match self.take(key)? {
            Value::Float(number) => number,
            Value::Integer(number) => f64::from(i32::try_from(number).unwrap_or(i32::MAX)),
            Value::String(text) if self.is_from_environment(key) && text.parse::<f64>().is_ok() => {
                text.parse().unwrap_or_default()
            }
            other => return self.mistyped(key, "a number", &other),
        };
        if bounds.contains(&number) {
            return Some(number);
        }
        self.problem(
            key,
            format_args!("{number} is outside {} to {}", bounds.start(), bounds.end()),
        );
        None
    }

    /// A duration within bounds, such as `30s`.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.string(key)?;
        let duration = self.noted(key, units::duration(&text))?;
        if bounds.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (
            units::readable_duration(*bounds.start()),
            units::readable_duration(*bounds.end()),
        );
        self.problem(key, format_args!("`{text}` is outside {least} to {most}"));
        None
    }

    /// A size in bytes within bounds, such as `64MiB`.
    pub(crate) fn size(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Option<u64> {
        let text = self.string(key)?;
        let bytes = self.noted(key, units::size(&text))?;
        if bounds.contains(&bytes) {
            return Some(bytes);
        }
        let (least, most) = (
            units::readable_size(*bounds.start()),
            units::readable_size(*bounds.end()),
        );
        self.problem(key, format_args!("`{text}` is outside {least} to {most}"));
        None
    }

    /// A path, taken relative to the configuration's folder.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.string(key).map(|text| self.reading.base.join(text))
    }

    /// A table within this one.
    pub(crate) fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        match self.take(key)? {
            Value::Table(table) => Some(Table::new(self.path_of(key), table, self.reading)),
            other => self.mistyped(key, "a table", &other),
        }
    }

    /// A table of tables, such as `sources`, by key.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<(String, Table<'a>)> {
        let Some(Value::Table(outer)) = self.take(key).or(Some(Value::Table(toml::Table::new())))
        else {
            self.problem(key, "must be a table of tables");
            return Vec::new();
        };
        let mut inner = Vec::new();
        for (name, value) in outer {
            let path = format!("{}.{name}", self.path_of(key));
            match value {
                Value::Table(table) => inner.push((name, Table::new(path, table, self.reading))),
                other => self.reading.problem(
                    &path,
                    format_args!("must be a table, not {}", other.type_str()),
                ),
            }
        }
        inner
    }

    /// What is left of the table, for keys that the user chooses.
    pub(crate) fn into_rest(self) -> BTreeMap<String, Value> {
        self.entries
    }

    /// Notes every key that nothing asked for.
    pub(crate) fn finish(self) {
        for key in self.entries.keys() {
            let path = self.path_of(key);
            match self.known.iter().find(|known| is_near(known, key)) {
                Some(known) => self
                    .reading
                    .problem(&path, format_args!("unknown key; did you mean `{known}`?")),
                None => self.reading.problem(&path, "unknown key"),
            }
        }
    }

    /// The value of a result, its error noted.
    pub(crate) fn noted<T, E: Display>(&self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problem(key, error)).ok()
    }

    fn is_from_environment(&self, key: &str) -> bool {
        self.reading.from_environment.contains(&self.path_of(key))
    }

    fn mistyped<T>(&self, key: &str, wanted: &str, found: &Value) -> Option<T> {
        self.problem(
            key,
            format_args!("must be {wanted}, not {}", found.type_str()),
        );
        None
    }
}

/// Whether one key may have been meant by the other: at most two edits away.
fn is_near(known: &str, given: &str) -> bool {
    strsim::damerau_levenshtein(known, &given.to_ascii_lowercase()) <= 2
}
