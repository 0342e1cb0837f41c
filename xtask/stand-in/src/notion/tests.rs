//! The stand-in held to what Notion's reference says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{DATA_SOURCE, DATABASE, Kind, Notion, Options, TOKEN, VERSION};
use crate::http::{Answer, Request};
use crate::service::Service;

fn request(method: &str, path: &str, body: &Value) -> Request {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut request = Request::new(method, path, body.as_bytes());
    request.headers = vec![
        ("Authorization".to_owned(), format!("Bearer {TOKEN}")),
        ("notion-version".to_owned(), VERSION.to_owned()),
    ];
    request
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Asks at a time; the status and the body.
fn ask(notion: &mut Notion, seconds: u64, method: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = notion.answer(&request(method, path, &body), at(seconds));
    read(&answer)
}

fn read(answer: &Answer) -> (u16, Value) {
    let body = serde_json::from_slice(&answer.body).expect("every answer is JSON");
    (answer.status, body)
}

fn a_page(id: &str) -> Value {
    json!({
        "parent": { "type": "data_source_id", "data_source_id": DATA_SOURCE },
        "properties": {
            "Name": { "title": [{ "text": { "content": "Invoice" } }] },
            "Stripe ID": { "rich_text": [{ "text": { "content": id } }] },
            "Amount": { "number": 10.99 },
            "Due": { "date": { "start": "2026-03-16" } },
            "Updated": { "date": { "start": "2026-03-02T08:14:52Z" } },
        },
    })
}

fn by_id(id: &str) -> Value {
    json!({ "filter": { "property": "Stripe ID", "rich_text": { "equals": id } } })
}

const QUERY: &str = "/v1/data_sources/5aca1e00d00d4000800000000000d501/query";

#[test]
fn a_page_is_made_found_read_and_changed() {
    let notion = &mut Notion::default();
    let (status, made) = ask(notion, 0, "POST", "/v1/pages", a_page("in_1"));
    assert_eq!((status, &made["object"]), (200, &json!("page")), "{made}");
    assert_eq!(made["properties"]["Amount"]["number"], 10.99);
    assert_eq!(made["properties"]["Status"]["select"], Value::Null);
    let start = |name: &str| made["properties"][name]["date"]["start"].clone();
    assert_eq!(start("Due"), "2026-03-16");
    assert_eq!(start("Updated"), "2026-03-02T08:14:00.000+00:00");

    let (_, found) = ask(notion, 0, "POST", QUERY, by_id("in_1"));
    assert_eq!(found["results"][0]["id"], made["id"], "{found}");
    let (_, none) = ask(notion, 0, "POST", QUERY, by_id("in_2"));
    assert_eq!(none["results"], json!([]));

    let path = format!("/v1/pages/{}", made["id"].as_str().expect("an id"));
    let paid = json!({ "properties": { "Status": { "select": { "name": "Paid" } } } });
    assert_eq!(ask(notion, 0, "PATCH", &path, paid).0, 200);
    let (_, page) = ask(notion, 0, "GET", &path, Value::Null);
    assert_eq!(page["properties"]["Status"]["select"]["name"], "Paid");
    assert_eq!(page["properties"]["Amount"]["number"], 10.99);

    let trash = json!({ "in_trash": true });
    assert_eq!(ask(notion, 0, "PATCH", &path, trash.clone()).0, 200);
    assert_eq!(ask(notion, 0, "PATCH", &path, trash).0, 400);
    assert_eq!(notion.pages().count(), 0);
    let (_, none) = ask(notion, 0, "POST", QUERY, by_id("in_1"));
    assert_eq!(none["results"], json!([]));
}

#[test]
fn a_database_names_its_data_source() {
    let notion = &mut Notion::default();
    let path = format!("/v1/databases/{DATABASE}");
    let (_, database) = ask(notion, 0, "GET", &path, Value::Null);
    assert_eq!(database["data_sources"][0]["id"], DATA_SOURCE);
    let path = format!("/v1/data_sources/{DATA_SOURCE}");
    let (_, source) = ask(notion, 0, "GET", &path, Value::Null);
    assert_eq!(source["properties"]["Due"]["type"], "date");
}

#[test]
fn a_query_sees_late_and_what_it_sees_is_old() {
    let lag = Options {
        lag: Duration::from_secs(5),
        ..Options::quick()
    };
    let notion = &mut Notion::new(lag);
    let (_, made) = ask(notion, 10, "POST", "/v1/pages", a_page("in_1"));
    let path = format!("/v1/pages/{}", made["id"].as_str().expect("an id"));
    let found = |notion: &mut Notion, seconds| ask(notion, seconds, "POST", QUERY, by_id("in_1")).1;
    assert_eq!(found(notion, 14)["results"], json!([]));
    assert_eq!(found(notion, 15)["results"][0]["id"], made["id"]);
    let changed = json!({ "properties": { "Amount": { "number": 5 } } });
    ask(notion, 20, "PATCH", &path, changed);
    let amount = |page: &Value| page["properties"]["Amount"]["number"].clone();
    assert_eq!(amount(&found(notion, 24)["results"][0]), 10.99);
    assert_eq!(amount(&ask(notion, 24, "GET", &path, Value::Null).1), 5);
    assert_eq!(amount(&found(notion, 25)["results"][0]), 5);
}

#[test]
fn a_lag_can_be_counted_in_queries() {
    let lag = Options {
        lag_queries: 2,
        ..Options::quick()
    };
    let notion = &mut Notion::new(lag);
    ask(notion, 0, "POST", "/v1/pages", a_page("in_1"));
    let seen = |notion: &mut Notion| {
        let (_, found) = ask(notion, 0, "POST", QUERY, by_id("in_1"));
        found["results"].as_array().map_or(0, Vec::len)
    };
    assert_eq!([seen(notion), seen(notion), seen(notion)], [0, 0, 1]);
}

#[test]
fn mistakes_are_named_as_notion_does() {
    let notion = &mut Notion::default();
    notion.columns_mut().retain(|(name, _)| name != "Amount");
    notion.columns_mut()[0] = ("Title".to_owned(), Kind::Title);
    let (status, error) = ask(notion, 0, "POST", "/v1/pages", a_page("in_1"));
    assert_eq!((status, &error["code"]), (400, &json!("validation_error")));
    assert_eq!(
        error["message"],
        "Amount is not a property that exists. Name is not a property that exists."
    );
    let text = |content: &str| json!({ "rich_text": [{ "text": { "content": content } }] });
    for (property, value, message) in [
        ("Due", json!({ "number": 1 }), "Due is expected to be date."),
        ("Number", text(&"x".repeat(2_001)), "≤ `2000`"),
        ("Status", json!({ "select": { "name": "a,b" } }), "commas"),
        ("Link", json!({ "url": "" }), "body.properties.Link.url"),
    ] {
        let mut page = a_page("in_1");
        page["properties"] = json!({ property: value });
        let (status, error) = ask(notion, 0, "POST", "/v1/pages", page);
        let said = error["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{error}");
        assert!(said.contains(message), "{said}");
    }
    let filter = json!({ "filter": { "property": "Nope", "rich_text": { "equals": "" } } });
    let (_, error) = ask(notion, 0, "POST", QUERY, filter);
    assert_eq!(
        error["message"],
        "Could not find property with name or id: Nope"
    );
    let filter = json!({ "filter": { "property": "Title", "rich_text": { "equals": "" } } });
    let (_, error) = ask(notion, 0, "POST", QUERY, filter);
    let said = error["message"].as_str().unwrap_or_default();
    assert!(said.ends_with("property title does not match filter rich_text"));
    let (status, error) = ask(notion, 0, "GET", "/v1/pages/none", Value::Null);
    assert_eq!((status, &error["code"]), (404, &json!("object_not_found")));
}

#[test]
fn callers_say_who_they_are_and_which_version_they_speak() {
    let notion = &mut Notion::default();
    let path = format!("/v1/databases/{DATABASE}");
    for (name, value, status, code) in [
        ("Authorization", None, 401, "unauthorized"),
        ("Authorization", Some("Bearer other"), 401, "unauthorized"),
        ("notion-version", None, 400, "missing_version"),
        ("notion-version", Some("2021"), 400, "validation_error"),
    ] {
        let mut request = request("GET", &path, &Value::Null);
        request.headers.retain(|(own, _)| own != name);
        if let Some(value) = value {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        let (given, error) = read(&notion.answer(&request, at(0)));
        assert_eq!((given, &error["code"]), (status, &json!(code)));
    }
}

#[test]
fn requests_over_the_rate_are_told_when_to_come_back() {
    let notion = &mut Notion::new(Options::lifelike());
    let path = format!("/v1/databases/{DATABASE}");
    let get = request("GET", &path, &Value::Null);
    let mut statuses = |seconds, n: usize| -> Vec<u16> {
        let answers = (0..n).map(|_| notion.answer(&get, at(seconds)).status);
        answers.collect()
    };
    assert_eq!(statuses(100, 10), [200; 10]);
    assert_eq!(statuses(100, 1), [429]);
    assert_eq!(statuses(101, 4), [200, 200, 200, 429]);
    let refused = notion.answer(&get, at(101));
    assert!(refused.headers.contains(&("retry-after", "1".to_owned())));
}
