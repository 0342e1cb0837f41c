//! Settings from the environment: the only place that reads it.
//!
//! `HOOKBAY_SOURCES__GITHUB__SECRET` sets `sources.github.secret`: two
//! underscores part the levels, `-` is `_`, case is ignored, lists and tables
//! are JSON.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// Variables with our prefix that are not settings (design, section 3.3).
const NOT_SETTINGS: [&str; 2] = ["HOOKBAY_ADMIN_TOKEN", "HOOKBAY_ADMIN_URL"];
/// What begins so is for the project's own tests.
const FOR_TESTS: &str = "HOOKBAY_TEST_";

/// The variables of this process, or a table of them in tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process; variables that are not UTF-8 are left out.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// An environment of the given variables.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    /// One variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Lays the settings over `root`; returns the paths that were set, and
    /// notes what could not be.
    pub(super) fn overlay(&self, root: &mut Table, problems: &mut Vec<String>) -> BTreeSet<String> {
        let mut set = BTreeSet::new();
        for (name, text) in &self.0 {
            let Some(rest) = name.strip_prefix("HOOKBAY_") else {
                continue;
            };
            if NOT_SETTINGS.contains(&name.as_str()) || name.starts_with(FOR_TESTS) {
                continue;
            }
            let levels: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
            if levels.iter().any(String::is_empty) {
                problems.push(format!("{name}: has an empty part between its underscores"));
                continue;
            }
            match place(root, &levels, value_of(text), &mut Vec::new()) {
                Ok(path) if !set.insert(path.clone()) => {
                    problems.push(format!("{name}: another variable sets `{path}` too"));
                }
                Ok(_) => {}
                Err(problem) => problems.push(format!("{name}: {problem}")),
            }
        }
        set
    }
}

/// JSON where the text looks like a list or table, else the text itself.
fn value_of(text: &str) -> Value {
    let looks_like_json = text.starts_with(['[', '{']);
    match serde_json::from_str::<Value>(text) {
        Ok(value) if looks_like_json => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Puts a value at a path, following keys that are spelt with `-`.
fn place(
    table: &mut Table,
    levels: &[String],
    value: Value,
    walked: &mut Vec<String>,
) -> Result<String, String> {
    let Some((first, rest)) = levels.split_first() else {
        return Err("names no key".to_owned());
    };
    let same: Vec<String> = table
        .keys()
        .filter(|key| key.to_ascii_lowercase().replace('-', "_") == *first)
        .cloned()
        .collect();
    let key = match same.as_slice() {
        [] => first.clone(),
        [key] => key.clone(),
        several => return Err(format!("could mean any of `{}`", several.join("`, `"))),
    };
    walked.push(key.clone());
    if rest.is_empty() {
        table.insert(key, value);
        return Ok(walked.join("."));
    }
    match table
        .entry(key)
        .or_insert_with(|| Value::Table(Table::new()))
    {
        Value::Table(inner) => place(inner, rest, value, walked),
        _ => Err(format!("`{}` is not a table", walked.join("."))),
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    fn laid_over(file: &str, pairs: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut root = toml::from_str(file).unwrap();
        let mut problems = Vec::new();
        Environment::of(pairs.iter().copied()).overlay(&mut root, &mut problems);
        (serde_json::to_string(&root).unwrap(), problems)
    }

    #[test]
    fn variables_become_settings() {
        for (file, pairs, expected) in [
            ("", vec![("HOOKBAY_LISTEN", "a:1")], r#"{"listen":"a:1"}"#),
            (
                "listen = 'b:2'",
                vec![("hookbay_listen", "a:1")],
                r#"{"listen":"b:2"}"#,
            ),
            (
                "sources.my-shop.provider = 'github'",
                vec![("HOOKBAY_SOURCES__MY_SHOP__SECRET", r#"["a","b"]"#)],
                r#"{"sources":{"my-shop":{"provider":"github","secret":["a","b"]}}}"#,
            ),
            ("", vec![("HOOKBAY_ADMIN_TOKEN", "t"), ("PATH", "x")], "{}"),
        ] {
            let (json, problems) = laid_over(file, &pairs);
            assert_eq!(json, expected);
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn collisions_are_errors() {
        for (file, pairs) in [
            (
                "sources.a-b.x = 1\nsources.a_b.x = 1",
                vec![("HOOKBAY_SOURCES__A_B__X", "2")],
            ),
            ("", vec![("HOOKBAY_LISTEN", "a"), ("HOOKBAY_listen", "b")]),
            ("listen = 'x'", vec![("HOOKBAY_LISTEN__ADDRESS", "a")]),
            ("", vec![("HOOKBAY_", "a")]),
        ] {
            let (_, problems) = laid_over(file, &pairs);
            assert_eq!(problems.len(), 1, "{pairs:?} {problems:?}");
        }
    }
}
