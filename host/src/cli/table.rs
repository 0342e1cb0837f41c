//! Tables that fit the terminal, and the one way to stdout.
//!
//! [`render`] is pure; [`Screen`] knows the terminal's width and the time, and writes. A reader
//! that closes the pipe (`| head`) ends the output, which is no failure. How one value reads is
//! [`super::text`]'s.

use std::io::{self, Write};

use serde_json::Value;

use super::{CommandError, text};
use crate::clock::{Clock, Timestamp};

/// Between two columns.
const GAP: usize = 2;

/// No column is cut narrower than this.
const COLUMN_MIN: usize = 6;

/// The terminal as one command sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Columns; none where stdout is no terminal: nothing is cut then.
    width: Option<usize>,
    /// When the command started: what relative times count from.
    pub(crate) now: Timestamp,
}

/// Whether anybody still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Everything was written.
    Present,
    /// The other end of the pipe is closed.
    Gone,
}

impl Screen {
    /// The terminal behind stdout, now.
    pub(crate) fn current() -> Self {
        let width = rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|width| *width > 0);
        Self {
            width,
            now: Clock::system().now(),
        }
    }

    /// A table that fits, or `empty` as one friendly line where there are no rows.
    pub(crate) fn table(&self, headers: &[&str], rows: &[Vec<String>], empty: &str) -> String {
        if rows.is_empty() {
            format!("{empty}\n")
        } else {
            render(headers, rows, self.width)
        }
    }
}

/// Writes to stdout and flushes.
///
/// # Errors
/// [`CommandError::Failed`] if stdout takes no more, say on a full disk.
pub(crate) fn print(text: &str) -> Result<Reader, CommandError> {
    write_bytes(text.as_bytes())
}

/// Writes an answer of the API as indented JSON.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(answer: &Value) -> Result<Reader, CommandError> {
    print(&format!(
        "{}\n",
        text::harmless_json(&format!("{answer:#}"))
    ))
}

/// Writes bytes to stdout as they are and flushes.
///
/// # Errors
/// As [`print()`].
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<Reader, CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Present),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(CommandError::Failed(format!(
            "cannot write to stdout: {error}"
        ))),
    }
}

/// Lines of `label  value`, the values aligned; entries without a value are left out.
pub(crate) fn facts(entries: &[(&str, Option<String>)]) -> String {
    let label_width = entries
        .iter()
        .map(|(label, _)| text_width(label))
        .max()
        .unwrap_or(0);
    entries
        .iter()
        .filter_map(|(label, value)| value.as_ref().map(|value| (label, value)))
        .map(|(label, value)| format!("{label:label_width$}  {}\n", text::harmless(value)))
        .collect()
}

/// Aligned columns, each line at most `width` wide as long as no column has to be cut below
/// six characters for that. The widest column is cut first, with `…`; the first column, which
/// names what the next command takes, only when the others can give no more.
pub(crate) fn render(headers: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let head: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| text::harmless(cell)).collect())
        .collect();
    let mut columns = vec![0; headers.len()];
    for row in rows.iter().chain([&head]) {
        for (column, cell) in columns.iter_mut().zip(row) {
            *column = text_width(cell).max(*column);
        }
    }
    fit(&mut columns, width.unwrap_or(usize::MAX));
    [&head]
        .into_iter()
        .chain(&rows)
        .map(|row| line(row, &columns))
        .collect()
}

/// Narrows columns until the line fits.
fn fit(columns: &mut [usize], width: usize) {
    let Some(gaps) = columns.len().checked_sub(1) else {
        return;
    };
    let mut excess = (columns.iter().sum::<usize>() + gaps * GAP).saturating_sub(width);
    while excess > 0 {
        let (first, rest) = columns.split_at_mut(1);
        let widest = rest.iter_mut().max().filter(|column| **column > COLUMN_MIN);
        let Some(column) = widest.or(first.first_mut().filter(|column| **column > COLUMN_MIN))
        else {
            return;
        };
        *column -= 1;
        excess -= 1;
    }
}

fn line(row: &[String], columns: &[usize]) -> String {
    let mut line = String::new();
    for (cell, column) in row.iter().zip(columns) {
        let cell = cut(cell, *column);
        let padding = (column + GAP).saturating_sub(text_width(&cell));
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', padding));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// The text, or as much of it as leaves room for `…`.
fn cut(text: &str, width: usize) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += char_width(c);
        if used > width {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

fn text_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Cells that a character takes: the wide blocks of Unicode TR 11 and its common combining
/// marks, near enough to align a table.
fn char_width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
