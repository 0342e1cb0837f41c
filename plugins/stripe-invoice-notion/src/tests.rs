//! The plugin on the fake host, against the stand-in for Notion.
//!
//! What a payload becomes is in `tests/payloads.rs`, what comes of many in any order in
//! `tests/orders.rs`, what goes wrong in `tests/refusals.rs`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use hookbay_plugin::testing::{self, Answer, Attempt, Host};
use hookbay_stand_in::notion::{self, Notion, Options};
use hookbay_stand_in::{Request, Service};
use serde_json::{Value, json};

use super::StripeInvoiceNotion;

mod orders;
mod payloads;
mod refusals;

/// A host with the plugin, and the Notion that it writes to.
struct World {
    host: Host,
    notion: Rc<RefCell<Notion>>,
}

impl World {
    fn new() -> Self {
        Self::with(Options::quick())
    }

    fn with(options: Options) -> Self {
        let notion = Rc::new(RefCell::new(Notion::new(options)));
        let host = Host::new().with_config("database_id", notion::DATABASE);
        let mut world = Self { host, notion };
        world.serve(carry_out);
        world
    }

    /// Lets requests be answered by this.
    fn serve(
        &mut self,
        mut answer: impl FnMut(&testing::Request, &mut Notion) -> Answer + 'static,
    ) {
        let notion = Rc::clone(&self.notion);
        self.host.serve("notion", move |request| {
            answer(request, &mut notion.borrow_mut())
        });
    }

    fn handle(&mut self, kind: &str, object: &Value) -> Attempt {
        let event = event(kind, 1_772_439_292, object);
        self.host.handle::<StripeInvoiceNotion>(&event)
    }

    /// The pages as lines of `Name | Status | …`, empty columns left out.
    fn pages(&self) -> Vec<String> {
        let columns = [
            "Name", "Status", "Amount", "Currency", "Paid", "Refunded", "Customer", "Number",
            "Due", "Link", "Updated",
        ];
        let notion = self.notion.borrow();
        let line = |page: &notion::Page| {
            let texts = columns.iter().map(|column| page.text(column));
            let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
            format!("{}: {}", page.text("Stripe ID"), texts.join(" | "))
        };
        notion.pages().map(line).collect()
    }
}

/// An event of Stripe's.
fn event(kind: &str, created: u64, object: &Value) -> hookbay_plugin::Event {
    let body = json!({
        "id": "evt_1", "object": "event", "type": kind, "created": created, "livemode": false,
        "data": { "object": object },
    });
    testing::json_event("stripe", kind, &body)
}

/// Has Notion do what a request asks for.
fn carry_out(request: &testing::Request, notion: &mut Notion) -> Answer {
    let mut asked = Request::new(&request.method, &request.path, &request.body);
    for (name, value) in &request.headers {
        let value = value.replace("[secret NOTION_TOKEN]", notion::TOKEN);
        asked.headers.push((name.clone(), value));
    }
    answer(notion.answer(&asked, UNIX_EPOCH))
}

fn answer(given: hookbay_stand_in::Answer) -> Answer {
    let answer = Answer::new(given.status).body(given.body);
    let headers = given.headers.iter();
    headers.fold(answer, |answer, (name, value)| answer.header(name, value))
}

/// An object with the fields of `changes` instead of its own; null takes a field away.
fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().expect("changes are an object") {
        object[name] = value.clone();
    }
    object
}

/// A finalized invoice.
fn invoice() -> Value {
    json!({
        "id": "in_1", "object": "invoice", "number": "ACME-0001", "status": "open",
        "currency": "eur", "total": 11_900, "amount_due": 11_900, "amount_paid": 0,
        "customer": "cus_1", "customer_name": "Acme GmbH", "customer_email": "a@acme.example",
        "due_date": 1_773_648_000, "hosted_invoice_url": "https://invoice.stripe.com/i/1",
        "lines": { "object": "list", "data": [{ "id": "il_1", "amount": 11_900 }] },
    })
}

/// The same before it was finalized, when it was for less.
fn draft() -> Value {
    let before = json!({
        "status": "draft", "number": null, "total": 9_900, "due_date": null,
        "hosted_invoice_url": null,
    });
    changed(invoice(), before)
}

fn payment() -> Value {
    json!({
        "id": "pi_1", "object": "payment_intent", "amount": 11_900, "amount_received": 11_900,
        "currency": "eur", "customer": "cus_1", "receipt_email": null, "status": "succeeded",
    })
}

fn charge() -> Value {
    json!({
        "id": "ch_1", "object": "charge", "amount": 11_900, "amount_refunded": 11_900,
        "refunded": true, "currency": "eur", "customer": "cus_1", "payment_intent": "pi_1",
        "receipt_url": "https://pay.stripe.com/receipts/1",
    })
}
