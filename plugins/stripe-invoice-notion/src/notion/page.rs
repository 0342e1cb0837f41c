//! What a page says: its columns, and their values to and from Notion's JSON.

use hookbay_plugin::{Manifest, config};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// Longest text in a column: <https://developers.notion.com/reference/request-limits>.
const TEXT_CHARS_MAX: usize = 2_000;

/// What a column is called here, what it is called in Notion unless `config.property_NAME`
/// says otherwise, and what Notion calls its type.
const COLUMNS: [(&str, &str, &str); 12] = [
    ("title", "Name", "title"),
    ("status", "Status", "select"),
    ("amount", "Amount", "number"),
    ("currency", "Currency", "select"),
    ("paid", "Paid", "number"),
    ("refunded", "Refunded", "number"),
    ("customer", "Customer", "rich_text"),
    ("number", "Number", "rich_text"),
    ("due", "Due", "date"),
    ("link", "Link", "url"),
    ("updated", "Updated", "date"),
    ("id", "Stripe ID", "rich_text"),
];

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
}

/// A page.
#[derive(Serialize)]
pub(crate) struct Page {
    #[serde(rename = "page")]
    pub(crate) id: String,
    pub(crate) url: String,
    #[serde(skip)]
    values: Vec<(&'static str, Value)>,
}

/// The columns by the names that they have in this database.
pub(super) struct Columns(Vec<Column>);

struct Column {
    name: &'static str,
    in_notion: String,
    kind: &'static str,
}

/// Adds the configuration keys that rename columns.
pub(super) fn with_wants(manifest: Manifest) -> Manifest {
    COLUMNS.into_iter().fold(manifest, |manifest, column| {
        let (name, usual, kind) = column;
        let doc = format!("name of the {kind} column for this, `{usual}` without it");
        manifest.reads_config(format!("property_{name}"), doc)
    })
}

impl Value {
    /// A text, cut to what a column takes.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.chars().take(TEXT_CHARS_MAX).collect())
    }

    fn to_json(&self, kind: &str) -> Json {
        match (self, kind) {
            (Self::Number(number), _) => json!({ kind: number }),
            (Self::Text(text), "title" | "rich_text") => {
                json!({ kind: [{ "text": { "content": text } }] })
            }
            (Self::Text(text), "select") => json!({ kind: { "name": text } }),
            (Self::Text(text), "date") => json!({ kind: { "start": text } }),
            (Self::Text(text), _) => json!({ kind: text }),
        }
    }

    /// None where the column is empty on this page.
    fn from_json(kind: &str, value: &Json) -> Option<Self> {
        let text = match kind {
            "number" => return value.as_f64().map(Self::Number),
            "title" | "rich_text" => {
                let parts = value.as_array()?.iter();
                parts
                    .filter_map(|part| part["plain_text"].as_str())
                    .collect()
            }
            "select" => value["name"].as_str()?.to_owned(),
            "date" => value["start"].as_str()?.to_owned(),
            _ => value.as_str()?.to_owned(),
        };
        (!text.is_empty()).then_some(Self::Text(text))
    }
}

impl Page {
    /// The value of a column, unless it is empty.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        values.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The same of a column with text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }
}

impl Columns {
    pub(super) fn configured() -> Self {
        let column = |(name, usual, kind): (_, &str, _)| Column {
            name,
            in_notion: config::get(&format!("property_{name}")).unwrap_or(usual.to_owned()),
            kind,
        };
        Self(COLUMNS.into_iter().map(column).collect())
    }

    /// What a column is called in Notion.
    pub(super) fn name(&self, name: &str) -> &str {
        let mut columns = self.0.iter();
        columns
            .find(|column| column.name == name)
            .map_or("", |column| &column.in_notion)
    }

    /// A page from Notion's JSON.
    pub(super) fn read(&self, page: &Json) -> Page {
        let text = |key: &str| page[key].as_str().unwrap_or_default().to_owned();
        let value = |column: &Column| {
            let value = &page["properties"][&column.in_notion][column.kind];
            Some((column.name, Value::from_json(column.kind, value)?))
        };
        Page {
            id: text("id"),
            url: text("url"),
            values: self.0.iter().filter_map(value).collect(),
        }
    }

    /// Values as the properties of Notion's JSON.
    pub(super) fn write(&self, values: &[(&str, Value)]) -> Map<String, Json> {
        let mut properties = Map::new();
        for (name, value) in values {
            if let Some(column) = self.0.iter().find(|column| column.name == *name) {
                properties.insert(column.in_notion.clone(), value.to_json(column.kind));
            }
        }
        properties
    }

    /// How the columns of a data source differ from what is needed, all at once.
    pub(super) fn problems(&self, data_source: &Json) -> Option<String> {
        let mut problems = Vec::new();
        for Column {
            name,
            in_notion,
            kind,
        } in &self.0
        {
            let found = data_source["properties"][in_notion]["type"].as_str();
            let problem = match found {
                Some(found) if found == *kind => continue,
                Some(found) => format!("`{in_notion}` is {found}, not {kind}"),
                None => format!("`{in_notion}` ({kind}) is missing"),
            };
            problems.push(format!("{problem} [config.property_{name}]"));
        }
        (!problems.is_empty()).then(|| {
            let problems = problems.join("; ");
            format!("columns of the Notion database: {problems}. Add them, or name others")
        })
    }
}
