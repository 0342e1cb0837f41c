//! What a plugin says of itself: read from `describe`, kept as JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::name::SourceName;
use crate::trigger::{Origin, Trigger};

use super::bindings::exports::hookbay::plugin::handler as wit;

mod verifies;
mod wants;

pub use verifies::Verifies;
pub use wants::{ConfigWant, EndpointWant, SecretWant, Wants};

/// Most triggers, and most wants of a kind, that a manifest may have.
const LIST_MAX: usize = 100;
/// Longest text in a manifest, in bytes.
const TEXT_MAX: usize = 4096;

/// A plugin's own description.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What its author calls it; the operator's name for it is its file's.
    pub name: String,
    /// Its author's version.
    pub version: String,
    /// One line.
    pub description: String,
    /// Which events it wants.
    pub triggers: Vec<TriggerText>,
    /// What it needs from the operator.
    pub wants: Wants,
    /// Set for a verifier, which has no triggers and wants nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifies: Option<Verifies>,
}

/// A trigger as text, for the store and the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Trigger)]
pub struct TriggerText {
    /// A provider, or…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// …a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Pattern of the kind.
    pub kind: String,
    /// JSON Pointer to the ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<String>,
}

/// Why a manifest cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A text or list is too long.
    #[error("`describe` returned {what} longer than {limit}")]
    TooLong {
        /// Which.
        what: &'static str,
        /// How long it may be.
        limit: usize,
    },
    /// No operator could grant it.
    #[error("`describe` wants {what} `{}`, which is no name: {problem}", .name.escape_debug())]
    Name {
        /// A secret, or an endpoint.
        what: &'static str,
        /// What it calls it.
        name: String,
        /// What a name is.
        problem: String,
    },
    /// A trigger is not one.
    #[error("trigger {position} of `describe` is wrong: {problem}")]
    Trigger {
        /// Which, from 1.
        position: usize,
        /// What is wrong.
        problem: String,
    },
}

impl Manifest {
    /// Reads what `describe` returned.
    ///
    /// # Errors
    /// [`ManifestError`] names what is wrong.
    pub(super) fn read(manifest: wit::Manifest) -> Result<Self, ManifestError> {
        check_list("a list of triggers", manifest.triggers.len())?;
        check_texts(&manifest.name, &manifest.version, &manifest.description)?;
        let read = Self {
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            triggers: manifest
                .triggers
                .into_iter()
                .map(TriggerText::from)
                .collect(),
            wants: Wants::read(manifest.wants)?,
            verifies: None,
        };
        for trigger in &read.triggers {
            trigger.check_lengths()?;
        }
        read.triggers()?;
        Ok(read)
    }

    /// Whether what says this of itself is a verifier.
    pub fn is_verifier(&self) -> bool {
        self.verifies.is_some()
    }

    /// The triggers, parsed.
    ///
    /// # Errors
    /// [`ManifestError::Trigger`] names the first that is not one.
    pub fn triggers(&self) -> Result<Vec<Trigger>, ManifestError> {
        let numbered = self.triggers.iter().enumerate();
        numbered
            .map(|(index, text)| {
                text.parse().map_err(|problem| ManifestError::Trigger {
                    position: index + 1,
                    problem,
                })
            })
            .collect()
    }
}

impl TriggerText {
    fn check_lengths(&self) -> Result<(), ManifestError> {
        let origins = [&self.provider, &self.source].into_iter().flatten();
        for text in origins.chain([&self.kind]).chain(&self.ordering_key) {
            check_length("a trigger's text", text)?;
        }
        Ok(())
    }

    fn parse(&self) -> Result<Trigger, String> {
        let origin = match (&self.provider, &self.source) {
            (Some(provider), None) => Origin::Provider(provider.clone()),
            (None, Some(source)) => {
                Origin::Source(SourceName::of_events(source).map_err(|error| error.to_string())?)
            }
            (_, _) => return Err("it must name either a provider or a source".to_owned()),
        };
        let kind = self
            .kind
            .parse()
            .map_err(|error: crate::trigger::PatternError| error.to_string())?;
        let ordering_key = match &self.ordering_key {
            Some(pointer) => Some(
                pointer
                    .parse()
                    .map_err(|error: crate::json::PointerError| error.to_string())?,
            ),
            None => None,
        };
        Ok(Trigger {
            origin,
            kind,
            ordering_key,
        })
    }
}

fn check_list(what: &'static str, length: usize) -> Result<(), ManifestError> {
    if length <= LIST_MAX {
        return Ok(());
    }
    Err(ManifestError::TooLong {
        what,
        limit: LIST_MAX,
    })
}

/// Checks what every file says of itself.
fn check_texts(name: &str, version: &str, description: &str) -> Result<(), ManifestError> {
    for (what, text) in [
        ("a name", name),
        ("a version", version),
        ("a description", description),
    ] {
        check_length(what, text)?;
    }
    Ok(())
}

fn check_length(what: &'static str, text: &str) -> Result<(), ManifestError> {
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    Err(ManifestError::TooLong {
        what,
        limit: TEXT_MAX,
    })
}

impl From<&Trigger> for TriggerText {
    fn from(trigger: &Trigger) -> Self {
        let (provider, source) = match &trigger.origin {
            Origin::Provider(name) => (Some(name.clone()), None),
            Origin::Source(name) => (None, Some(name.to_string())),
        };
        Self {
            provider,
            source,
            kind: trigger.kind.to_string(),
            ordering_key: trigger.ordering_key.as_ref().map(ToString::to_string),
        }
    }
}

impl From<wit::Trigger> for TriggerText {
    fn from(trigger: wit::Trigger) -> Self {
        let (provider, source) = match trigger.origin {
            wit::Origin::Provider(name) => (Some(name), None),
            wit::Origin::Source(name) => (None, Some(name)),
        };
        Self {
            provider,
            source,
            kind: trigger.kind,
            ordering_key: trigger.ordering_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Trigger, TriggerText};

    fn text(ordering_key: Option<&str>) -> TriggerText {
        TriggerText {
            provider: None,
            source: Some("orders".to_owned()),
            kind: "order.*".to_owned(),
            ordering_key: ordering_key.map(str::to_owned),
        }
    }

    #[test]
    fn triggers_read_back() {
        for ordering_key in [None, Some("/order/id"), Some("/a~1b/~0"), Some("/")] {
            let written = text(ordering_key);
            let trigger: Trigger = written.parse().unwrap();
            assert_eq!(TriggerText::from(&trigger), written);
        }
    }

    #[test]
    fn an_ordering_key_is_a_json_pointer() {
        for wrong in ["", "order.id", "$.order", "/a~2"] {
            let problem = text(Some(wrong)).parse().unwrap_err();
            let expected = format!("`{wrong}` is not a JSON Pointer");
            assert!(problem.starts_with(&expected), "{problem}");
        }
    }
}
