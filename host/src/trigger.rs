//! Which events a plugin wants, and in what order: matching, pure and indexed.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::event::Event;
use crate::gzip;
use crate::json::{self, Pointer};
use crate::name::SourceName;
use crate::run::{NewRun, OrderKey, PluginId};

/// A kind with wildcards: `*` is one segment, `**` the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KindPattern(String);

/// Where the events come from that a trigger listens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Every source with this provider.
    Provider(String),
    /// One source.
    Source(SourceName),
}

/// One reason to run a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Where the event must come from.
    pub origin: Origin,
    /// What its kind must look like.
    pub kind: KindPattern,
    /// Where in the body the value stands whose runs go one at a time, in order.
    pub ordering_key: Option<Pointer>,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A segment is empty, or the whole text.
    #[error("kind pattern `{0}` has an empty segment")]
    EmptySegment(String),
    /// `**` is not the last segment.
    #[error("kind pattern `{0}` has `**` before its end")]
    RestNotLast(String),
}

/// All triggers of all plugins, found by origin so that matching one event does
/// not look at plugins that listen elsewhere.
#[derive(Clone, Debug, Default)]
pub struct TriggerIndex {
    by_provider: HashMap<String, Vec<Listed>>,
    by_source: HashMap<SourceName, Vec<Listed>>,
}

/// A trigger as the index has it.
#[derive(Clone, Debug)]
struct Listed {
    kind: KindPattern,
    plugin: PluginId,
    /// Its place among the plugin's triggers.
    position: usize,
    ordering_key: Option<Pointer>,
}

impl KindPattern {
    /// Whether a kind fits; segments are parted by dots.
    pub fn matches(&self, kind: &str) -> bool {
        let mut wanted = self.0.split('.');
        let mut given = kind.split('.');
        loop {
            match (wanted.next(), given.next()) {
                (None, None) | (Some("**"), _) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wanted), Some(given)) if wanted == given => {}
                (_, _) => return false,
            }
        }
    }

    /// The one kind that fits, if it is no more than one.
    pub fn exact(&self) -> Option<&str> {
        let is_wild = |segment| matches!(segment, "*" | "**");
        (!self.0.split('.').any(is_wild)).then_some(self.0.as_str())
    }

    /// What each kind that fits begins with, before a dot or its end; none if the first
    /// segment may be any.
    pub fn beginning(&self) -> Option<&str> {
        let mut end = 0;
        for segment in self.0.split('.') {
            if matches!(segment, "*" | "**") {
                break;
            }
            end += segment.len() + 1;
        }
        end.checked_sub(1).map(|end| &self.0[..end])
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KindPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let segments: Vec<&str> = text.split('.').collect();
        if segments.contains(&"") {
            return Err(PatternError::EmptySegment(text.to_owned()));
        }
        if segments
            .iter()
            .rev()
            .skip(1)
            .any(|segment| *segment == "**")
        {
            return Err(PatternError::RestNotLast(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TriggerIndex {
    /// Adds a plugin's triggers, in the order in which they are declared.
    pub fn insert(&mut self, plugin: PluginId, triggers: &[Trigger]) {
        for (position, trigger) in triggers.iter().enumerate() {
            let listed = match &trigger.origin {
                Origin::Provider(name) => self.by_provider.entry(name.clone()).or_default(),
                Origin::Source(name) => self.by_source.entry(name.clone()).or_default(),
            };
            listed.push(Listed {
                kind: trigger.kind.clone(),
                plugin,
                position,
                ordering_key: trigger.ordering_key.clone(),
            });
        }
    }

    /// The plugins that want this event, each once, in order of their ids, with
    /// the ordering key of the first of its triggers that matches: without one there,
    /// the run needs no body to be ordered by.
    pub fn plugins_for(&self, event: &Event) -> Vec<(PluginId, Option<&Pointer>)> {
        let mut matching = self.in_order(event);
        matching.dedup_by_key(|listed| listed.plugin);
        matching
            .into_iter()
            .map(|listed| (listed.plugin, listed.ordering_key.as_ref()))
            .collect()
    }

    /// The runs that an event gets: one for each plugin that wants it, in order of
    /// their ids, each with its place in an order if its trigger asks for one.
    ///
    /// Reads the body once for each distinct ordering key.
    pub fn runs_for(&self, event: &Event) -> Vec<NewRun> {
        let mut orders = Orders::of(event);
        let matching = self.in_order(event);
        matching
            .chunk_by(|one, next| one.plugin == next.plugin)
            .map(|of_plugin| NewRun {
                plugin: of_plugin[0].plugin,
                order: orders.first(of_plugin),
            })
            .collect()
    }

    /// The run of one plugin, which need not want the event: in its order if it
    /// does, else in none.
    pub fn run_for(&self, event: &Event, plugin: PluginId) -> NewRun {
        let mut matching = self.in_order(event);
        matching.retain(|listed| listed.plugin == plugin);
        NewRun {
            plugin,
            order: Orders::of(event).first(&matching),
        }
    }

    /// What matches, by plugin, and for each in the order of its triggers.
    fn in_order(&self, event: &Event) -> Vec<&Listed> {
        let mut matching: Vec<&Listed> = self.matching(event).collect();
        matching.sort_unstable_by_key(|listed| (listed.plugin, listed.position));
        matching
    }

    fn matching(&self, event: &Event) -> impl Iterator<Item = &Listed> {
        let by_provider = self.by_provider.get(&event.provider).into_iter();
        let listed = by_provider
            .chain(self.by_source.get(&event.source))
            .flatten();
        // A handshake matches no trigger.
        listed.filter(|listed| !event.is_handshake && listed.kind.matches(&event.kind))
    }
}

/// The orders that an event's runs belong to, each read once.
struct Orders<'a> {
    event: &'a Event,
    read: Vec<(&'a Pointer, Option<OrderKey>)>,
}

impl<'a> Orders<'a> {
    fn of(event: &'a Event) -> Self {
        let read = Vec::new();
        Self { event, read }
    }

    /// That of the first trigger whose value is there; a trigger without ordering key
    /// that comes before it means none.
    fn first(&mut self, triggers: &[&'a Listed]) -> Option<OrderKey> {
        for trigger in triggers {
            let pointer = trigger.ordering_key.as_ref()?;
            if let Some(order) = self.at(pointer) {
                return Some(order);
            }
        }
        None
    }

    /// None if the value is missing or null, or the body is not JSON.
    fn at(&mut self, pointer: &'a Pointer) -> Option<OrderKey> {
        if let Some((_, order)) = self.read.iter().find(|(known, _)| *known == pointer) {
            return *order;
        }
        let body = gzip::plain(&self.event.headers, &self.event.body);
        let value = json::pick_any(&body, pointer).ok().flatten();
        let order = value.map(|value| OrderKey::of(&value));
        self.read.push((pointer, order));
        order
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{KindPattern, NewRun, OrderKey, Origin, PluginId, Trigger, TriggerIndex};
    use crate::clock::Timestamp;
    use crate::event::{Event, EventId, Headers};

    /// An event of source `orders` and provider `generic`.
    fn event(kind: &str, body: &str) -> Event {
        Event {
            id: EventId::new(Timestamp::from_millis(0)),
            source: "orders".parse().unwrap(),
            provider: "generic".to_owned(),
            kind: kind.to_owned(),
            delivery_id: None,
            received_at: Timestamp::from_millis(0),
            content_type: None,
            headers: Headers::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            is_handshake: false,
        }
    }

    fn of_source(kind: &str, ordering_key: Option<&str>) -> Trigger {
        Trigger {
            origin: Origin::Source("orders".parse().unwrap()),
            kind: kind.parse().unwrap(),
            ordering_key: ordering_key.map(|pointer| pointer.parse().unwrap()),
        }
    }

    fn of_provider(kind: &str, ordering_key: Option<&str>) -> Trigger {
        Trigger {
            origin: Origin::Provider("generic".to_owned()),
            ..of_source(kind, ordering_key)
        }
    }

    /// Plugin 2 orders by `/id`, plugin 1 by the first of its matching triggers whose
    /// value is there, plugin 3 not at all; plugin 4 listens elsewhere.
    fn index() -> TriggerIndex {
        let mut index = TriggerIndex::default();
        index.insert(PluginId(2), &[of_source("order.*", Some("/id"))]);
        index.insert(
            PluginId(1),
            &[
                of_source("order.made", Some("/customer")),
                of_provider("order.*", Some("/id")),
                of_source("**", None),
            ],
        );
        index.insert(
            PluginId(3),
            &[of_provider("**", None), of_source("**", None)],
        );
        let elsewhere = Trigger {
            origin: Origin::Provider("github".to_owned()),
            ..of_source("**", Some("/id"))
        };
        index.insert(PluginId(4), &[elsewhere]);
        index
    }

    #[test]
    fn each_plugin_comes_once_with_its_first_matching_key() {
        for (kind, expected) in [
            ("order.made", "1:/customer 2:/id 3:-"),
            ("order.sent", "1:/id 2:/id 3:-"),
            ("refund", "1:- 3:-"),
        ] {
            let index = index();
            let event = event(kind, "");
            let plugins: Vec<String> = index
                .plugins_for(&event)
                .into_iter()
                .map(|(plugin, pointer)| match pointer {
                    Some(pointer) => format!("{}:{pointer}", plugin.0),
                    None => format!("{}:-", plugin.0),
                })
                .collect();
            assert_eq!(plugins.join(" "), expected, "{kind}");
        }
        let handshake = Event {
            is_handshake: true,
            ..event("order.made", "{}")
        };
        assert!(index().plugins_for(&handshake).is_empty());
        assert!(index().runs_for(&handshake).is_empty());
    }

    #[test]
    fn runs_have_the_order_of_their_value() {
        for (body, by_id, by_customer_or_id) in [
            (r#"{"id":"a","customer":7}"#, Some("a"), Some("7")),
            (r#"{"id":true,"customer":1.0}"#, Some("true"), Some("1.0")),
            (r#"{"id":[1, 2],"customer":{ }}"#, Some("[1,2]"), Some("{}")),
            (r#"{"id":"","customer":null}"#, Some(""), Some("")),
            (r#"{"id":"a"}"#, Some("a"), Some("a")),
            (r#"{"customer":"c"}"#, None, Some("c")),
            (r#"["id"]"#, None, None),
            ("id=a", None, None),
            (r#"{"id":"a"} trailing"#, None, None),
            ("", None, None),
        ] {
            let event = event("order.made", body);
            let order = |value: Option<&str>| value.map(OrderKey::of);
            let expected = [(1, order(by_customer_or_id)), (2, order(by_id)), (3, None)];
            let expected = expected.map(|(plugin, order)| NewRun {
                plugin: PluginId(plugin),
                order,
            });
            assert_eq!(index().runs_for(&event), expected, "{body}");
            for run in expected {
                assert_eq!(index().run_for(&event, run.plugin), run, "{body}");
            }
        }
    }

    #[test]
    fn a_plugin_that_does_not_want_the_event_runs_in_no_order() {
        let plugin = PluginId(2);
        let run = index().run_for(&event("refund", r#"{"id":"a"}"#), plugin);
        assert_eq!(run, NewRun::unordered(plugin));
    }

    #[test]
    fn patterns_match_by_segment() {
        for (pattern, kind, expected) in [
            ("push", "push", true),
            ("push", "push.forced", false),
            ("pull_request.*", "pull_request.opened", true),
            ("pull_request.*", "pull_request", false),
            ("pull_request.*", "pull_request.review.submitted", false),
            ("pull_request.**", "pull_request.review.submitted", true),
            ("pull_request.**", "pull_request", true),
            ("*.opened", "issues.opened", true),
            ("*.opened", "issues.closed", false),
            ("*", "push", true),
            ("*", "issues.opened", false),
            ("**", "", true),
            ("**", "a.b.c", true),
            ("push", "Push", false),
        ] {
            let parsed: KindPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(kind), expected, "{pattern} on {kind}");
        }
    }

    #[test]
    fn patterns_say_what_kinds_begin_with() {
        for (pattern, exact, beginning) in [
            ("push", Some("push"), Some("push")),
            ("a.b*", Some("a.b*"), Some("a.b*")),
            ("a.b.*", None, Some("a.b")),
            ("a.*.c", None, Some("a")),
            ("a.**", None, Some("a")),
            ("*.opened", None, None),
            ("**", None, None),
        ] {
            let parsed: KindPattern = pattern.parse().unwrap();
            assert_eq!((parsed.exact(), parsed.beginning()), (exact, beginning));
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for bad in ["", ".", "a..b", "**.opened", "a.**.b"] {
            assert!(bad.parse::<KindPattern>().is_err(), "{bad}");
        }
    }
}
