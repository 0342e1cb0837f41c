//! What a plugin needs from the operator: endpoints, secrets, configuration.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{PluginConfig, check_grant_name};
use crate::plugin::bindings::exports::hookbay::plugin::handler as wit;

use super::{Manifest, ManifestError, check_length, check_list};

/// What a plugin needs from the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Wants {
    /// Addresses to call.
    pub endpoints: Vec<EndpointWant>,
    /// Secrets to use.
    pub secrets: Vec<SecretWant>,
    /// Configuration to read.
    pub config: Vec<ConfigWant>,
}

/// An address to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointWant {
    /// Its name in the plugin.
    pub name: String,
    /// Where it usually is.
    pub default_origin: Option<String>,
    /// What for.
    pub doc: String,
}

/// A secret to use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretWant {
    /// Its name in the plugin.
    pub name: String,
    /// What for.
    pub doc: String,
}

/// A configuration key to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigWant {
    /// The key.
    pub name: String,
    /// Whether it works without.
    pub required: bool,
    /// What for.
    pub doc: String,
}

impl Wants {
    /// Reads what `describe` returned.
    ///
    /// # Errors
    /// [`ManifestError`] names what is too long, or what nobody could grant.
    pub(super) fn read(wants: wit::Wants) -> Result<Self, ManifestError> {
        check_list("a list of endpoints", wants.endpoints.len())?;
        check_list("a list of secrets", wants.secrets.len())?;
        check_list("a list of config keys", wants.config.len())?;
        for want in &wants.endpoints {
            check_name("the endpoint", &want.name)?;
            let origin = want.default_origin.as_deref().unwrap_or_default();
            check_length("the usual origin of an endpoint", origin)?;
            check_length("what an endpoint is for", &want.doc)?;
        }
        for want in &wants.secrets {
            check_name("the secret", &want.name)?;
            check_length("what a secret is for", &want.doc)?;
        }
        for want in &wants.config {
            check_length("a config key", &want.name)?;
            check_length("what a config key is for", &want.doc)?;
        }
        Ok(Self {
            endpoints: wants
                .endpoints
                .into_iter()
                .map(EndpointWant::from)
                .collect(),
            secrets: wants.secrets.into_iter().map(SecretWant::from).collect(),
            config: wants.config.into_iter().map(ConfigWant::from).collect(),
        })
    }
}

impl Manifest {
    /// What it wants and the operator has not granted, each by its key under
    /// `[plugins.NAME]`. Where an endpoint goes is the operator's choice: a grant with
    /// another origin than the usual one is a grant.
    pub fn missing_grants(&self, granted: &PluginConfig) -> Vec<String> {
        let Wants {
            endpoints,
            secrets,
            config,
        } = &self.wants;
        let endpoints = endpoints
            .iter()
            .filter(|want| !granted.http.contains_key(&want.name))
            .map(|want| format!("http.{}", want.name));
        let secrets = secrets
            .iter()
            .filter(|want| !granted.secrets.contains_key(&want.name))
            .map(|want| format!("secrets.{}", want.name));
        let config = config
            .iter()
            .filter(|want| want.required && !granted.config.contains_key(&want.name))
            .map(|want| format!("config.{}", want.name));
        endpoints.chain(secrets).chain(config).collect()
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), ManifestError> {
    check_length("a name", name)?;
    check_grant_name(name).map_err(|problem| ManifestError::Name {
        what,
        name: name.to_owned(),
        problem,
    })
}

impl From<wit::EndpointWant> for EndpointWant {
    fn from(want: wit::EndpointWant) -> Self {
        Self {
            name: want.name,
            default_origin: want.default_origin,
            doc: want.doc,
        }
    }
}

impl From<wit::SecretWant> for SecretWant {
    fn from(want: wit::SecretWant) -> Self {
        Self {
            name: want.name,
            doc: want.doc,
        }
    }
}

impl From<wit::ConfigWant> for ConfigWant {
    fn from(want: wit::ConfigWant) -> Self {
        Self {
            name: want.name,
            required: want.required,
            doc: want.doc,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ConfigWant, EndpointWant, Manifest, PluginConfig, SecretWant, Wants, wit};
    use crate::config::{EndpointGrant, Maxima, Secret};

    fn wanting() -> Manifest {
        let (name, doc) = (String::from, String::new);
        Manifest {
            wants: Wants {
                endpoints: vec![EndpointWant {
                    name: name("notion"),
                    default_origin: Some(name("https://api.notion.com")),
                    doc: doc(),
                }],
                secrets: vec![SecretWant {
                    name: name("TOKEN"),
                    doc: doc(),
                }],
                config: vec![ConfigWant {
                    name: name("database"),
                    required: true,
                    doc: doc(),
                }],
            },
            ..Manifest::default()
        }
    }

    #[test]
    fn what_is_not_granted_is_named() {
        let endpoint = EndpointGrant {
            origin: "https://notion.example".parse().unwrap(),
            secrets: [].into(),
            private: false,
        };
        let nothing = PluginConfig::unmentioned(&Maxima::default());
        let http = PluginConfig {
            http: Arc::new([("notion".to_owned(), endpoint)].into()),
            ..nothing.clone()
        };
        let secrets = PluginConfig {
            secrets: Arc::new([("TOKEN".to_owned(), Secret::new("12345678"))].into()),
            ..http.clone()
        };
        let all = PluginConfig {
            config: Arc::new([("database".to_owned(), "d".to_owned())].into()),
            ..secrets.clone()
        };
        for (granted, missing) in [
            (
                &nothing,
                vec!["http.notion", "secrets.TOKEN", "config.database"],
            ),
            (&http, vec!["secrets.TOKEN", "config.database"]),
            (&secrets, vec!["config.database"]),
            (&all, vec![]),
        ] {
            assert_eq!(wanting().missing_grants(granted), missing);
        }
    }

    #[test]
    fn what_is_wanted_can_be_granted_and_shown() {
        let wanting = |name: &str, doc: &str| wit::Wants {
            endpoints: vec![wit::EndpointWant {
                name: name.to_owned(),
                default_origin: None,
                doc: doc.to_owned(),
            }],
            secrets: Vec::new(),
            config: Vec::new(),
        };
        assert!(Wants::read(wanting("api.v1_x-2", &"d".repeat(4096))).is_ok());
        let long = "d".repeat(4097);
        for (name, doc, says) in [
            ("a b", "", "wants the endpoint `a b`, which is no name"),
            ("", "", "the endpoint ``"),
            ("a\u{1b}[2J", "", "`a\\u{1b}[2J`"),
            (&*"n".repeat(65), "", "1 to 64"),
            (&*long, "", "a name longer than 4096"),
            ("api", &*long, "what an endpoint is for longer than 4096"),
        ] {
            let error = Wants::read(wanting(name, doc)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let secret = wit::SecretWant {
            name: "a=b".to_owned(),
            doc: String::new(),
        };
        let wants = wit::Wants {
            endpoints: Vec::new(),
            secrets: vec![secret],
            config: Vec::new(),
        };
        let error = Wants::read(wants).unwrap_err().to_string();
        assert!(error.contains("wants the secret `a=b`"), "{error}");
    }
}
