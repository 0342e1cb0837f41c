//! What a plugin keeps, by key.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use serde::Deserialize;

use super::api::{Items, segment, with_query};
use super::failure::Failure;
use super::frame::{self, Frame, Visit};
use super::shown;

/// Characters of a value that stand in the list.
const VALUE_CHARS: usize = 4000;

/// A key and what stands under it: text, or bytes that are none.
#[derive(Deserialize)]
struct Item {
    key: String,
    value: Option<String>,
    size_bytes: i64,
    updated_at: String,
}

#[derive(Template)]
#[template(path = "kv.html")]
struct KvPage {
    frame: Frame,
    plugin: String,
    /// Its page.
    page: String,
    address: String,
    /// With what is looked for.
    first: String,
    prefix: String,
    items: Vec<Item>,
    is_later: bool,
    next: Option<String>,
}

/// `GET /plugins/{name}/kv?prefix=`.
pub(super) async fn list(
    visit: Visit,
    Path(plugin): Path<String>,
) -> Result<Response<Body>, Failure> {
    let prefix = visit.asked("prefix").unwrap_or_default().to_owned();
    let cursor = visit.asked("cursor");
    let page = format!("/plugins/{}", segment(&plugin));
    let address = format!("{page}/kv");
    let of = ("prefix", Some(prefix.as_str()));
    let path = format!("plugins/{}/kv", segment(&plugin));
    let path = with_query(&path, &[of, ("limit", Some("50")), ("cursor", cursor)]);
    let found: Items<Item> = visit.get(&path).await?;
    let next = found.next_cursor;
    let next = next.map(|next| with_query(&address, &[of, ("cursor", Some(&next))]));
    frame::page(&KvPage {
        frame: visit.frame("plugins", format!("What {plugin} keeps")),
        is_later: cursor.is_some(),
        items: found.items,
        first: with_query(&address, &[of]),
        plugin,
        page,
        address,
        prefix,
        next,
    })
}

impl Item {
    /// Its beginning, where it is text.
    fn text(&self) -> Option<&str> {
        let value = self.value.as_deref();
        value.map(|value| shown::beginning(value, VALUE_CHARS))
    }

    fn is_cut(&self) -> bool {
        self.text().map(str::len) != self.value.as_ref().map(String::len)
    }
}
