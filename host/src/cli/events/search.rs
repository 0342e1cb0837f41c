//! `hookbay events list -q`: the host looks into so many bodies at a time; this asks on until
//! there are as many events as were asked for, or everything was looked into.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::CommandError;
use super::super::client::{AdminClient, ClientError, Parameter};
use super::super::page::next_page;
use super::super::text;
use super::Listed;

/// What is said where a body could not be looked into.
const UNREAD: &str = "\nbodies that are longer than 1 MiB, damaged, or encrypted with a key that \
                      the host lacks were not looked into\n";
/// How long it asks on; who wants more goes on from there.
const ASKS_FOR: Duration = Duration::from_secs(30);

/// A page of what was found.
#[derive(Debug, Deserialize)]
struct Found {
    items: Vec<Listed>,
    next_cursor: Option<String>,
    searched: Searched,
}

/// What was looked into beside ids, kinds and indexed values.
#[derive(Debug, Default, Deserialize)]
struct Searched {
    bodies: u64,
    bodies_since: Option<String>,
    is_complete: bool,
}

/// What all pages together gave.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) items: Vec<Listed>,
    searched: Searched,
    next_cursor: Option<String>,
    /// Whether there are as many as were asked for.
    is_full: bool,
    /// Why it ended before that, where a later page could not be had.
    pub(super) error: Option<ClientError>,
}

/// Looks for at most `limit` events from `cursor` on. What earlier pages gave is kept where a
/// later one cannot be had.
///
/// # Errors
/// As any command that asks the host, for the first page.
pub(super) async fn search(
    client: &AdminClient,
    filter: &[Parameter<'_>],
    cursor: Option<&str>,
    limit: usize,
) -> Result<Search, CommandError> {
    let began = Instant::now();
    let mut all = Search {
        items: Vec::new(),
        searched: Searched::default(),
        next_cursor: cursor.map(str::to_owned),
        is_full: false,
        error: None,
    };
    let mut is_first = true;
    loop {
        let left = (limit - all.items.len()).to_string();
        let place = [
            ("limit", Some(left.as_str())),
            ("cursor", all.next_cursor.as_deref()),
        ];
        let parameters = [filter, &place].concat();
        let found: Found = match client.get_json(&["events"], &parameters).await {
            Ok(found) => found,
            Err(error) if is_first => return Err(error.into()),
            Err(error) => {
                all.error = Some(error);
                return Ok(all);
            }
        };
        is_first = false;
        all.items.extend(found.items);
        all.searched.bodies += found.searched.bodies;
        let since = &mut all.searched.bodies_since;
        *since = found.searched.bodies_since.or(since.take());
        all.searched.is_complete = found.searched.is_complete;
        all.next_cursor = found.next_cursor;
        all.is_full = all.items.len() >= limit;
        if all.is_full || all.next_cursor.is_none() || began.elapsed() > ASKS_FOR {
            return Ok(all);
        }
    }
}

impl Search {
    /// What stands where nothing was found.
    pub(super) fn nothing(&self) -> &'static str {
        match self.next_cursor {
            Some(_) => "no events match so far",
            None => "no events match",
        }
    }

    /// What was not looked into, and how to go on; nothing, if everything was.
    pub(super) fn rest(&self) -> String {
        let more = next_page(self.next_cursor.as_deref());
        if self.next_cursor.is_none() {
            let note = if self.searched.is_complete {
                ""
            } else {
                UNREAD
            };
            return note.to_owned();
        }
        if self.is_full {
            return more;
        }
        let n = self.searched.bodies;
        let looked = format!("{n} bod{}", if n == 1 { "y" } else { "ies" });
        let Some(since) = &self.searched.bodies_since else {
            return format!("\nbodies were not looked into yet{more}");
        };
        let since = text::harmless(since);
        format!("\nlooked into {looked}, back to {since}; older ones were not{more}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Search, Searched, UNREAD};

    fn search(next_cursor: Option<&str>, is_full: bool, is_complete: bool) -> Search {
        Search {
            items: Vec::new(),
            searched: Searched {
                bodies: 1200,
                bodies_since: Some("2026-11-22T01:30:00.000Z".to_owned()),
                is_complete,
            },
            next_cursor: next_cursor.map(str::to_owned),
            is_full,
            error: None,
        }
    }

    #[test]
    fn what_was_not_looked_into_is_told_and_how_to_go_on() {
        for (search, nothing, rest) in [
            (search(None, false, true), "no events match", ""),
            (search(None, false, false), "no events match", UNREAD),
            (
                search(Some("bodies.1"), true, false),
                "no events match so far",
                "\nmore with --cursor 'bodies.1'\n",
            ),
            (
                search(Some("bodies.1"), false, false),
                "no events match so far",
                "\nlooked into 1200 bodies, back to 2026-11-22T01:30:00.000Z; older ones were not\
                 \nmore with --cursor 'bodies.1'\n",
            ),
        ] {
            assert_eq!((search.nothing(), search.rest().as_str()), (nothing, rest));
        }
    }
}
