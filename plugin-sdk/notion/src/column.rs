//! The columns of a database: their names here and there, and values to and from them.

use hookbay_plugin::{Failure, Manifest, config};
use serde_json::{Map, Value as Json, json};

use crate::{Page, Value};

/// A column: what the plugin calls it, and what it is called in Notion unless the operator
/// says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub(crate) name: &'static str,
    usual: &'static str,
    kind: Kind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Title,
    RichText,
    Number,
    Select,
    Date,
    Url,
}

/// The columns by the names that they have in the operator's database.
#[derive(Debug)]
pub(crate) struct Columns(Vec<Configured>);

#[derive(Debug)]
struct Configured {
    name: &'static str,
    in_notion: String,
    kind: Kind,
}

impl Column {
    /// The pages' title, of which a database has one: takes [`Value::Text`].
    #[must_use]
    pub const fn title(name: &'static str, usual: &'static str) -> Self {
        Self::new(name, usual, Kind::Title)
    }

    /// Text: takes [`Value::Text`].
    #[must_use]
    pub const fn text(name: &'static str, usual: &'static str) -> Self {
        Self::new(name, usual, Kind::RichText)
    }

    /// A number: takes [`Value::Number`].
    #[must_use]
    pub const fn number(name: &'static str, usual: &'static str) -> Self {
        Self::new(name, usual, Kind::Number)
    }

    /// One of some words, which Notion adds as they come: takes [`Value::Text`] without a comma.
    #[must_use]
    pub const fn select(name: &'static str, usual: &'static str) -> Self {
        Self::new(name, usual, Kind::Select)
    }

    /// A day, or a time: takes [`Value::Date`].
    #[must_use]
    pub const fn date(name: &'static str, usual: &'static str) -> Self {
        Self::new(name, usual, Kind::Date)
    }

    /// An address: takes [`Value::Text`].
    #[must_use]
    pub const fn url(name: &'static str, usual: &'static str) -> Self {
        Self::new(name, usual, Kind::Url)
    }

    const fn new(name: &'static str, usual: &'static str, kind: Kind) -> Self {
        Self { name, usual, kind }
    }

    /// Adds the configuration key that names it.
    pub(crate) fn wants(manifest: Manifest, column: Self) -> Manifest {
        let (kind, usual) = (column.kind.name(), column.usual);
        let doc = format!("name of the {kind} column for this, `{usual}` without it");
        manifest.reads_config(column.key(), doc)
    }

    fn key(&self) -> String {
        format!("property_{}", self.name)
    }
}

impl Kind {
    /// As Notion calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::RichText => "rich_text",
            Self::Number => "number",
            Self::Select => "select",
            Self::Date => "date",
            Self::Url => "url",
        }
    }
}

impl Columns {
    pub(crate) fn configured(columns: impl Iterator<Item = Column>) -> Self {
        let configured = |column: Column| Configured {
            name: column.name,
            in_notion: config::get(&column.key()).unwrap_or(column.usual.to_owned()),
            kind: column.kind,
        };
        Self(columns.map(configured).collect())
    }

    /// A page from Notion's JSON.
    pub(crate) fn read(&self, page: &Json) -> Page {
        let text = |key: &str| page[key].as_str().unwrap_or_default().to_owned();
        let value = |column: &Configured| {
            let value = &page["properties"][&column.in_notion][column.kind.name()];
            Some((column.name, Value::from_json(column.kind, value)?))
        };
        Page {
            id: text("id"),
            url: text("url"),
            values: self.0.iter().filter_map(value).collect(),
        }
    }

    /// Values as the properties of Notion's JSON.
    pub(crate) fn write(&self, values: &[(&str, Value)]) -> Result<Json, Failure> {
        let mut properties = Map::new();
        for (name, value) in values {
            let column = self.named(name)?;
            properties.insert(column.in_notion.clone(), column.json(value)?);
        }
        Ok(Json::Object(properties))
    }

    /// What a query takes for pages that say this.
    pub(crate) fn filter(&self, name: &str, value: &Value) -> Result<Json, Failure> {
        let column = self.named(name)?;
        let equals = match value {
            Value::Text(text) => json!({ "equals": text }),
            Value::Number(number) => json!({ "equals": number }),
            Value::Date(date) => json!({ "equals": date.as_str() }),
        };
        Ok(json!({ "property": column.in_notion, column.kind.name(): equals }))
    }

    fn named(&self, name: &str) -> Result<&Configured, Failure> {
        let mut columns = self.0.iter();
        let column = columns.find(|column| column.name == name);
        column.ok_or_else(|| Failure::permanent(format!("the plugin's pages have no `{name}`")))
    }

    /// How the columns of a data source differ from what is needed, all at once.
    pub(crate) fn problems(&self, data_source: &Json) -> Option<String> {
        let mut problems = Vec::new();
        for column in &self.0 {
            let (in_notion, kind) = (&column.in_notion, column.kind.name());
            let problem = match data_source["properties"][in_notion]["type"].as_str() {
                Some(found) if found == kind => continue,
                Some(found) => format!("`{in_notion}` is {found}, not {kind}"),
                None => format!("`{in_notion}` ({kind}) is missing"),
            };
            problems.push(format!("{problem} [config.property_{}]", column.name));
        }
        (!problems.is_empty()).then(|| {
            let problems = problems.join("; ");
            format!("columns of the Notion database: {problems}. Add them, or name others")
        })
    }
}

impl Configured {
    fn json(&self, value: &Value) -> Result<Json, Failure> {
        value.to_json(self.kind).ok_or_else(|| {
            let (name, kind) = (self.name, self.kind.name());
            Failure::permanent(format!("the plugin's `{name}` is {kind}, its value is not"))
        })
    }
}
