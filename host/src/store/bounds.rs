//! From which event to which, in the words in which either engine finds the place in an
//! index.

use crate::event::EventId;

use super::sql::{Builder, Dialect};

/// The first and the last id that is meant, as numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    low: u128,
    high: u128,
}

impl Bounds {
    /// Every event.
    pub(super) const ALL: Self = Self {
        low: 0,
        high: u128::MAX,
    };

    /// This one or newer.
    pub(super) fn from(mut self, id: EventId) -> Self {
        self.low = self.low.max(number(id));
        self
    }

    /// Newer than this.
    pub(super) fn above(mut self, id: EventId) -> Self {
        self.low = self.low.max(number(id).saturating_add(1));
        self
    }

    /// This one or older.
    pub(super) fn to(mut self, id: EventId) -> Self {
        self.high = self.high.min(number(id));
        self
    }

    /// Older than this.
    pub(super) fn below(mut self, id: EventId) -> Self {
        self.high = self.high.min(number(id).saturating_sub(1));
        self
    }

    /// Whether an event is among them.
    pub(super) fn have(self, id: EventId) -> bool {
        (self.low..=self.high).contains(&number(id))
    }

    /// Of any source and kind, where this column has the id.
    pub(super) fn of_all(self, query: &mut Builder, column: &str) {
        query
            .push(&format!(" and {column} >= "))
            .bind(bytes(self.low));
        query
            .push(&format!(" and {column} <= "))
            .bind(bytes(self.high));
    }

    /// Of one source, or of all without it, and in which order.
    pub(super) fn of_source(
        self,
        query: &mut Builder,
        dialect: Dialect,
        source: Option<&str>,
        is_rising: bool,
    ) {
        let Some(source) = source else {
            self.of_all(query, "id");
            return order(query, dialect, &[], is_rising);
        };
        let columns = ["source"];
        self.of(query, dialect, &columns, |query| {
            query.bind(source.to_owned());
        });
        order(query, dialect, &columns, is_rising);
    }

    /// Where these columns, with which an index begins that ends with the id, have these
    /// values. Postgres is told a part of that index: by equal values and a range of ids it
    /// may walk all events by id, to find few or none.
    pub(super) fn of(
        self,
        query: &mut Builder,
        dialect: Dialect,
        columns: &[&str],
        values: impl Fn(&mut Builder),
    ) {
        self.of_all(query, "id");
        let columns = columns.join(", ");
        match dialect {
            Dialect::Sqlite => {
                query.push(&format!(" and ({columns}) = ("));
                values(query);
                query.push(")");
            }
            Dialect::Postgres => {
                for (sign, bound) in [(">=", self.low), ("<=", self.high)] {
                    query.push(&format!(" and ({columns}, id) {sign} ("));
                    values(query);
                    query.push(", ").bind(bytes(bound)).push(")");
                }
            }
        }
    }
}

/// The order of these columns and ids, for [`Bounds::of`].
pub(super) fn order(query: &mut Builder, dialect: Dialect, columns: &[&str], is_rising: bool) {
    let direction = if is_rising { "" } else { " desc" };
    query.push(" order by ");
    if dialect == Dialect::Postgres {
        for column in columns {
            query.push(column).push(direction).push(", ");
        }
    }
    query.push("id").push(direction);
}

fn number(id: EventId) -> u128 {
    let bytes = id.as_bytes().iter();
    bytes.fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn bytes(number: u128) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}
