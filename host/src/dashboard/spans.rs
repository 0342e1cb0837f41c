//! Spans of time up to now, as links beside a filter: nobody types the time of an hour ago.

use std::time::Duration;

use super::list::Filter;
use crate::clock::Timestamp;

/// Those that are offered, beside all of time.
const SPANS: [(&str, Duration); 3] = [
    ("last hour", Duration::from_hours(1)),
    ("last 24 hours", Duration::from_hours(24)),
    ("last 7 days", Duration::from_hours(24 * 7)),
];

/// A link to the same list over one span.
pub(super) struct Span {
    pub(super) name: &'static str,
    pub(super) address: String,
    /// Whether it is the one that is looked at, nearly.
    pub(super) is_current: bool,
}

/// Links to the list at `path` with this filter but for its times.
pub(super) fn spans(now: Timestamp, path: &str, filter: &Filter) -> Vec<Span> {
    let since_to_now = |since: &str| filter.with(path, &[("since", since), ("until", "")]);
    let (since, until) = (filter.value("since"), filter.value("until"));
    let mut spans = vec![Span {
        name: "any time",
        address: since_to_now(""),
        is_current: since.is_empty() && until.is_empty(),
    }];
    let asked = Timestamp::parse(since).filter(|_| until.is_empty());
    let asked = asked.map(|since| now.since(since));
    spans.extend(SPANS.into_iter().map(|(name, length)| Span {
        name,
        address: since_to_now(&now.minus(length).to_string()),
        is_current: asked.is_some_and(|asked| asked >= length && asked - length < length / 5),
    }));
    spans
}

#[cfg(test)]
mod tests {
    use super::{Filter, spans};
    use crate::clock::Timestamp;

    #[test]
    fn each_span_keeps_the_rest_of_the_filter() {
        let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
        let filter = [("kind", "a.*"), ("since", ""), ("until", "")];
        let filter = Filter::new(filter.map(|(name, value)| (name, value.to_owned())));
        let links = spans(now, "/events", &filter);
        let hour = "/events?kind=a.*&since=2026-11-22T11%3A00%3A00.000Z";
        assert_eq!(links[0].address, "/events?kind=a.*");
        assert_eq!(
            (links[1].name, links[1].address.as_str()),
            ("last hour", hour)
        );
        assert!(links[0].is_current && links[1..].iter().all(|link| !link.is_current));
    }

    #[test]
    fn the_span_that_is_looked_at_stays_so_while_time_goes_on() {
        let current = |since: &str, until: &str| {
            let filter = Filter::new([("since", since.to_owned()), ("until", until.to_owned())]);
            let now = Timestamp::parse("2026-11-22T12:00:00Z").unwrap();
            let links = spans(now, "/runs", &filter);
            let current = links.iter().position(|link| link.is_current);
            current.map(|at| links[at].name)
        };
        assert_eq!(current("2026-11-22T11:00:00Z", ""), Some("last hour"));
        assert_eq!(current("2026-11-22T10:55:00Z", ""), Some("last hour"));
        assert_eq!(current("2026-11-22T10:00:00Z", ""), None);
        assert_eq!(current("2026-11-21T12:00:00Z", ""), Some("last 24 hours"));
        assert_eq!(
            current("2026-11-22T11:00:00Z", "2026-11-22T11:30:00Z"),
            None
        );
        assert_eq!(current("nonsense", ""), None);
    }
}
