//! What a plugin says about itself: the [`Manifest`] and the parts it is made of.

/// What a plugin is, which events it handles, and what it wants from the operator.
///
/// ```
/// use hookbay_plugin::{Manifest, Trigger};
///
/// Manifest::new("orders", "1.2.0", "Writes each order to the shop's books")
///     .trigger(Trigger::source("shop", "order.*").ordered_by("/customer/id"))
///     .endpoint("books", "https://api.books.example", "where orders are written")
///     .secret("BOOKS_TOKEN", "token that may write orders")
///     .requires_config("currency", "three letters, such as EUR")
///     .reads_config("note", "text put in front of every summary");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Manifest {
    /// The plugin's name for people; the operator's name for it is its file's stem.
    pub name: String,
    /// The plugin's version, for people: the host tells files apart by their digest.
    pub version: String,
    /// One line about what the plugin does.
    pub description: String,
    /// The events the plugin handles: those that match at least one of these.
    pub triggers: Vec<Trigger>,
    /// The endpoints the plugin sends requests to.
    pub endpoints: Vec<EndpointWant>,
    /// The secrets the plugin uses.
    pub secrets: Vec<SecretWant>,
    /// The configuration keys the plugin reads.
    pub config: Vec<ConfigWant>,
}

/// Which events start a run of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Trigger {
    /// Where the events come from.
    pub origin: Origin,
    /// Pattern of the event's kind: `*` is one segment, `**` the rest.
    pub kind: String,
    /// JSON Pointer to the value whose runs execute in order, one at a time.
    pub ordering_key: Option<String>,
}

/// Where a trigger's events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Every source of this provider, such as `github`.
    Provider(String),
    /// The one source of this name, as the operator configured it.
    Source(String),
}

/// An endpoint that the plugin sends requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointWant {
    /// The name, as the operator writes it under `[plugins.NAME]`: `http.NAME`.
    pub name: String,
    /// Where it usually is, such as `https://api.notion.com`.
    pub default_origin: Option<String>,
    /// One line for the operator about what it is for.
    pub doc: String,
}

/// A secret that the plugin uses and never sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretWant {
    /// The name, as the operator writes it under `[plugins.NAME]`: `secrets.NAME`.
    pub name: String,
    /// One line for the operator about what to put there.
    pub doc: String,
}

/// A configuration key that the plugin reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWant {
    /// The key, as the operator writes it under `[plugins.NAME]`: `config.KEY`.
    pub name: String,
    /// Whether the host holds the plugin back until the key is set.
    pub is_required: bool,
    /// One line for the operator about what to put there.
    pub doc: String,
}

impl Manifest {
    /// A manifest that wants nothing yet; [`manifest!`](crate::manifest!) fills in
    /// the three values from `Cargo.toml`.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            triggers: Vec::new(),
            endpoints: Vec::new(),
            secrets: Vec::new(),
            config: Vec::new(),
        }
    }

    /// Adds a trigger. An event that matches several starts one run.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.triggers.push(trigger);
        self
    }

    /// Adds an endpoint for [`http`](crate::http), and where it usually is. Until the
    /// operator grants it, the plugin is held and its runs wait.
    pub fn endpoint(
        self,
        name: impl Into<String>,
        default_origin: impl Into<String>,
        doc: impl Into<String>,
    ) -> Self {
        self.wants_endpoint(name.into(), Some(default_origin.into()), doc.into())
    }

    /// Adds an endpoint that is somewhere else for each operator.
    pub fn custom_endpoint(self, name: impl Into<String>, doc: impl Into<String>) -> Self {
        self.wants_endpoint(name.into(), None, doc.into())
    }

    /// Adds a secret for [`http`](crate::http) or [`crypto`](crate::crypto). Until the
    /// operator grants it, the plugin is held and its runs wait.
    pub fn secret(mut self, name: impl Into<String>, doc: impl Into<String>) -> Self {
        self.secrets.push(SecretWant {
            name: name.into(),
            doc: doc.into(),
        });
        self
    }

    /// Adds a configuration key without which the plugin cannot work: until the
    /// operator sets it, the plugin is held and its runs wait.
    pub fn requires_config(self, name: impl Into<String>, doc: impl Into<String>) -> Self {
        self.wants_config(name.into(), true, doc.into())
    }

    /// Adds a configuration key that the plugin can do without.
    pub fn reads_config(self, name: impl Into<String>, doc: impl Into<String>) -> Self {
        self.wants_config(name.into(), false, doc.into())
    }

    fn wants_endpoint(mut self, name: String, default_origin: Option<String>, doc: String) -> Self {
        self.endpoints.push(EndpointWant {
            name,
            default_origin,
            doc,
        });
        self
    }

    fn wants_config(mut self, name: String, is_required: bool, doc: String) -> Self {
        self.config.push(ConfigWant {
            name,
            is_required,
            doc,
        });
        self
    }
}

impl Trigger {
    /// The events of every source of a provider: `Trigger::provider("github", "push")`.
    pub fn provider(provider: impl Into<String>, kind: impl Into<String>) -> Self {
        Self::new(Origin::Provider(provider.into()), kind.into())
    }

    /// The events of one source: `Trigger::source("orders", "order.*")`.
    pub fn source(source: impl Into<String>, kind: impl Into<String>) -> Self {
        Self::new(Origin::Source(source.into()), kind.into())
    }

    /// Runs whose bodies hold the same value at this JSON Pointer (RFC 6901)
    /// execute one at a time, in the order in which their events were stored.
    /// A body without the value is unordered, unless a later trigger that matches
    /// finds one in another place.
    pub fn ordered_by(mut self, pointer: impl Into<String>) -> Self {
        self.ordering_key = Some(pointer.into());
        self
    }

    fn new(origin: Origin, kind: String) -> Self {
        Self {
            origin,
            kind,
            ordering_key: None,
        }
    }
}

/// A [`Manifest`] with the name, version and description of the calling crate's
/// `Cargo.toml`.
#[macro_export]
macro_rules! manifest {
    () => {
        $crate::Manifest::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::env!("CARGO_PKG_DESCRIPTION"),
        )
    };
}
