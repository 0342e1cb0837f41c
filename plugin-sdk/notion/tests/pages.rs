//! Pages that are kept in the stand-in for Notion: found, made, changed, left alone.
//!
//! What Notion refuses is in `refusals.rs`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use hookbay_notion::{Column, Pages, Value};
use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, manifest};
use hookbay_stand_in::notion::{self, Kind, Notion, Options};
use hookbay_stand_in::{Request, Service};
use serde_json::{Value as Json, json};

const ORDERS: Pages = Pages::new(
    &[
        Column::title("title", "Name"),
        Column::number("total", "Amount"),
        Column::select("state", "Status"),
        Column::date("day", "Due"),
        Column::date("at", "Updated"),
        Column::url("link", "Link"),
    ],
    Column::text("id", "Stripe ID"),
);

/// Keeps the page of order 7 as its event says; with `by` it only looks for one.
struct Probe;

impl Plugin for Probe {
    fn manifest() -> Manifest {
        ORDERS.wants(manifest!())
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let said: Json = event.json()?;
        let value = |name: &str| match &said[name] {
            Json::String(text) => Some(Value::text(text)),
            Json::Number(number) => number.as_f64().map(Value::Number),
            _ => None,
        };
        let database = ORDERS.open();
        if let Some(column) = said["by"].as_str() {
            let wanted = value("value").expect("there is one");
            let found = database.find_by(column, &wanted)?;
            let title = found.as_ref().and_then(|page| page.text("title"));
            return Ok(Success::new(title.unwrap_or("none")));
        }
        let seconds = |name: &str| said[name].as_i64();
        let (kept, page) = database.keep("7", run, |_| {
            let plain = ["title", "total", "state", "link"];
            let plain = plain.map(|name| (name, value(name)));
            let dates = [
                ("day", seconds("day").map(Value::day)),
                ("at", seconds("at").map(Value::time)),
            ];
            let all = plain.into_iter().chain(dates);
            all.filter_map(|(name, value)| Some((name, value?)))
                .collect()
        })?;
        let dates = ["day", "at"].map(|name| page.date(name).map_or("-", |date| date.as_str()));
        let total = page.number("total").unwrap_or_default();
        Success::new(format!("{kept} {}, {total}", dates.join(", "))).with_data(&page)
    }
}

/// A host with the probe, and the Notion that it writes to.
struct World {
    host: Host,
    notion: Rc<RefCell<Notion>>,
}

impl World {
    fn new(lag_queries: u64) -> Self {
        let options = Options {
            lag_queries,
            ..Options::quick()
        };
        let notion = Rc::new(RefCell::new(Notion::new(options)));
        let mut world = Self {
            host: Host::new(),
            notion,
        };
        world.restart();
        world
    }

    /// A host that remembers nothing.
    fn restart(&mut self) {
        self.host = Host::new().with_config("database_id", notion::DATABASE);
        let notion = Rc::clone(&self.notion);
        self.host.serve("notion", move |request| {
            carry_out(request, &mut notion.borrow_mut())
        });
    }

    fn say(&mut self, said: &Json) -> Attempt {
        self.attempt(1, said)
    }

    fn attempt(&mut self, number: u32, said: &Json) -> Attempt {
        let event = testing::json_event("shop", "order", said);
        self.host.attempt::<Probe>(&event, &testing::run(number))
    }

    fn titles(&self) -> Vec<String> {
        let notion = self.notion.borrow();
        notion.pages().map(|page| page.text("Name")).collect()
    }
}

fn carry_out(request: &testing::Request, notion: &mut Notion) -> Answer {
    let mut asked = Request::new(&request.method, &request.path, &request.body);
    for (name, value) in &request.headers {
        let value = value.replace("[secret NOTION_TOKEN]", notion::TOKEN);
        asked.headers.push((name.clone(), value));
    }
    let given = notion.answer(&asked, UNIX_EPOCH);
    let answer = Answer::new(given.status).body(given.body);
    let headers = given.headers.iter();
    headers.fold(answer, |answer, (name, value)| answer.header(name, value))
}

/// The requests as lines of `METHOD /path/without/ids`.
fn lines(attempt: &Attempt) -> Vec<String> {
    let line = |request: &testing::Request| {
        let words = request.path.split('/').filter(|part| !part.contains('-'));
        let words = words.filter(|part| *part != notion::DATABASE);
        format!("{} {}", request.method, Vec::from_iter(words).join("/"))
    };
    attempt.requests.iter().map(line).collect()
}

#[test]
fn a_page_is_made_then_changed_then_left_alone() {
    let mut world = World::new(0);
    let first = json!({
        "title": "Order 7", "total": 84.9, "state": "open", "day": 1_773_648_000,
        "at": 1_772_439_292, "link": "https://shop.example/7",
    });
    let made = world.say(&first);
    let shown = "2026-03-16, 2026-03-02T08:14:00.000+00:00";
    assert_eq!(made.summary(), format!("made {shown}, 84.9"));
    assert_eq!(
        lines(&made),
        [
            "GET /v1/databases",
            "POST /v1/data_sources/query",
            "POST /v1/pages"
        ]
    );
    // The same again, in another second of the minute, which Notion does not keep.
    for at in [1_772_439_292, 1_772_439_241] {
        let mut again = first.clone();
        again["at"] = json!(at);
        let again = world.say(&again);
        assert_eq!(again.summary(), format!("nothing new on {shown}, 84.9"));
        assert_eq!(lines(&again), ["GET /v1/pages"]);
    }
    let mut changed = first.clone();
    changed["total"] = json!(90);
    let changed = world.say(&changed);
    assert_eq!(changed.summary(), format!("updated {shown}, 90"));
    assert_eq!(lines(&changed), ["GET /v1/pages", "PATCH /v1/pages"]);
    // Only what is news is sent.
    let sent: Json = changed.requests[1].json();
    assert_eq!(
        sent,
        json!({ "properties": { "Amount": { "number": 90.0 } } })
    );
    let data: Json = changed.data();
    assert_eq!(
        Vec::from_iter(data.as_object().expect("an object").keys()),
        ["page", "url"]
    );
    assert_eq!(world.titles(), ["Order 7"]);
}

/// What was remembered is gone, as after a crash that came before the commit, and searches see
/// a page late.
#[test]
fn a_page_that_is_not_remembered_is_searched_for() {
    for (lag_queries, attempt, n_pages) in [
        (0, 1, 1),
        (0, 2, 1),
        (1, 2, 1),
        // Nobody says that a first attempt may come after another.
        (1, 1, 2),
    ] {
        let mut world = World::new(lag_queries);
        let said = json!({ "title": "Order 7" });
        world.say(&said);
        world.restart();
        world.attempt(attempt, &said);
        assert_eq!(
            world.titles().len(),
            n_pages,
            "attempt {attempt}, lag {lag_queries}"
        );
    }
}

#[test]
fn a_page_in_the_trash_is_made_anew() {
    let mut world = World::new(0);
    let said = json!({ "title": "Order 7" });
    world.say(&said);
    world.notion.borrow_mut().trash_all();
    let again = world.say(&said);
    assert!(again.summary().starts_with("made "), "{}", again.summary());
    assert_eq!(world.titles(), ["Order 7"]);
}

#[test]
fn pages_are_found_by_any_column() {
    let mut world = World::new(0);
    world.say(&json!({ "title": "Order 7", "state": "open", "total": 84.9 }));
    for (by, value, expected) in [
        ("state", json!("open"), "Order 7"),
        ("state", json!("closed"), "none"),
        ("total", json!(84.9), "Order 7"),
        ("title", json!("Order 7"), "Order 7"),
        ("id", json!("7"), "Order 7"),
    ] {
        let found = world.say(&json!({ "by": by, "value": value }));
        assert_eq!(found.summary(), expected, "by {by}");
    }
    let unknown = world.say(&json!({ "by": "colour", "value": "red" }));
    let expected = Failure::permanent("the plugin's pages have no `colour`");
    assert_eq!(unknown.failure(), &expected);
}

#[test]
fn columns_can_have_other_names() {
    let mut world = World::new(0);
    world.notion.borrow_mut().columns_mut()[0].0 = "Bestellung".to_owned();
    world.host = std::mem::take(&mut world.host).with_config("property_title", "Bestellung");
    world.say(&json!({ "title": "Order 7" }));
    let notion = world.notion.borrow();
    let names: Vec<String> = notion.pages().map(|page| page.text("Bestellung")).collect();
    assert_eq!(names, ["Order 7"]);
}

#[test]
fn columns_that_are_wrong_are_named_all_at_once() {
    for (change, problems) in [
        (
            (|columns| columns.retain(|(name, _)| name != "Link")) as fn(&mut Vec<(String, Kind)>),
            "`Link` (url) is missing [config.property_link]",
        ),
        (
            |columns| columns.retain(|(name, _)| name != "Link" && name != "Stripe ID"),
            "`Link` (url) is missing [config.property_link]; `Stripe ID` (rich_text) is missing \
             [config.property_id]",
        ),
        (
            |columns| {
                let due = columns.iter_mut().find(|(name, _)| name == "Due");
                due.expect("there is one").1 = Kind::RichText;
            },
            "`Due` is rich_text, not date [config.property_day]",
        ),
    ] {
        let mut world = World::new(0);
        change(world.notion.borrow_mut().columns_mut());
        let attempt = world.say(&json!({
            "title": "Order 7", "day": 0, "link": "https://shop.example/7",
        }));
        let expected = Failure::permanent(format!(
            "columns of the Notion database: {problems}. Add them, or name others"
        ));
        assert_eq!(attempt.failure(), &expected);
    }
}

/// A mistake of the plugin's.
#[test]
fn a_value_must_belong_in_its_column() {
    let mut world = World::new(0);
    let attempt = world.say(&json!({ "title": "Order 7", "total": "much" }));
    let expected = Failure::permanent("the plugin's `total` is number, its value is not");
    assert_eq!(attempt.failure(), &expected);
    assert_eq!(world.titles(), [""; 0]);
}

#[test]
fn a_text_is_cut_to_what_a_column_takes() {
    let mut world = World::new(0);
    world.say(&json!({ "title": "é".repeat(2_500) }));
    assert_eq!(world.titles()[0].chars().count(), 2_000);
}

#[test]
fn the_operator_is_asked_for_all_that_it_takes() {
    let manifest = ORDERS.wants(manifest!());
    let keys: Vec<(&str, bool)> = manifest
        .config
        .iter()
        .map(|want| (want.name.as_str(), want.is_required))
        .collect();
    let expected = [
        ("database_id", true),
        ("data_source_id", false),
        ("property_title", false),
        ("property_total", false),
        ("property_state", false),
        ("property_day", false),
        ("property_at", false),
        ("property_link", false),
        ("property_id", false),
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        manifest.config[3].doc,
        "name of the number column for this, `Amount` without it"
    );
}
