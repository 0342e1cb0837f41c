//! Queries: which pages fit a filter, as far as the index knows.

use std::time::Duration;

use serde_json::Value;

use super::page::{Columns, Page};

/// How late the index is: until both have passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lag {
    pub(super) time: Duration,
    pub(super) queries: u64,
}

/// The pages that a query finds, oldest first, as it sees them; or what is wrong with it.
pub(super) fn run(
    pages: &mut [Page],
    columns: &Columns,
    body: &Value,
    mut index: impl FnMut(&mut Page),
) -> Result<Vec<Value>, String> {
    let filter = match &body["filter"] {
        Value::Null => None,
        filter => Some(Filter::read(filter, columns)?),
    };
    let limit = body["page_size"].as_u64().unwrap_or(100).min(100);
    pages.iter_mut().for_each(&mut index);
    let fits = |page: &&Page| {
        page.is_indexed()
            && !page.is_in_trash()
            && filter.as_ref().is_none_or(|filter| filter.fits(page))
    };
    let found = pages.iter().filter(fits).zip(0..limit);
    Ok(found.map(|(page, _)| page.json_indexed(columns)).collect())
}

/// A property that has to be equal to a text or a number.
struct Filter<'a> {
    property: &'a str,
    equals: String,
}

impl<'a> Filter<'a> {
    fn read(filter: &'a Value, columns: &Columns) -> Result<Self, String> {
        let property = filter["property"].as_str().unwrap_or_default();
        let Some(kind) = columns.kind(property) else {
            return Err(format!(
                "Could not find property with name or id: {property}"
            ));
        };
        let Some(condition) = filter.get(kind.name()) else {
            let given = filter.as_object().into_iter().flat_map(|all| all.keys());
            let given: Vec<&str> = given
                .map(String::as_str)
                .filter(|key| *key != "property")
                .collect();
            return Err(format!(
                "The property type in the database does not match the property type of the \
                 filter provided: database property {} does not match filter {}",
                kind.name(),
                given.join(", ")
            ));
        };
        match &condition["equals"] {
            Value::String(text) => Ok(Self {
                property,
                equals: text.clone(),
            }),
            Value::Number(number) => Ok(Self {
                property,
                equals: number.to_string(),
            }),
            _ => Err("the stand-in knows no other condition than `equals`".to_owned()),
        }
    }

    fn fits(&self, page: &Page) -> bool {
        page.text_indexed(self.property) == self.equals
    }
}
