//! Statements over many rows: `insert … values (…), (…), …`.
//!
//! What costs is less the row than the way to the database's thread and back, so
//! any number of rows up to [`ROWS_MAX`] goes in one statement. Each size's text is
//! made when it is first needed, and prepared once.

use std::sync::{Arc, OnceLock};

/// Most rows of one statement; with the widest rows well under SQLite's bound of
/// 32,766 values.
const ROWS_MAX: usize = 128;

/// A statement that takes a varying number of rows.
pub(super) struct ManyRows {
    head: &'static str,
    row: &'static str,
    tail: &'static str,
    /// The text for one row, for two, and so on.
    texts: [OnceLock<Arc<str>>; ROWS_MAX],
}

impl ManyRows {
    /// A statement of `head`, so many times `row`, and `tail`.
    pub(super) const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Self {
        Self {
            head,
            row,
            tail,
            texts: [const { OnceLock::new() }; ROWS_MAX],
        }
    }

    /// Splits `items` into pieces that each have a statement of their size.
    pub(super) fn split<'a, T>(
        &'a self,
        items: &'a [T],
    ) -> impl Iterator<Item = (Arc<str>, &'a [T])> {
        items
            .chunks(ROWS_MAX)
            .map(|piece| (self.text(piece.len()), piece))
    }

    fn text(&self, rows: usize) -> Arc<str> {
        let make = || {
            let rows = vec![self.row; rows].join(", ");
            format!("{} {rows} {}", self.head, self.tail).into()
        };
        Arc::clone(self.texts[rows - 1].get_or_init(make))
    }
}

#[cfg(test)]
mod tests {
    use super::ManyRows;

    #[test]
    fn any_number_of_rows_splits() {
        let statement = ManyRows::new("insert into t values", "(?)", "returning a");
        for (count, expected) in [
            (0, vec![]),
            (1, vec![1]),
            (128, vec![128]),
            (300, vec![128, 128, 44]),
        ] {
            let items = vec![0; count];
            let sizes: Vec<usize> = statement
                .split(&items)
                .map(|(_, piece)| piece.len())
                .collect();
            assert_eq!(sizes, expected);
        }
        let (sql, _) = statement.split(&[1, 2, 3]).next().unwrap();
        assert_eq!(&*sql, "insert into t values (?), (?), (?) returning a");
    }
}
