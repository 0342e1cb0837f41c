//! The database in Notion: finding, making and changing pages.
//!
//! API version 2025-09-03, the one from which on databases can have several data sources: an
//! older one fails from the day on which somebody adds a second to the database. The operator
//! names the database, as it stands in its address; its data source is asked for.
//! <https://developers.notion.com/docs/upgrade-guide-2025-09-03>

mod call;
mod page;

use std::cell::OnceCell;
use std::time::Duration;

use hookbay_plugin::http::{self, Request, Response};
use hookbay_plugin::{Failure, Manifest, Run, clock, config, kv};
use serde_json::{Value as Json, json};

pub(crate) use page::{Page, Value};

use call::{Refusal, ask};
use page::Columns;

const ENDPOINT: &str = "notion";
const TOKEN: &str = "NOTION_TOKEN";

/// How late a query may see what was written. Notion names no time.
const SEEN_AFTER: Duration = Duration::from_secs(2);

/// Where the pages are.
pub(crate) struct Database {
    columns: Columns,
    /// Asked for when it is needed.
    data_source: OnceCell<String>,
}

/// Adds what this needs from the operator.
pub(crate) fn with_wants(manifest: Manifest) -> Manifest {
    let manifest = manifest
        .endpoint(
            ENDPOINT,
            "https://api.notion.com",
            "where the pages are written",
        )
        .secret(
            TOKEN,
            "token of an integration that the database is shared with",
        )
        .requires_config("database_id", "the database: 32 digits in its address")
        .reads_config("data_source_id", "which, if the database has several");
    page::with_wants(manifest)
}

impl Database {
    /// The one that is configured.
    pub(crate) fn open() -> Self {
        Self {
            columns: Columns::configured(),
            data_source: OnceCell::new(),
        }
    }

    /// The page that carries this id.
    ///
    /// Which it is is remembered; where it is not, or is in the trash, it is searched for. A
    /// run that is tried again searches twice: an earlier attempt may have made it just now.
    pub(crate) fn find(&self, id: &str, run: &Run) -> Result<Option<Page>, Failure> {
        let remembered = format!("page/{id}");
        if let Some(page) = kv::get_json::<String>(&remembered)? {
            let page = self.read(&page)?;
            if page.is_some() {
                return Ok(page);
            }
        }
        let mut found = self.search(id)?;
        if found.is_none() && run.attempt > 1 {
            clock::sleep(SEEN_AFTER);
            found = self.search(id)?;
        }
        let Some(found) = found else { return Ok(None) };
        kv::set_json(&remembered, &found)?;
        // What a search shows of a page can be old.
        self.read(&found)
    }

    /// Makes the page that carries this id.
    pub(crate) fn create(&self, id: &str, values: &[(&str, Value)]) -> Result<Page, Failure> {
        let mut properties = self.columns.write(values);
        properties.append(&mut self.columns.write(&[("id", Value::text(id))]));
        let body = json!({
            "parent": { "type": "data_source_id", "data_source_id": self.data_source()? },
            "properties": properties,
        });
        let answer = match ask(http::post(ENDPOINT, "/v1/pages").json(&body)?) {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_in_doubt() => return Err(refusal.later()),
            Err(refusal) => return Err(self.explained(refusal)),
        };
        let page = self.columns.read(&answer.json()?);
        kv::set_json(&format!("page/{id}"), &page.id)?;
        Ok(page)
    }

    /// Changes a page.
    pub(crate) fn update(&self, page: &Page, values: &[(&str, Value)]) -> Result<Page, Failure> {
        let body = json!({ "properties": self.columns.write(values) });
        let answer = self.call(http::patch(ENDPOINT, &path_of(&page.id)).json(&body)?)?;
        Ok(self.columns.read(&answer.json()?))
    }

    /// The page as it is now; none if it is gone or in the trash.
    fn read(&self, page: &str) -> Result<Option<Page>, Failure> {
        let answer = match ask(http::get(ENDPOINT, &path_of(page))) {
            Err(Refusal {
                status: Some(404), ..
            }) => return Ok(None),
            answer => answer?.json::<Json>()?,
        };
        let is_gone = answer["in_trash"] == true;
        Ok((!is_gone).then(|| self.columns.read(&answer)))
    }

    fn search(&self, id: &str) -> Result<Option<String>, Failure> {
        let path = format!("/v1/data_sources/{}/query", self.data_source()?);
        let column = self.columns.name("id");
        let body = json!({
            "filter": { "property": column, "rich_text": { "equals": id } },
            "sorts": [{ "timestamp": "created_time", "direction": "ascending" }],
            "page_size": 1,
        });
        let answer: Json = self
            .call(http::post(ENDPOINT, &path).json(&body)?)?
            .json()?;
        Ok(answer["results"][0]["id"].as_str().map(str::to_owned))
    }

    fn data_source(&self) -> Result<&str, Failure> {
        if let Some(known) = self.data_source.get() {
            return Ok(known);
        }
        let id = match config::get("data_source_id") {
            Some(id) => id,
            None => only_data_source(&config::require("database_id")?)?,
        };
        Ok(self.data_source.get_or_init(|| id))
    }

    fn call(&self, request: Request) -> Result<Response, Failure> {
        ask(request).map_err(|refusal| self.explained(refusal))
    }

    /// Where it is the columns that are wrong, which: Notion names them one by one.
    fn explained(&self, refusal: Refusal) -> Failure {
        let schema = || -> Result<Json, Failure> {
            let path = format!("/v1/data_sources/{}", self.data_source()?);
            Ok(ask(http::get(ENDPOINT, &path))?.json()?)
        };
        match refusal.status {
            Some(400) => match schema().map(|schema| self.columns.problems(&schema)) {
                Ok(Some(problems)) => Failure::permanent(problems),
                Ok(None) | Err(_) => refusal.failure,
            },
            _ => refusal.failure,
        }
    }
}

fn path_of(page: &str) -> String {
    format!("/v1/pages/{}", http::encode(page))
}

fn only_data_source(database: &str) -> Result<String, Failure> {
    let path = format!("/v1/databases/{}", http::encode(database));
    let answer: Json = ask(http::get(ENDPOINT, &path))?.json()?;
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let sources = answer["data_sources"].as_array();
    match sources.map(Vec::as_slice).unwrap_or_default() {
        [only] => Ok(text(&only["id"])),
        several => {
            let all = several.iter();
            let all = all.map(|one| format!("{} ({})", text(&one["id"]), text(&one["name"])));
            Err(Failure::permanent(format!(
                "the database has {} data sources: set config.data_source_id to one of {}",
                several.len(),
                Vec::from_iter(all).join(", ")
            )))
        }
    }
}
