//! Keeps one page per Stripe invoice in a Notion database, by these rules:
//!
//! - **One page per invoice.** It carries the invoice's id, and Notion is asked for it before
//!   one is made. Runs about the same invoice go one at a time, by their ordering key. A
//!   payment that names no invoice has a page of its own. A refund names only its payment in
//!   Stripe's versions since 2025-03-31, and goes in the order of that.
//! - **In any order.** Stripe promises none. The status moves only to a higher rank, or to a
//!   later time within one. What a draft says only stands in for what the finalized invoice
//!   says, which never changes again. Sums only grow.
//! - **Again is nothing.** A page that says already what an event says is left alone, so that
//!   retries and replays do no harm.

mod news;

use hookbay_notion::{Column, Pages};
use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger};
use hookbay_plugin::{kv, log, manifest};
use hookbay_stripe::{Bill, Charge, Invoice, PaymentIntent, StripeEvent};

struct StripeInvoiceNotion;

hookbay_plugin::export!(StripeInvoiceNotion);

/// The columns, as they are called here and in Notion, and the one that tells pages apart.
const PAGES: Pages = Pages::new(
    &[
        Column::title("title", "Name"),
        Column::select("status", "Status"),
        Column::number("amount", "Amount"),
        Column::select("currency", "Currency"),
        Column::number("paid", "Paid"),
        Column::number("refunded", "Refunded"),
        Column::text("customer", "Customer"),
        Column::text("number", "Number"),
        Column::date("due", "Due"),
        Column::url("link", "Link"),
        Column::date("updated", "Updated"),
    ],
    Column::text("id", "Stripe ID"),
);

impl Plugin for StripeInvoiceNotion {
    fn manifest() -> Manifest {
        // The ordering key: of several places the first where there is something.
        let on = |kind, at| Trigger::provider("stripe", kind).ordered_by(at);
        let payment = |at| on("payment_intent.succeeded", at);
        let refund = |at| on("charge.refunded", at);
        PAGES
            .wants(manifest!())
            .trigger(on("invoice.created", "/data/object/id"))
            .trigger(on("invoice.finalized", "/data/object/id"))
            .trigger(on("invoice.paid", "/data/object/id"))
            .trigger(on("invoice.payment_failed", "/data/object/id"))
            .trigger(on("invoice.voided", "/data/object/id"))
            .trigger(on("invoice.marked_uncollectible", "/data/object/id"))
            .trigger(payment("/data/object/invoice"))
            .trigger(payment("/data/object/payment_details/order_reference"))
            .trigger(payment("/data/object/id"))
            .trigger(refund("/data/object/invoice"))
            .trigger(refund("/data/object/payment_intent"))
            .trigger(refund("/data/object/id"))
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let mut bill = read(event)?;
        know_invoice(&mut bill)?;
        let news = |page: &_| news::news(&bill, page);
        let (kept, page) = PAGES.open().keep(&bill.id, run, news)?;
        let shown = |name| page.text(name).unwrap_or("nothing");
        let summary = format!("{kept} {}: {}", shown("title"), shown("status"));
        log::info!("{summary}"; page = page.url);
        Success::new(summary).with_data(&page)
    }
}

fn read(event: &Event) -> Result<Bill, Failure> {
    match event.kind.split('.').next() {
        Some("invoice") => Ok(event.json::<StripeEvent<Invoice>>()?.into()),
        Some("payment_intent") => Ok(event.json::<StripeEvent<PaymentIntent>>()?.into()),
        Some("charge") => Ok(event.json::<StripeEvent<Charge>>()?.into()),
        _ => Err(Failure::permanent(format!(
            "{} is about neither invoices nor payments",
            event.kind
        ))),
    }
}

/// A charge has not named its invoice since 2025, but its payment did when it succeeded: that
/// is remembered.
fn know_invoice(bill: &mut Bill) -> Result<(), Failure> {
    let Some(payment) = &bill.payment else {
        return Ok(());
    };
    let key = format!("invoice-of/{payment}");
    if bill.is_invoice() {
        kv::set_json(&key, &bill.id)?;
    } else if let Some(invoice) = kv::get_json(&key)? {
        bill.id = invoice;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
