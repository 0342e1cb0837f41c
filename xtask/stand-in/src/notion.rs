//! Notion, as far as plugins use it: one database with one data source, and its pages.
//!
//! API version 2025-09-03 (<https://developers.notion.com/reference/intro>): databases and
//! data sources can be read, data sources queried, pages made, read and changed. Errors have
//! Notion's codes and words, queries see pages late, and requests are limited in number.

mod page;
mod query;
mod refusal;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::rate::Allowance;
use crate::service::{Section, Service};

pub use page::{Kind, Page};

use page::Columns;
use query::Lag;
use refusal::refuse;

/// The token of an integration that may do everything.
pub const TOKEN: &str = "ntn_of_the_stand_in";
/// The database's id, as its address in the browser would have it.
pub const DATABASE: &str = "5aca1e00d00d4000800000000000db01";
/// The id of the database's one data source.
pub const DATA_SOURCE: &str = "5aca1e00-d00d-4000-8000-00000000d501";
/// The one version of the API that this speaks.
pub const VERSION: &str = "2025-09-03";

/// Requests at once before the rate counts.
const BURST: f64 = 10.0;

/// What this Notion is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a query does not see what was written.
    pub lag: Duration,
    /// How many queries do not see what was written before them: a lag that needs no clock.
    pub lag_queries: u64,
    /// Requests per second, after a burst; unlimited without.
    pub per_second: Option<f64>,
}

/// The service.
#[derive(Debug)]
pub struct Notion {
    options: Options,
    columns: Columns,
    pages: Vec<Page>,
    n_queries: u64,
    /// So that ids differ from those of the stand-in before this one.
    seed: u32,
    allowance: Allowance,
}

impl Options {
    /// No lag, no limit.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            lag: Duration::ZERO,
            lag_queries: 0,
            per_second: None,
        }
    }

    /// What Notion says of itself: three requests per second on average
    /// (<https://developers.notion.com/reference/request-limits>). How late a query is it does
    /// not say.
    #[must_use]
    pub fn lifelike() -> Self {
        Self {
            lag: Duration::from_secs(1),
            lag_queries: 0,
            per_second: Some(3.0),
        }
    }
}

impl Default for Notion {
    fn default() -> Self {
        Self::new(Options::quick())
    }
}

impl Notion {
    /// An empty database for the plugin `stripe-invoice-notion`.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            allowance: Allowance::new(BURST, options.per_second),
            options,
            columns: Columns::of_invoices(),
            pages: Vec::new(),
            n_queries: 0,
            seed: since.map_or(0, |since| since.subsec_nanos() ^ since.as_secs() as u32),
        }
    }

    /// The pages that are not in the trash, oldest first.
    pub fn pages(&self) -> impl Iterator<Item = &Page> {
        self.pages.iter().filter(|page| !page.is_in_trash())
    }

    /// The columns of the database; a test may change them.
    pub fn columns_mut(&mut self) -> &mut Vec<(String, Kind)> {
        &mut self.columns.0
    }

    /// Moves every page to the trash, as a person would.
    pub fn trash_all(&mut self) {
        self.pages.iter_mut().for_each(Page::trash);
    }

    fn create(&mut self, body: &Value, now: SystemTime) -> Answer {
        let parent = &body["parent"];
        if !is_id(&parent["data_source_id"], DATA_SOURCE) {
            return match parent["data_source_id"].as_str() {
                Some(id) => refusal::not_found("data source", id),
                None => refusal::invalid(
                    "body failed validation: body.parent.data_source_id should be defined, \
                     instead was `undefined`.",
                ),
            };
        }
        let properties = match self.columns.read(&body["properties"]) {
            Ok(properties) => properties,
            Err(problems) => return refusal::invalid(&problems),
        };
        let number = self.pages.len() + 1;
        let id = format!("{:08x}-0000-4000-8000-{number:012x}", self.seed);
        let mut page = Page::new(id, now);
        page.write(properties, now, self.n_queries);
        let answer = Answer::json(200, &page.json(&self.columns))
            .with_note(format!("made \"{}\"", page.title()));
        self.pages.push(page);
        answer
    }

    fn update(&mut self, id: &str, body: &Value, now: SystemTime) -> Answer {
        let Some(page) = self.pages.iter_mut().find(|page| page.has_id(id)) else {
            return refusal::not_found("page", id);
        };
        let to_trash = body["in_trash"].as_bool().or(body["archived"].as_bool());
        if page.is_in_trash() && to_trash != Some(false) {
            return refusal::invalid(
                "Can't edit block that is archived. You must unarchive the block before editing.",
            );
        }
        let properties = match self.columns.read(&body["properties"]) {
            Ok(properties) => properties,
            Err(problems) => return refusal::invalid(&problems),
        };
        let changes: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
        let note = match to_trash {
            Some(true) => format!("moved \"{}\" to the trash", page.title()),
            _ => format!("changed \"{}\": {}", page.title(), changes.join(", ")),
        };
        page.write(properties, now, self.n_queries);
        page.set_in_trash(to_trash);
        Answer::json(200, &page.json(&self.columns)).with_note(note)
    }

    fn page(&self, id: &str) -> Answer {
        match self.pages.iter().find(|page| page.has_id(id)) {
            Some(page) => Answer::json(200, &page.json(&self.columns)),
            None => refusal::not_found("page", id),
        }
    }

    fn query(&mut self, body: &Value, now: SystemTime) -> Answer {
        let lag = Lag {
            time: self.options.lag,
            queries: self.options.lag_queries,
        };
        let found = query::run(&mut self.pages, &self.columns, body, |page| {
            page.index(lag, now, self.n_queries);
        });
        self.n_queries += 1;
        match found {
            Ok(results) => {
                let note = format!("{} found", results.len());
                let list = json!({
                    "object": "list", "results": results, "next_cursor": null,
                    "has_more": false, "type": "page_or_data_source", "page_or_data_source": {},
                });
                Answer::json(200, &list).with_note(note)
            }
            Err(problem) => refusal::invalid(&problem),
        }
    }

    fn database(id: &str) -> Answer {
        if !is_same_id(id, DATABASE) {
            return refusal::not_found("database", id);
        }
        Answer::json(
            200,
            &json!({
                "object": "database",
                "id": page::dashed(DATABASE),
                "title": [{ "type": "text", "plain_text": "Invoices" }],
                "data_sources": [{ "id": DATA_SOURCE, "name": "Invoices" }],
                "in_trash": false,
                "url": format!("https://www.notion.so/{DATABASE}"),
            }),
        )
    }

    fn data_source(&self, id: &str) -> Answer {
        if !is_same_id(id, DATA_SOURCE) {
            return refusal::not_found("data source", id);
        }
        Answer::json(
            200,
            &json!({
                "object": "data_source",
                "id": DATA_SOURCE,
                "title": [{ "type": "text", "plain_text": "Invoices" }],
                "properties": self.columns.json(),
                "parent": { "type": "database_id", "database_id": page::dashed(DATABASE) },
                "in_trash": false,
            }),
        )
    }
}

impl Service for Notion {
    fn name(&self) -> &'static str {
        "notion"
    }

    fn takes(&self, path: &str) -> bool {
        path.starts_with("/v1/")
    }

    fn answer(&mut self, request: &Request, now: SystemTime) -> Answer {
        if !request.bears(TOKEN) {
            return self.refusal(401);
        }
        if let Err(refusal) = refusal::check_version(request.header("notion-version")) {
            return refusal;
        }
        if !self.allowance.take(now) {
            return self.refusal(429).with_header("retry-after", "1");
        }
        let body = match request.body.as_slice() {
            b"" => json!({}),
            bytes => match serde_json::from_slice(bytes) {
                Ok(body) => body,
                Err(_) => return refuse(400, "invalid_json", "Error parsing JSON body."),
            },
        };
        let segments: Vec<&str> = request.path.split('/').skip(2).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["databases", id]) => Self::database(id),
            ("GET", ["data_sources", id]) => self.data_source(id),
            ("POST", ["data_sources", id, "query"]) if is_same_id(id, DATA_SOURCE) => {
                self.query(&body, now)
            }
            ("POST", ["data_sources", id, "query"]) => refusal::not_found("data source", id),
            ("POST", ["pages"]) => self.create(&body, now),
            ("GET", ["pages", id]) => self.page(id),
            ("PATCH", ["pages", id]) => self.update(id, &body, now),
            _ => refuse(400, "invalid_request_url", "Invalid request URL."),
        }
    }

    fn refusal(&self, status: u16) -> Answer {
        refusal::of_status(status)
    }

    fn sections(&self) -> Vec<Section> {
        let names: Vec<String> = self
            .columns
            .0
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let row = |page: &Page| names.iter().map(|name| page.text(name)).collect();
        vec![Section {
            title: "Notion: Invoices".to_owned(),
            rows: self.pages().map(row).collect(),
            columns: names,
        }]
    }
}

fn is_id(given: &Value, id: &str) -> bool {
    given.as_str().is_some_and(|given| is_same_id(given, id))
}

/// Ids are written with dashes or without.
fn is_same_id(one: &str, other: &str) -> bool {
    let digits = |id: &str| id.replace('-', "").to_ascii_lowercase();
    digits(one) == digits(other)
}

#[cfg(test)]
mod tests;
