//! Pages and the columns of their database: what is written, and how it is read back.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::query::Lag;
use super::{DATA_SOURCE, is_same_id};
use crate::calendar::rfc3339;

/// Longest text in a rich text (<https://developers.notion.com/reference/request-limits>).
const TEXT_CHARS_MAX: usize = 2_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The page's title.
    Title,
    /// Text.
    RichText,
    /// A number.
    Number,
    /// One of some words.
    Select,
    /// A day, or a time.
    Date,
    /// An address.
    Url,
}

/// The columns by name, in their order.
#[derive(Debug)]
pub(super) struct Columns(pub(super) Vec<(String, Kind)>);

/// Values by column, as they are read.
type Properties = Vec<(String, Value)>;

/// A page of the database.
#[derive(Debug)]
pub struct Page {
    id: String,
    created_at: SystemTime,
    edited_at: SystemTime,
    is_in_trash: bool,
    properties: Properties,
    /// What queries see; nothing before they see the page at all.
    indexed: Option<Properties>,
    /// The queries that had been when the page was last written.
    queries_before: u64,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::RichText => "rich_text",
            Self::Number => "number",
            Self::Select => "select",
            Self::Date => "date",
            Self::Url => "url",
        }
    }

    /// What is kept of a value that was given for a column, or what is wrong with it.
    fn read(self, name: &str, given: &Value) -> Result<Value, String> {
        let Some(value) = given.get(self.name()) else {
            return Err(format!("{name} is expected to be {}.", self.name()));
        };
        let place = format!("body.properties.{name}.{}", self.name());
        let is_fitting = match self {
            Self::Title | Self::RichText => return rich_text(&place, value),
            Self::Number => value.is_number() || value.is_null(),
            Self::Select => value.is_null() || value["name"].is_string(),
            Self::Date => value.is_null() || value["start"].is_string(),
            Self::Url => value.is_null() || value.as_str().is_some_and(|url| !url.is_empty()),
        };
        if !is_fitting {
            return Err(format!(
                "body failed validation: {place} is not valid, instead was `{value}`."
            ));
        }
        match (value["name"].as_str(), value["start"].as_str()) {
            (Some(option), _) if option.contains(',') => Err(format!(
                "Invalid select option, commas not allowed: {option}"
            )),
            (_, Some(start)) => Ok(json!({ "start": as_kept(start), "end": null })),
            (_, None) => Ok(whole(value)),
        }
    }

    /// A column's value that nobody has written.
    fn empty(self) -> Value {
        match self {
            Self::Title | Self::RichText => json!([]),
            Self::Number | Self::Select | Self::Date | Self::Url => Value::Null,
        }
    }
}

/// A time as Notion gives it back: it keeps no seconds. A day stays one.
fn as_kept(start: &str) -> String {
    match start.get(..16) {
        Some(minute) => format!("{minute}:00.000+00:00"),
        None => start.to_owned(),
    }
}

/// A number as JavaScript writes it: 119, not 119.0.
fn whole(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 => json!(number as i64),
        _ => value.clone(),
    }
}

fn rich_text(place: &str, value: &Value) -> Result<Value, String> {
    let Some(parts) = value.as_array() else {
        return Err(format!(
            "body failed validation: {place} should be an array, instead was `{value}`."
        ));
    };
    let mut read = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let place = format!("{place}[{index}].text.content");
        let Some(content) = part["text"]["content"].as_str() else {
            return Err(format!(
                "body failed validation: {place} should be defined, instead was `undefined`."
            ));
        };
        let length = content.chars().count();
        if length > TEXT_CHARS_MAX {
            return Err(format!(
                "body failed validation: {place}.length should be ≤ `{TEXT_CHARS_MAX}`, \
                 instead was `{length}`."
            ));
        }
        read.push(json!({
            "type": "text",
            "text": { "content": content, "link": null },
            "plain_text": content,
            "href": null,
        }));
    }
    Ok(Value::Array(read))
}

impl Columns {
    /// What the plugin `stripe-invoice-notion` writes by default.
    pub(super) fn of_invoices() -> Self {
        let columns = [
            ("Name", Kind::Title),
            ("Status", Kind::Select),
            ("Amount", Kind::Number),
            ("Currency", Kind::Select),
            ("Paid", Kind::Number),
            ("Refunded", Kind::Number),
            ("Customer", Kind::RichText),
            ("Number", Kind::RichText),
            ("Due", Kind::Date),
            ("Link", Kind::Url),
            ("Updated", Kind::Date),
            ("Stripe ID", Kind::RichText),
        ];
        Self(columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec())
    }

    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        let mut columns = self.0.iter();
        columns.find(|(own, _)| own == name).map(|(_, kind)| *kind)
    }

    /// The values of `properties`, or all that is wrong with them, as Notion puts it.
    pub(super) fn read(&self, properties: &Value) -> Result<Properties, String> {
        let given = properties.as_object().into_iter().flatten();
        let read = |(name, value): (&String, &Value)| match self.kind(name) {
            Some(kind) => Ok((name.clone(), kind.read(name, value)?)),
            None => Err(format!("{name} is not a property that exists.")),
        };
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for one in given.map(read) {
            match one {
                Ok(value) => values.push(value),
                Err(problem) => problems.push(problem),
            }
        }
        match problems.is_empty() {
            true => Ok(values),
            false => Err(problems.join(" ")),
        }
    }

    pub(super) fn json(&self) -> Value {
        let column = |(name, kind): &(String, Kind)| {
            let kind = kind.name();
            (
                name.clone(),
                json!({ "name": name, "type": kind, kind: {} }),
            )
        };
        Value::Object(self.0.iter().map(column).collect())
    }
}

impl Page {
    pub(super) fn new(id: String, now: SystemTime) -> Self {
        Self {
            id,
            created_at: now,
            edited_at: now,
            is_in_trash: false,
            properties: Vec::new(),
            indexed: None,
            queries_before: 0,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> String {
        self.text("Name")
    }

    /// The value of a column as a person would write it; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        plain(&self.properties, name)
    }

    pub(super) fn text_indexed(&self, name: &str) -> String {
        plain(self.indexed.as_deref().unwrap_or_default(), name)
    }

    pub(super) fn is_in_trash(&self) -> bool {
        self.is_in_trash
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.indexed.is_some()
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        is_same_id(&self.id, id)
    }

    pub(super) fn trash(&mut self) {
        self.is_in_trash = true;
    }

    pub(super) fn set_in_trash(&mut self, to_trash: Option<bool>) {
        self.is_in_trash = to_trash.unwrap_or(self.is_in_trash);
    }

    pub(super) fn write(&mut self, changes: Properties, now: SystemTime, n_queries: u64) {
        for (name, value) in changes {
            self.properties.retain(|(own, _)| *own != name);
            self.properties.push((name, value));
        }
        self.edited_at = now;
        self.queries_before = n_queries;
    }

    /// Lets queries see it as it is, if it has been so for long enough.
    pub(super) fn index(&mut self, lag: Lag, now: SystemTime, n_queries: u64) {
        let age = now.duration_since(self.edited_at).unwrap_or_default();
        if age >= lag.time && n_queries - self.queries_before >= lag.queries {
            self.indexed = Some(self.properties.clone());
        }
    }

    pub(super) fn json(&self, columns: &Columns) -> Value {
        self.json_of(columns, &self.properties)
    }

    pub(super) fn json_indexed(&self, columns: &Columns) -> Value {
        self.json_of(columns, self.indexed.as_deref().unwrap_or_default())
    }

    fn json_of(&self, columns: &Columns, properties: &[(String, Value)]) -> Value {
        let property = |(name, kind): &(String, Kind)| {
            let written = properties.iter().find(|(own, _)| own == name);
            let value = written.map_or_else(|| kind.empty(), |(_, value)| value.clone());
            (
                name.clone(),
                json!({ "id": name, "type": kind.name(), kind.name(): value }),
            )
        };
        let all: Map<String, Value> = columns.0.iter().map(property).collect();
        json!({
            "object": "page",
            "id": self.id,
            "created_time": to_the_minute(self.created_at),
            "last_edited_time": to_the_minute(self.edited_at),
            "archived": self.is_in_trash,
            "in_trash": self.is_in_trash,
            "parent": { "type": "data_source_id", "data_source_id": DATA_SOURCE },
            "properties": all,
            "url": format!("https://www.notion.so/{}", self.id.replace('-', "")),
            "public_url": null,
        })
    }
}

/// An id with its dashes.
pub(super) fn dashed(id: &str) -> String {
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    parts.join("-")
}

/// Notion's own times know no seconds.
fn to_the_minute(time: SystemTime) -> String {
    format!("{}:00.000Z", &rfc3339(time)[..16])
}

fn plain(properties: &[(String, Value)], name: &str) -> String {
    let found = properties.iter().find(|(own, _)| own == name);
    let Some((_, value)) = found else {
        return String::new();
    };
    let of_parts = |parts: &Vec<Value>| {
        let texts = parts.iter().filter_map(|part| part["plain_text"].as_str());
        texts.collect::<String>()
    };
    match value {
        Value::Array(parts) => of_parts(parts),
        Value::Object(fields) => {
            let first = fields.get("name").or(fields.get("start"));
            first.and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) => String::new(),
    }
}
