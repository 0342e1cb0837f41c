//! The operator's database: finding, making and changing its pages.

use std::cell::OnceCell;
use std::fmt;
use std::time::Duration;

use hookbay_plugin::http::{self, Request, Response};
use hookbay_plugin::{Failure, Run, clock, config, kv};
use serde_json::{Value as Json, json};

use crate::call::{Refusal, ask, in_doubt};
use crate::column::{Column, Columns};
use crate::{DATA_SOURCE, DATABASE, ENDPOINT, Page, Value};

/// How late a query may see what was written. Notion names no time.
const SEEN_AFTER: Duration = Duration::from_secs(2);

/// Where the pages are.
///
/// Every call of it fails as the [crate](crate) says.
#[derive(Debug)]
pub struct Database {
    columns: Columns,
    /// The column that tells which thing a page is about.
    id: &'static str,
    /// Asked for when it is needed.
    data_source: OnceCell<String>,
}

/// What [`Database::keep`] did. Reads like the beginning of a summary: `made`, `updated`,
/// `nothing new on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// There was no page.
    Made,
    /// The page said something else.
    Updated,
    /// The page said all of it already.
    Same,
}

impl Database {
    pub(crate) fn new(columns: impl Iterator<Item = Column>, id: &'static str) -> Self {
        Self {
            columns: Columns::configured(columns),
            id,
            data_source: OnceCell::new(),
        }
    }

    /// Keeps the one page of a thing: makes it where there is none, else changes what `says`
    /// wants otherwise. That is given the page as it stands, empty where there is none yet, and
    /// returns values by column; those that the page shows already are not sent again.
    ///
    /// However often a thing is kept, it has one page, if the runs about it go one at a time: by
    /// the ordering key of the plugin's trigger. Where a run dies before anybody knows whether it
    /// made the page, the next one may come before a search sees it: `on_dead = "block"` has it
    /// wait for an operator.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find), [`create`](Self::create) and [`update`](Self::update).
    pub fn keep(
        &self,
        id: &str,
        run: &Run,
        says: impl FnOnce(&Page) -> Vec<(&'static str, Value)>,
    ) -> Result<(Kept, Page), Failure> {
        let Some(page) = self.find(id, run)? else {
            let values = says(&Page::default());
            return Ok((Kept::Made, self.create(id, &values)?));
        };
        let mut values = says(&page);
        values.retain(|(column, value)| page.value(column) != Some(value));
        match values.is_empty() {
            true => Ok((Kept::Same, page)),
            false => Ok((Kept::Updated, self.update(&page, &values)?)),
        }
    }

    /// The page of a thing.
    ///
    /// Which one it is is remembered in kv, as `page/ID`; where it is not, or is in the trash, it
    /// is searched for. A run that is tried again searches twice: an earlier attempt may have
    /// made it just now, and searches see a new page late.
    ///
    /// # Errors
    ///
    /// Retry or permanent, as Notion's refusal is.
    pub fn find(&self, id: &str, run: &Run) -> Result<Option<Page>, Failure> {
        let remembered = format!("page/{id}");
        if let Some(page) = kv::get_json::<String>(&remembered)? {
            let page = self.read(&page)?;
            if page.is_some() {
                return Ok(page);
            }
        }
        let id = Value::text(id);
        let mut found = self.search(self.id, &id)?;
        if found.is_none() && run.attempt > 1 {
            clock::sleep(SEEN_AFTER);
            found = self.search(self.id, &id)?;
        }
        let Some(found) = found else { return Ok(None) };
        kv::set_json(&remembered, &found)?;
        // What a search shows of a page can be old.
        self.read(&found)
    }

    /// The oldest page with this value in a column. A search: it may not see what was written
    /// within the last seconds, neither which pages there are nor what they say.
    ///
    /// # Errors
    ///
    /// Retry or permanent, as Notion's refusal is.
    pub fn find_by(&self, column: &str, value: &Value) -> Result<Option<Page>, Failure> {
        match self.search(column, value)? {
            Some(found) => self.read(&found),
            None => Ok(None),
        }
    }

    /// Makes the page of a thing that has none, and remembers it.
    ///
    /// Notion knows no idempotency keys. Where the page may have been made although no answer
    /// says so, the next attempt is not before a search can see it.
    ///
    /// # Errors
    ///
    /// Retry or permanent, as Notion's refusal is. Permanent where a value does not belong in its
    /// column.
    pub fn create(&self, id: &str, values: &[(&str, Value)]) -> Result<Page, Failure> {
        let values = [values, &[(self.id, Value::text(id))]].concat();
        let body = json!({
            "parent": { "type": "data_source_id", "data_source_id": self.data_source()? },
            "properties": self.columns.write(&values)?,
        });
        let answer = match ask(http::post(ENDPOINT, "/v1/pages").json(&body)?) {
            Ok(answer) => answer,
            Err(refusal) if refusal.is_in_doubt() => return Err(refusal.later()),
            Err(refusal) => return Err(self.explained(refusal)),
        };
        let answer = answer.json();
        let unread = |_| in_doubt("Notion: the answer is not JSON", Duration::ZERO);
        let answer: Json = answer.map_err(unread)?;
        let page = self.columns.read(&answer);
        kv::set_json(&format!("page/{id}"), &page.id)?;
        Ok(page)
    }

    /// Changes a page: the columns of these values, and no others.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn update(&self, page: &Page, values: &[(&str, Value)]) -> Result<Page, Failure> {
        let body = json!({ "properties": self.columns.write(values)? });
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

    fn search(&self, column: &str, value: &Value) -> Result<Option<String>, Failure> {
        let path = format!("/v1/data_sources/{}/query", self.data_source()?);
        let body = json!({
            "filter": self.columns.filter(column, value)?,
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
        let id = match config::get(DATA_SOURCE) {
            Some(id) => id,
            None => only_data_source(&config::require(DATABASE)?)?,
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

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Made => "made",
            Self::Updated => "updated",
            Self::Same => "nothing new on",
        })
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
                "the database has {} data sources: set config.{DATA_SOURCE} to one of {}",
                several.len(),
                Vec::from_iter(all).join(", ")
            )))
        }
    }
}
