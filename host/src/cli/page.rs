//! Which part of a list is asked for, and how to see the rest: shared by every list that is
//! ordered by time.

use super::client::Parameter;
use super::table::Screen;
use super::text::{self, Moment, moment};

/// How many a list has if nobody says, as the API has it.
const LIMIT_DEFAULT: u16 = 50;

/// Which part of a list.
#[derive(Debug, clap::Args)]
pub(crate) struct Window {
    #[command(flatten)]
    period: Period,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: Option<u16>,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// From when to when.
#[derive(Debug, clap::Args)]
pub(crate) struct Period {
    /// Not older than this time (RFC 3339), date, or age (15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Older than this time, date, or age
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
}

/// A [`Window`] as query parameters.
#[derive(Debug)]
pub(crate) struct WindowQuery {
    since: Option<String>,
    until: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

impl Window {
    pub(crate) fn query(&self, screen: &Screen) -> WindowQuery {
        WindowQuery {
            since: self.period.since(screen),
            until: self.period.until(screen),
            limit: self.limit.map(|limit| limit.to_string()),
            cursor: self.cursor.clone(),
        }
    }

    /// How many a list has at most.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT).into()
    }

    /// Where it goes on.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

impl Period {
    pub(crate) fn since(&self, screen: &Screen) -> Option<String> {
        self.since.map(|since| since.rfc3339(screen.now))
    }

    pub(crate) fn until(&self, screen: &Screen) -> Option<String> {
        self.until.map(|until| until.rfc3339(screen.now))
    }
}

impl WindowQuery {
    pub(crate) fn parameters(&self) -> [Parameter<'_>; 4] {
        let [since, until] = self.period();
        [
            since,
            until,
            ("limit", self.limit.as_deref()),
            ("cursor", self.cursor.as_deref()),
        ]
    }

    /// From when to when, without the part.
    pub(crate) fn period(&self) -> [Parameter<'_>; 2] {
        [
            ("since", self.since.as_deref()),
            ("until", self.until.as_deref()),
        ]
    }
}

/// How to see what comes after a page; nothing after the last.
pub(crate) fn next_page(cursor: Option<&str>) -> String {
    cursor.map_or_else(String::new, |cursor| {
        format!(
            "\nmore with --cursor '{}'\n",
            text::harmless(&cursor.replace('\'', r"'\''"))
        )
    })
}
