//! Rows in, the whole table out.

use super::{facts, render, text_width};

fn check(rows: &[&[&str]], width: Option<usize>, table: &str) {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| (*cell).to_owned()).collect())
        .collect();
    assert_eq!(render(&["ID", "KIND", "NOTE"], &rows, width), table);
}

#[test]
fn columns_align_and_lines_end_at_their_text() {
    check(
        &[&["e1", "push", "ok"], &["event-2", "a", ""]],
        None,
        "ID       KIND  NOTE\ne1       push  ok\nevent-2  a\n",
    );
}

#[test]
fn the_widest_column_is_cut_to_fit() {
    check(
        &[
            &["e1", "push", "a rather long note"],
            &["e2", "issues.opened", "short"],
        ],
        Some(24),
        "ID  KIND       NOTE\ne1  push       a rather…\ne2  issues.o…  short\n",
    );
}

#[test]
fn the_first_column_is_cut_last() {
    check(
        &[&["0123456789abcdef", "push", "a rather long note"]],
        Some(30),
        "ID                KIND  NOTE\n0123456789abcdef  push  a rat…\n",
    );
    check(
        &[&["0123456789abcdef", "push", "a rather long note"]],
        Some(26),
        "ID            KIND  NOTE\n0123456789a…  push  a rat…\n",
    );
}

#[test]
fn a_tiny_terminal_still_gets_a_table() {
    check(
        &[&["0123456789", "0123456789", "0123456789"]],
        Some(3),
        "ID      KIND    NOTE\n01234…  01234…  01234…\n",
    );
}

#[test]
fn wide_characters_keep_the_columns_aligned() {
    check(
        &[&["日本", "e\u{301}", "x"], &["abcd", "é", "y"]],
        None,
        "ID    KIND  NOTE\n日本  e\u{301}     x\nabcd  é     y\n",
    );
    let cut = render(
        &["ID", "NAME"],
        &[vec!["1".to_owned(), "日本語日本語".to_owned()]],
        Some(10),
    );
    assert!(cut.lines().all(|line| text_width(line) <= 10), "{cut}");
}

#[test]
fn cells_are_harmless() {
    check(
        &[&["e1", "\u{1b}]0;title\u{7}", "a\nb\u{202e}"]],
        None,
        "ID  KIND                 NOTE\ne1  \\u{1b}]0;title\\u{7}  a\\nb\\u{202e}\n",
    );
}

#[test]
fn no_columns_make_no_harm() {
    assert_eq!(render(&[], &[], Some(0)), "\n");
}

#[test]
fn facts_leave_out_what_is_unknown() {
    let entries = [
        ("id", Some("e1".to_owned())),
        ("provider", None),
        ("kind", Some("x\u{7}".to_owned())),
    ];
    assert_eq!(facts(&entries), "id        e1\nkind      x\\u{7}\n");
}
