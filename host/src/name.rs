//! Names of sources and plugins: what they may look like.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name: use 1 to 63 of `a-z`, `0-9`, `_`, `-`, beginning with a letter or digit"
)]
pub struct InvalidName(String);

/// Before the name of a plugin that emits events.
const OF_PLUGIN: &str = "plugin:";

/// The name of a source, as in `POST /webhooks/{source}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SourceName(Arc<str>);

/// The name of a plugin: its file's stem, or its table in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PluginName(Arc<str>);

impl SourceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SourceName {
    /// The source of the events that a plugin emits: `plugin:NAME`, which no operator
    /// can give a source.
    pub fn of_plugin(plugin: &PluginName) -> Self {
        Self(format!("{OF_PLUGIN}{plugin}").into())
    }

    /// The name of a source that events can have: an operator's, or a plugin's.
    ///
    /// # Errors
    /// [`InvalidName`] if it is neither.
    pub fn of_events(text: &str) -> Result<Self, InvalidName> {
        match text.strip_prefix(OF_PLUGIN) {
            Some(plugin) => plugin.parse().map(|plugin| Self::of_plugin(&plugin)),
            None => text.parse(),
        }
    }
}

impl PluginName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SourceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        checked(text).map(Self)
    }
}

impl FromStr for PluginName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        checked(text).map(Self)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[a-z0-9][a-z0-9_-]{0,62}` (design, section 1).
fn checked(text: &str) -> Result<Arc<str>, InvalidName> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = (1..=63).contains(&text.len())
        && plain(text.as_bytes()[0])
        && text
            .bytes()
            .all(|byte| plain(byte) || byte == b'_' || byte == b'-');
    if valid {
        Ok(text.into())
    } else {
        Err(InvalidName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{PluginName, SourceName};

    #[test]
    fn accepts_and_refuses() {
        for good in ["a", "github", "0-1_2", "orders-to-slack", &"x".repeat(63)] {
            assert!(good.parse::<SourceName>().is_ok(), "{good}");
            assert!(good.parse::<PluginName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "a/b", "é", &"x".repeat(64)] {
            assert!(bad.parse::<SourceName>().is_err(), "{bad}");
            assert!(bad.parse::<PluginName>().is_err(), "{bad}");
        }
        let emitted = SourceName::of_events("plugin:invoices");
        assert_eq!(
            emitted.as_ref().map(SourceName::as_str),
            Ok("plugin:invoices")
        );
        assert_eq!(SourceName::of_events("github"), "github".parse());
        for bad in ["plugin:", "plugin:A", "plugin:a:b", "other:a"] {
            assert!(SourceName::of_events(bad).is_err(), "{bad}");
        }
        assert!("plugin:invoices".parse::<SourceName>().is_err());
    }
}
