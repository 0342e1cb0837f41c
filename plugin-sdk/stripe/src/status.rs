//! How far an invoice or a payment has come.
//!
//! Stripe delivers in any order, and its times have whole seconds: neither tells which of two
//! events is the later. The rank of a status does.

/// An invoice's status, from the lowest rank to the highest. A paid invoice can neither fail
/// nor be voided, and a void one is never paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It can still be changed.
    Draft,
    /// It is finalized and waits to be paid.
    Open,
    /// A payment was tried and failed.
    PaymentFailed,
    /// A payment has succeeded, which need not be the whole sum.
    PaymentReceived,
    /// The merchant expects no payment any more.
    Uncollectible,
    /// It is paid.
    Paid,
    /// A part of what was paid has gone back.
    PartiallyRefunded,
    /// All of a payment has gone back.
    Refunded,
    /// It was cancelled.
    Void,
}

impl Status {
    /// Every status, in the order of ranks.
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Open,
        Self::PaymentFailed,
        Self::PaymentReceived,
        Self::Uncollectible,
        Self::Paid,
        Self::PartiallyRefunded,
        Self::Refunded,
        Self::Void,
    ];

    /// For people: `Payment failed`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "Draft",
            Self::Open => "Open",
            Self::PaymentFailed => "Payment failed",
            Self::PaymentReceived => "Payment received",
            Self::Uncollectible => "Uncollectible",
            Self::Paid => "Paid",
            Self::PartiallyRefunded => "Partially refunded",
            Self::Refunded => "Refunded",
            Self::Void => "Void",
        }
    }

    /// The one of this [name](Self::name).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// What stands in an invoice; none for a word that did not exist yet.
    pub(crate) fn stated(status: &str) -> Option<Self> {
        match status {
            "draft" => Some(Self::Draft),
            "open" => Some(Self::Open),
            "uncollectible" => Some(Self::Uncollectible),
            "paid" => Some(Self::Paid),
            "void" => Some(Self::Void),
            _ => None,
        }
    }
}
