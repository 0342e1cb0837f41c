//! Tells a Slack channel of Stripe checkouts: paid, waiting for the payment, failed.
//!
//! An example of typed payloads: serde reads what the message says, and skips the rest.
//! <https://docs.stripe.com/api/checkout/sessions/object>

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, manifest};
use hookbay_slack::{self as slack, Message, escape, link};
use hookbay_stripe::{Amount, StripeEvent};
use serde::Deserialize;

struct StripeCheckout;

hookbay_plugin::export!(StripeCheckout);

impl Plugin for StripeCheckout {
    fn manifest() -> Manifest {
        let session = |end| Trigger::provider("stripe", format!("checkout.session.{end}"));
        slack::wants(manifest!())
            .trigger(session("completed"))
            .trigger(session("async_payment_succeeded"))
            .trigger(session("async_payment_failed"))
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let happened: StripeEvent<Session> = event.json()?;
        let session = &happened.data.object;
        let headline = session.headline(&happened.kind);
        let reference = session
            .client_reference_id
            .as_deref()
            .unwrap_or(&session.id);
        let posted = Message::new(escape(&headline))
            .section(format!(
                "*{}*",
                link(&session.page(happened.livemode), &headline)
            ))
            .context(escape(reference))
            .post(run)?;
        Success::new(format!("posted: {headline}")).with_data(&posted)
    }
}

#[derive(Deserialize)]
struct Session {
    id: String,
    amount_total: Option<i64>,
    currency: Option<String>,
    customer_details: Option<Customer>,
    /// `paid`, `unpaid` or `no_payment_required`.
    payment_status: String,
    /// None for a subscription, or before there is anything to pay.
    payment_intent: Option<String>,
    subscription: Option<String>,
    /// The shop's own name for it.
    client_reference_id: Option<String>,
}

#[derive(Deserialize)]
struct Customer {
    name: Option<String>,
    email: Option<String>,
}

impl Session {
    fn headline(&self, kind: &str) -> String {
        let (who, amount) = (self.who(), self.amount());
        match (kind, self.payment_status.as_str()) {
            ("checkout.session.async_payment_failed", _) => {
                format!("Payment of {amount} by {who} failed")
            }
            (_, "paid") => format!("{who} paid {amount}"),
            (_, "unpaid") => format!("{who} ordered for {amount}, the payment is on its way"),
            (_, _) => format!("{who} checked out, nothing to pay"),
        }
    }

    fn who(&self) -> &str {
        let customer = self.customer_details.as_ref();
        let name = customer.and_then(|customer| customer.name.as_deref());
        let email = customer.and_then(|customer| customer.email.as_deref());
        name.or(email).unwrap_or("Somebody")
    }

    fn amount(&self) -> String {
        match (self.amount_total, &self.currency) {
            (Some(minor), Some(currency)) => Amount::new(minor, currency).to_string(),
            (_, _) => "nothing".to_owned(),
        }
    }

    /// Where the dashboard shows it.
    fn page(&self, is_live: bool) -> String {
        let test = if is_live { "" } else { "test/" };
        match (&self.payment_intent, &self.subscription) {
            (Some(payment), _) => format!("https://dashboard.stripe.com/{test}payments/{payment}"),
            (None, Some(id)) => format!("https://dashboard.stripe.com/{test}subscriptions/{id}"),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
