//! JSON Schema: what the bodies of a source must look like.
//!
//! Pure. A schema is compiled once, when the configuration is read, and never fetches what
//! it refers to: everything stands in its file.

use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};

/// Steps that a pattern with look-around may take on a text.
const BACKTRACK_MAX: usize = 100_000;
/// Longest pointer or problem that is kept, in bytes: both may repeat what was sent.
const TEXT_MAX: usize = 300;

/// A compiled schema; two are the same if their texts are.
#[derive(Clone)]
pub struct Schema(Arc<Compiled>);

struct Compiled {
    text: String,
    validator: Validator,
}

/// Why a text is not a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is not JSON.
    #[error("is not JSON: {0}")]
    NotJson(String),
    /// It is JSON and no schema, or refers to what is not in it.
    #[error("is not a JSON Schema at `{pointer}`: {problem}")]
    NotASchema {
        /// Where in the text.
        pointer: String,
        /// What is wrong.
        problem: String,
    },
}

/// Where a body is not what it must be. The text names places and rules, not values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}`: {problem}")]
pub struct Mismatch {
    pointer: String,
    problem: String,
}

impl Schema {
    /// Compiles a schema of any draft from 4 on; without `$schema` it is 2020-12.
    ///
    /// # Errors
    /// [`SchemaError`] says what is wrong and where.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let schema: serde_json::Value =
            serde_json::from_str(text).map_err(|error| SchemaError::NotJson(error.to_string()))?;
        let patterns = PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX);
        let options = jsonschema::options().with_pattern_options(patterns);
        let validator = options
            .build(&schema)
            .map_err(|error| SchemaError::NotASchema {
                pointer: error.instance_path().to_string(),
                problem: error.to_string(),
            })?;
        Ok(Self(Arc::new(Compiled {
            text: text.to_owned(),
            validator,
        })))
    }

    /// Checks a document.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn check(&self, document: &serde_json::Value) -> Result<(), Mismatch> {
        let checked = self.0.validator.validate(document);
        checked.map_err(|error| Mismatch {
            pointer: cut(error.instance_path().to_string()),
            problem: cut(error.masked().to_string()),
        })
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({} bytes)", self.0.text.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Schema, TEXT_MAX};

    fn schema(value: &Value) -> Schema {
        Schema::compile(&value.to_string()).unwrap()
    }

    #[test]
    fn a_mismatch_names_its_place_and_no_value() {
        let schema = schema(&json!({
            "type": "object",
            "required": ["id"],
            "properties": {
                "id": { "type": "string", "maxLength": 3 },
                "lines": { "items": { "properties": { "n": { "minimum": 1 } } } },
                "code": { "pattern": "^(?!secret)[a-z]+$" },
            },
        }));
        for (document, pointer) in [
            (
                json!({ "id": "abc", "lines": [{ "n": 1 }], "code": "abc" }),
                None,
            ),
            (json!({}), Some("``")),
            (json!([]), Some("``")),
            (json!({ "id": 77_120_345 }), Some("`/id`")),
            (json!({ "id": "hush-hush" }), Some("`/id`")),
            (
                json!({ "id": "a", "lines": [{}, { "n": 0 }] }),
                Some("`/lines/1/n`"),
            ),
            (json!({ "id": "a", "code": "secrets" }), Some("`/code`")),
        ] {
            let checked = schema
                .check(&document)
                .map_err(|mismatch| mismatch.to_string());
            let Some(pointer) = pointer else {
                assert_eq!(checked, Ok(()));
                continue;
            };
            let text = checked.unwrap_err();
            assert!(text.starts_with(pointer), "{text}");
            assert!(
                !text.contains("hush") && !text.contains("77120345"),
                "{text}"
            );
        }
        let long = json!({ "id": "a", "lines": [{ "n": 0 }], "x".repeat(5000): 1 });
        let text = schema.check(&long).unwrap_err().to_string();
        assert!(text.len() < 2 * TEXT_MAX + 20, "{text}");
    }

    #[test]
    fn only_what_stands_in_the_file_counts() {
        for (text, expected) in [
            ("{", "is not JSON"),
            (r#"{"type":"objekt"}"#, "`/type`"),
            (r#"{"minimum":"1"}"#, "`/minimum`"),
            (
                r#"{"$ref":"https://example.com/order.json"}"#,
                "example.com",
            ),
            (r#"{"$ref":"file:///etc/passwd"}"#, "etc/passwd"),
            (r#"{"pattern":"("}"#, ""),
        ] {
            let error = Schema::compile(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let inside = schema(&json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": "#/definitions/id",
            "definitions": { "id": { "type": "integer" } },
        }));
        assert!(inside.check(&json!(1)).is_ok());
        assert!(inside.check(&json!("1")).is_err());
    }

    /// A pattern that takes exponential time gives up; the body is refused, not the host.
    #[test]
    fn a_pattern_cannot_run_for_ever() {
        let schema = schema(&json!({ "pattern": "^(a|aa|(?=b)b)+$" }));
        let document = json!("a".repeat(200) + "!");
        assert!(schema.check(&document).is_err());
    }

    #[test]
    fn equal_texts_are_equal_schemas() {
        let (one, other) = (json!({ "type": "object" }), json!({ "type": "array" }));
        assert_eq!(schema(&one), schema(&one));
        assert_ne!(schema(&one), schema(&other));
    }
}
