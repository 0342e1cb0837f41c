//! Keeps one page per Stripe invoice in a Notion database.
//!
//! [`stripe`] reads an event as a [`Change`]: whose page it is about and what it says of it.
//! [`notion`] finds, makes and changes pages. Here the two meet, by these rules:
//!
//! - **One page per invoice.** It carries the invoice's id, and Notion is asked for it before
//!   one is made. Runs about the same invoice go one at a time, by their ordering key. A
//!   payment that names no invoice has a page of its own.
//! - **In any order.** Stripe promises none. The status moves only to a higher rank, or to a
//!   later time within one. What a draft says only stands in for what the finalized invoice
//!   says, which never changes again. Sums only grow.
//! - **Again is nothing.** A page that says already what an event says is left alone, so that
//!   retries and replays do no harm.

mod calendar;
mod notion;
mod stripe;

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, kv, log, manifest};

use notion::{Database, Page, Value};
use stripe::{Change, Status};

struct StripeInvoiceNotion;

hookbay_plugin::export!(StripeInvoiceNotion);

/// The events, and where each says whose page it is about: of several places the first where
/// there is something. Runs with the same there go one at a time.
const TRIGGERS: [(&str, &str); 12] = [
    ("invoice.created", "/data/object/id"),
    ("invoice.finalized", "/data/object/id"),
    ("invoice.paid", "/data/object/id"),
    ("invoice.payment_failed", "/data/object/id"),
    ("invoice.voided", "/data/object/id"),
    ("invoice.marked_uncollectible", "/data/object/id"),
    ("payment_intent.succeeded", "/data/object/invoice"),
    (
        "payment_intent.succeeded",
        "/data/object/payment_details/order_reference",
    ),
    ("payment_intent.succeeded", "/data/object/id"),
    ("charge.refunded", "/data/object/invoice"),
    ("charge.refunded", "/data/object/payment_intent"),
    ("charge.refunded", "/data/object/id"),
];

impl Plugin for StripeInvoiceNotion {
    fn manifest() -> Manifest {
        let triggers = TRIGGERS.into_iter();
        let trigger =
            |(kind, place): (&str, _)| Trigger::provider("stripe", kind).ordered_by(place);
        notion::with_wants(triggers.map(trigger).fold(manifest!(), Manifest::trigger))
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let mut change = Change::read(event)?;
        know_invoice(&mut change)?;
        let database = Database::open();
        let page = database.find(change.key(), run)?;
        let updates = updates(&change, page.as_ref());
        let (what, page) = match page {
            None => ("made", database.create(change.key(), &updates)?),
            Some(page) if updates.is_empty() => ("nothing new on", page),
            Some(page) => ("updated", database.update(&page, &updates)?),
        };
        let shown = |name| page.text(name).unwrap_or("nothing");
        let summary = format!("{what} {}: {}", shown("title"), shown("status"));
        log::info!("{summary}"; page = page.url);
        Success::new(summary).with_data(&page)
    }
}

/// A charge has not named its invoice since 2025, but its payment did when it succeeded: that
/// is remembered.
fn know_invoice(change: &mut Change) -> Result<(), Failure> {
    let Some(payment) = &change.payment else {
        return Ok(());
    };
    let key = format!("invoice-of/{payment}");
    match &change.invoice {
        Some(invoice) => kv::set_json(&key, invoice)?,
        None => change.invoice = kv::get_json(&key)?,
    }
    Ok(())
}

/// What a change adds to a page, by property; all of it where there is no page yet.
fn updates(change: &Change, page: Option<&Page>) -> Vec<(&'static str, Value)> {
    let shown = |name| page.and_then(|page| page.value(name));
    let text = |name| page.and_then(|page| page.text(name));
    let mut updates = Vec::new();
    let rank = (Some(change.status), Some(calendar::minute(&change.at)));
    let shown_rank = (
        text("status").and_then(Status::named),
        text("updated").map(calendar::minute),
    );
    if rank > shown_rank {
        updates.push(("status", Value::text(change.status.name())));
        updates.push(("updated", Value::text(&change.at)));
    }
    for (name, value) in change.details() {
        let is_news = match (shown(name), &value) {
            (None, _) => true,
            (Some(Value::Number(shown)), Value::Number(sum)) if stripe::GROWING.contains(&name) => {
                sum > shown
            }
            (Some(shown), value) => change.is_final && shown != value,
        };
        if is_news {
            updates.push((name, value));
        }
    }
    // What is the same already need not be said again.
    updates.retain(|(name, value)| shown(name) != Some(value));
    updates
}

#[cfg(test)]
mod tests;
