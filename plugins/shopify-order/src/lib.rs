//! Tells a Slack channel of Shopify orders: placed, paid, cancelled, refunded.
//!
//! An example of typed payloads: serde reads what the messages say, and skips the rest.
//! <https://shopify.dev/docs/api/admin-rest/latest/resources/order>

use hookbay_plugin::{Event, Failure, Manifest, Plugin, Run, Success, Trigger, manifest};
use hookbay_slack::{self as slack, Message, escape, link};
use serde::Deserialize;

struct ShopifyOrder;

hookbay_plugin::export!(ShopifyOrder);

impl Plugin for ShopifyOrder {
    fn manifest() -> Manifest {
        let shopify = |kind| Trigger::provider("shopify", kind);
        slack::wants(manifest!())
            .trigger(shopify("orders/create"))
            .trigger(shopify("orders/paid"))
            .trigger(shopify("orders/cancelled"))
            .trigger(shopify("refunds/create"))
    }

    fn handle(event: &Event, run: &Run) -> Result<Success, Failure> {
        let shop = event.header("X-Shopify-Shop-Domain");
        let admin = |order: u64| match shop {
            Some(shop) => format!("https://{shop}/admin/orders/{order}"),
            None => String::new(),
        };
        let (headline, url, lines) = match event.kind.as_str() {
            "refunds/create" => {
                let refund: Refund = event.json()?;
                (refund.headline(), admin(refund.order_id), refund.lines())
            }
            kind => {
                let order: Order = event.json()?;
                (order.headline(kind), admin(order.id), order.lines())
            }
        };
        let posted = Message::new(escape(&headline))
            .section(format!("*{}*\n{lines}", link(&url, &headline)))
            .context(escape(shop.unwrap_or("Shopify")))
            .post(run)?;
        Success::new(format!("posted: {headline}")).with_data(&posted)
    }
}

#[derive(Deserialize)]
struct Order {
    id: u64,
    /// What shop and customer call it: `#1001`.
    name: String,
    /// A decimal number, as text.
    total_price: String,
    currency: String,
    customer: Option<Customer>,
    cancel_reason: Option<String>,
    line_items: Vec<LineItem>,
}

#[derive(Deserialize)]
struct Customer {
    first_name: Option<String>,
    last_name: Option<String>,
}

#[derive(Deserialize)]
struct LineItem {
    title: String,
    quantity: u64,
}

#[derive(Deserialize)]
struct Refund {
    order_id: u64,
    note: Option<String>,
    transactions: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    amount: String,
    currency: String,
}

impl Order {
    fn headline(&self, kind: &str) -> String {
        let (name, total, currency) = (&self.name, &self.total_price, &self.currency);
        let customer = self.customer.as_ref().map(Customer::name);
        let customer = customer.unwrap_or_else(|| "a guest".to_owned());
        match kind {
            "orders/paid" => format!("Order {name} paid: {total} {currency} by {customer}"),
            "orders/cancelled" => {
                let reason = self.cancel_reason.as_deref().unwrap_or("no reason");
                format!("Order {name} of {customer} cancelled ({reason})")
            }
            _ => format!("New order {name}: {total} {currency} by {customer}"),
        }
    }

    fn lines(&self) -> String {
        let line = |item: &LineItem| format!("{} \u{d7} {}", item.quantity, escape(&item.title));
        self.line_items
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Customer {
    fn name(&self) -> String {
        let names = [&self.first_name, &self.last_name].map(|name| name.as_deref());
        let names: Vec<&str> = names.into_iter().flatten().collect();
        match names.join(" ") {
            name if name.is_empty() => "a customer".to_owned(),
            name => name,
        }
    }
}

impl Refund {
    fn headline(&self) -> String {
        let amount = |part: &Transaction| format!("{} {}", part.amount, part.currency);
        let amounts: Vec<String> = self.transactions.iter().map(amount).collect();
        match amounts.join(" and ") {
            amounts if amounts.is_empty() => "Refund without a payment".to_owned(),
            amounts => format!("Refunded {amounts}"),
        }
    }

    fn lines(&self) -> String {
        slack::quote(self.note.as_deref().unwrap_or_default(), 300)
    }
}

#[cfg(test)]
mod tests;
