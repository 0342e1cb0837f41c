//! Events in every order, again, and through failures: always one page, always the same.

use std::cell::Cell;
use std::rc::Rc;

use hookbay_plugin::testing::{self, Answer, Host};
use hookbay_plugin::{Event, Failure};
use hookbay_stand_in::notion::{DATABASE, Options};
use serde_json::json;

use super::{
    StripeInvoiceNotion, World, carry_out, changed, charge, draft, event, invoice, payment,
};

/// Attempts that a run has: more than usual, as more goes wrong than usual.
const ATTEMPTS: u32 = 100;

/// Numbers that look random, the same in every run (Knuth's constants).
#[derive(Clone)]
struct Dice(Rc<Cell<u64>>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed)))
    }

    /// One of `0..sides`.
    fn roll(&self, sides: u64) -> u64 {
        let state = self.0.get();
        let next = state.wrapping_mul(6_364_136_223_846_793_005);
        self.0.set(next.wrapping_add(1_442_695_040_888_963_407));
        (self.0.get() >> 33) % sides
    }
}

/// Every order of so many things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(n - 1) {
        for place in 0..n {
            let mut order = shorter.clone();
            order.insert(place, n - 1);
            all.push(order);
        }
    }
    all
}

/// What may come of a request instead of its answer.
fn unlucky(world: &mut World, dice: &Dice) {
    let dice = dice.clone();
    world.serve(move |request, notion| match dice.roll(18) {
        0 => Answer::new(429).header("retry-after", "1"),
        1 => Answer::new(500),
        2 => Answer::new(409),
        3 => Answer::unavailable(),
        // Done, but nobody learns of it.
        4 => {
            drop(carry_out(request, notion));
            Answer::timeout()
        }
        5 => {
            drop(carry_out(request, notion));
            Answer::new(502)
        }
        _ => carry_out(request, notion),
    });
}

/// Handles an event as the host does: until it succeeds. Now and then the host is killed
/// after the plugin has succeeded and before that is committed: then nothing was.
fn run(world: &mut World, event: &Event, dice: &Dice) {
    for attempt in 1..=ATTEMPTS {
        let before: Vec<(String, Vec<u8>)> = world
            .host
            .all_stored()
            .map(|(key, value)| (key.to_owned(), value.to_vec()))
            .collect();
        let made = world
            .host
            .attempt::<StripeInvoiceNotion>(event, &testing::run(attempt));
        let is_killed = dice.roll(8) == 0;
        match made.result {
            Ok(_) if !is_killed => return,
            Ok(_) => {
                let restored = Host::new().with_config("database_id", DATABASE);
                world.host = before
                    .into_iter()
                    .fold(restored, |host, (key, value)| host.with_stored(&key, value));
                unlucky(world, dice);
            }
            Err(Failure::Retry { .. }) => {}
            Err(Failure::Permanent { reason }) => panic!("{reason}"),
        }
    }
    panic!("{ATTEMPTS} attempts were not enough");
}

/// Sends the events in every order, some of them twice, with failures: one page each time,
/// and the same one.
fn check_all_orders(events: &[Event], page: &str) {
    for (seed, order) in (0..).zip(orders(events.len())) {
        for lag_queries in [0, 1] {
            let dice = Dice::new(seed * 2 + lag_queries);
            let mut world = World::with(Options {
                lag_queries,
                ..Options::quick()
            });
            unlucky(&mut world, &dice);
            for &index in &order {
                run(&mut world, &events[index], &dice);
                let earlier = usize::try_from(dice.roll(6)).expect("it is small");
                if let Some(again) = order.get(earlier) {
                    run(&mut world, &events[*again], &dice);
                }
            }
            assert_eq!(world.pages(), [page], "{order:?} with lag {lag_queries}");
        }
    }
}

#[test]
fn an_invoices_life_ends_the_same_in_every_order() {
    let paid = json!({ "status": "paid", "amount_paid": 11_900 });
    let events = [
        event("invoice.created", 1_772_439_000, &draft()),
        event("invoice.finalized", 1_772_439_060, &invoice()),
        event("invoice.paid", 1_772_439_120, &changed(invoice(), paid)),
        event(
            "invoice.voided",
            1_772_439_180,
            &changed(invoice(), json!({ "status": "void" })),
        ),
    ];
    check_all_orders(
        &events,
        "in_1: ACME-0001 · Acme GmbH | Void | 119 | EUR | 119 | Acme GmbH | ACME-0001 \
         | 2026-03-16 | https://invoice.stripe.com/i/1 | 2026-03-02T08:13:00.000+00:00",
    );
}

/// All in one second, as it happens, in the shape before 2025.
#[test]
fn a_refund_ends_the_same_in_every_order() {
    let paid = json!({ "status": "paid", "amount_paid": 11_900 });
    let of_invoice = || json!({ "invoice": "in_1" });
    let partly = json!({ "invoice": "in_1", "refunded": false, "amount_refunded": 2_000 });
    let at = 1_772_439_120;
    let events = [
        event("invoice.created", at, &draft()),
        event("invoice.paid", at, &changed(invoice(), paid)),
        event(
            "payment_intent.succeeded",
            at,
            &changed(payment(), of_invoice()),
        ),
        event("charge.refunded", at, &changed(charge(), partly)),
        event("charge.refunded", at, &changed(charge(), of_invoice())),
    ];
    check_all_orders(
        &events,
        "in_1: ACME-0001 · Acme GmbH | Refunded | 119 | EUR | 119 | 119 | Acme GmbH | ACME-0001 \
         | 2026-03-16 | https://invoice.stripe.com/i/1 | 2026-03-02T08:12:00.000+00:00",
    );
}

#[test]
fn the_same_again_writes_nothing() {
    let mut world = World::new();
    let first = world.handle("invoice.paid", &invoice());
    let again = world.handle("invoice.paid", &invoice());
    assert_eq!(
        again.summary(),
        "nothing new on ACME-0001 · Acme GmbH: Paid"
    );
    assert_eq!(
        again.data::<serde_json::Value>(),
        first.data::<serde_json::Value>()
    );
    let methods: Vec<&str> = again.requests.iter().map(|one| &*one.method).collect();
    assert_eq!(methods, ["GET"]);
}
