//! Which events a plugin wants: matching, pure and indexed.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use crate::event::Event;
use crate::json::Pointer;
use crate::name::SourceName;
use crate::run::PluginId;

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
    by_provider: HashMap<String, Vec<(KindPattern, PluginId)>>,
    by_source: HashMap<SourceName, Vec<(KindPattern, PluginId)>>,
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
    /// Adds a plugin's triggers.
    pub fn insert(&mut self, plugin: PluginId, triggers: &[Trigger]) {
        for trigger in triggers {
            let entry = (trigger.kind.clone(), plugin);
            match &trigger.origin {
                Origin::Provider(name) => {
                    self.by_provider
                        .entry(name.clone())
                        .or_default()
                        .push(entry);
                }
                Origin::Source(name) => self.by_source.entry(name.clone()).or_default().push(entry),
            }
        }
    }

    /// The plugins that want this event, each once, in order of their ids.
    pub fn plugins_for(&self, event: &Event) -> Vec<PluginId> {
        if event.is_handshake {
            return Vec::new();
        }
        let listed = self.by_provider.get(&event.provider).into_iter();
        let listed = listed.chain(self.by_source.get(&event.source)).flatten();
        let mut plugins: Vec<PluginId> = listed
            .filter(|(pattern, _)| pattern.matches(&event.kind))
            .map(|(_, plugin)| *plugin)
            .collect();
        plugins.sort_unstable();
        plugins.dedup();
        plugins
    }
}

#[cfg(test)]
mod tests {
    use super::KindPattern;

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
    fn broken_patterns_are_refused() {
        for bad in ["", ".", "a..b", "**.opened", "a.**.b"] {
            assert!(bad.parse::<KindPattern>().is_err(), "{bad}");
        }
    }
}
