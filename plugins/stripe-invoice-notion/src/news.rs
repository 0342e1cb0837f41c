//! What a bill adds to its page: which status wins, and which column gets what.

use hookbay_notion::{Date, Page, Value};
use hookbay_stripe::{Amount, Bill, Status};

/// Sums over a life, of which the largest counts.
const SUMS: [&str; 2] = ["paid", "refunded"];

/// The values by which the page is to be changed; all that is known where it is empty.
pub(crate) fn news(bill: &Bill, page: &Page) -> Vec<(&'static str, Value)> {
    let mut news = Vec::new();
    let at = Date::time(bill.at);
    let shown = page.text("status").and_then(Status::named);
    if (Some(bill.status), Some(&at)) > (shown, page.date("updated")) {
        news.push(("status", Value::text(bill.status.name())));
        news.push(("updated", Value::Date(at)));
    }
    // A draft, and a payment or a refund of an invoice, only fill in what is missing.
    let is_final = match bill.payment {
        None => bill.status != Status::Draft,
        Some(_) => bill.status == Status::Paid,
    };
    news.extend(
        details(bill).filter(|(name, value)| match (page.value(name), value) {
            (None, _) => true,
            (Some(Value::Number(shown)), Value::Number(sum)) if SUMS.contains(name) => sum > shown,
            (Some(_), _) => is_final,
        }),
    );
    news
}

/// What the bill says beside its status.
fn details(bill: &Bill) -> impl Iterator<Item = (&'static str, Value)> {
    let text = |text: &Option<String>| text.as_deref().map(Value::text);
    let money = |amount: &Option<Amount>| amount.as_ref().map(|sum| Value::Number(sum.to_f64()));
    let mut details = vec![
        ("title", Some(Value::text(&bill.to_string()))),
        ("currency", Some(Value::text(&bill.currency))),
        ("paid", money(&bill.paid)),
        ("refunded", money(&bill.refunded)),
    ];
    // An invoice's own events know the rest better than its payments do.
    if bill.payment.is_none() || !bill.is_invoice() {
        details.extend([
            ("amount", money(&bill.total)),
            ("customer", text(&bill.customer)),
            ("number", text(&bill.number)),
            ("due", bill.due.map(Value::day)),
            ("link", text(&bill.link)),
        ]);
    }
    let said = details.into_iter();
    said.filter_map(|(name, value)| Some((name, value?)))
}
