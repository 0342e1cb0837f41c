//! A Notion database with one page per thing, for plugins that keep one: per invoice, order,
//! incident. A plugin says which [`Pages`] it keeps, asks the operator for what that takes by
//! [`Pages::wants`], and has what an event says [kept](Database::keep).
//!
//! ```
//! use hookbay_notion::{Column, Pages, Value};
//! use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, manifest, testing};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! /// The columns, as they are called here and in Notion, and the one that tells pages apart.
//! const ORDERS: Pages = Pages::new(
//!     &[Column::title("title", "Name"), Column::number("total", "Total")],
//!     Column::text("id", "Order ID"),
//! );
//!
//! #[derive(Deserialize)]
//! struct Order {
//!     id: String,
//!     total: f64,
//! }
//!
//! struct OrderPages;
//!
//! impl Plugin for OrderPages {
//!     fn manifest() -> Manifest {
//!         // A page is looked for, then made: one event of an order at a time.
//!         let orders = Trigger::provider("shop", "order.*").ordered_by("/id");
//!         ORDERS.wants(manifest!()).trigger(orders)
//!     }
//!
//!     fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
//!         let order: Order = event.json()?;
//!         let (kept, page) = ORDERS.open().keep(&order.id, run, |_page| {
//!             vec![
//!                 ("title", Value::text(&format!("Order {}", order.id))),
//!                 ("total", Value::Number(order.total)),
//!             ]
//!         })?;
//!         Success::new(format!("{kept} order {}", order.id)).with_data(&page)
//!     }
//! }
//!
//! let mut host = testing::Host::new().with_config("data_source_id", "d1");
//! host.on("notion", "POST", "/v1/data_sources/d1/query", |_| {
//!     testing::Answer::json(200, &json!({ "results": [] }))
//! });
//! host.on("notion", "POST", "/v1/pages", |request| {
//!     let sent: serde_json::Value = request.json();
//!     assert_eq!(sent["properties"]["Total"]["number"], 84.9);
//!     testing::Answer::json(200, &json!({ "id": "p1", "url": "https://www.notion.so/p1" }))
//! });
//! let order = json!({ "id": "7", "total": 84.9 });
//! let attempt = host.handle::<OrderPages>(&testing::json_event("shop", "order.paid", &order));
//! assert_eq!(attempt.summary(), "made order 7");
//! ```
//!
//! Every call fails as Notion has it: 429, 409, 5xx and no answer are worth a retry, not before
//! the time in `Retry-After`; anything else is permanent, with Notion's own words, and columns
//! that are wrong or missing all at once.
//!
//! It speaks API version 2025-09-03, the one from which on databases can have several data
//! sources: an older one fails from the day on which somebody adds a second to the database.
//! The operator names the database, as it stands in its address; its data source is asked for.
//! <https://developers.notion.com/docs/upgrade-guide-2025-09-03>

mod call;
mod column;
mod database;
mod page;
mod value;

pub use column::Column;
pub use database::{Database, Kept};
pub use page::Page;
pub use value::{Date, Value};

use hookbay_plugin::Manifest;

/// The endpoint's name in the manifest and the grant.
const ENDPOINT: &str = "notion";
/// The token's.
const TOKEN: &str = "NOTION_TOKEN";
/// The configuration keys of the database and its data source.
const DATABASE: &str = "database_id";
const DATA_SOURCE: &str = "data_source_id";

/// The pages that a plugin keeps: their columns, by the plugin's own names for them.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    columns: &'static [Column],
    /// The column that tells which thing a page is about.
    id: Column,
}

impl Pages {
    /// Pages with these columns, one of them the title, and one with text for the id of the
    /// thing that a page is about.
    #[must_use]
    pub const fn new(columns: &'static [Column], id: Column) -> Self {
        Self { columns, id }
    }

    /// Adds to a manifest what keeping them needs from the operator: the endpoint, a token, the
    /// database, and for each column `config.property_NAME` if it is called otherwise there.
    pub fn wants(&self, manifest: Manifest) -> Manifest {
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
            .requires_config(DATABASE, "the database: 32 digits in its address")
            .reads_config(DATA_SOURCE, "which, if the database has several");
        self.all().fold(manifest, Column::wants)
    }

    /// The database that the operator has configured. Nothing is asked of Notion yet.
    #[must_use]
    pub fn open(&self) -> Database {
        Database::new(self.all(), self.id.name)
    }

    fn all(&self) -> impl Iterator<Item = Column> {
        self.columns.iter().copied().chain([self.id])
    }
}
