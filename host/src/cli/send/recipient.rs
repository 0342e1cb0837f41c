//! Whom a sample is for: the provider's record, the secret and the address, from the
//! configuration and the options over it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use reqwest::Url;

use super::unreadable;
use crate::cli::CommandError;
use crate::cli::client::http_url;
use crate::config::{Config, Secret, SourceConfig, provider};
use crate::ingest::scheme::Provider;
use crate::ingest::scheme::key::{Credential, Keyring};

/// What the command line asks for.
pub(super) struct Choice<'a> {
    pub(super) provider: &'a str,
    pub(super) source: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    /// Wins over the configured one.
    pub(super) secret: Option<Credential>,
}

/// Whom to sign and send for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) provider: Provider,
    /// One key, unless the provider checks no signature.
    pub(super) keys: Keyring,
    pub(super) url: Url,
    /// The address that is signed, where it is not the one that is called.
    pub(super) public_url: Option<String>,
}

impl Choice<'_> {
    /// The named source, else the first with the provider, else the catalogue's provider.
    ///
    /// # Errors
    /// [`CommandError::Failed`] says which option or setting is missing.
    pub(super) fn recipient(self, config: &Config) -> Result<Recipient, CommandError> {
        let source = self.source(config)?;
        let provider = match source {
            Some(source) => source.provider.clone(),
            None => self.catalogued(config)?,
        };
        let configured = source.and_then(|source| source.secrets.first().cloned());
        let secret = self.secret.clone().or(configured);
        let secret = secret.filter(|_| provider.proof.needs_secret());
        if secret.is_none() && provider.proof.needs_secret() {
            let consequence = "no secret to sign with; pass --source or --secret-file";
            return Err(self.no_source(consequence));
        }
        let credentials: Vec<Credential> = secret.into_iter().collect();
        let keys = Keyring::new(&provider.secret, &credentials)
            .map_err(|(_, error)| CommandError::Failed(format!("the secret {error}")))?;
        let address = match (self.to, source) {
            (Some(to), _) => to.to_owned(),
            (None, Some(source)) => address(config.listen, source),
            (None, None) => return Err(self.no_source("nowhere to send to; pass --to URL")),
        };
        let url = http_url(&address).ok_or_else(|| {
            CommandError::Failed(format!("`{address}` is not of the form http://host/path"))
        })?;
        let public_url = source
            .filter(|source| self.to.is_none() && !source.public_url.is_empty())
            .map(|source| format!("{}/webhooks/{}", source.public_url, source.name));
        Ok(Recipient {
            provider,
            keys,
            url,
            public_url,
        })
    }

    fn source<'c>(&self, config: &'c Config) -> Result<Option<&'c SourceConfig>, CommandError> {
        let Some(name) = self.source else {
            let mut sources = config.sources.iter();
            return Ok(sources.find(|source| source.provider.name == self.provider));
        };
        let mut sources = config.sources.iter();
        let source = sources
            .find(|source| source.name.as_str() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = config.sources.iter().map(|s| s.name.as_str()).collect();
                let known = known.join(", ");
                CommandError::Failed(format!(
                    "no source `{name}` is configured; there are: {known}"
                ))
            })?;
        if source.provider.name != self.provider {
            let theirs = &source.provider.name;
            return Err(CommandError::Failed(format!(
                "source `{name}` has the provider `{theirs}`, not `{}`",
                self.provider
            )));
        }
        Ok(Some(source))
    }

    fn catalogued(&self, config: &Config) -> Result<Provider, CommandError> {
        let own = config.providers.get(self.provider).cloned();
        own.or_else(|| provider::named(self.provider))
            .ok_or_else(|| unknown(self.provider))
    }

    fn no_source(&self, consequence: &str) -> CommandError {
        CommandError::Failed(format!(
            "no source with the provider `{}` is configured, so there is {consequence}",
            self.provider
        ))
    }
}

/// What is said of a provider that nobody knows.
pub(in crate::cli) fn unknown(provider: &str) -> CommandError {
    let hint = provider::instead_of(provider);
    CommandError::Failed(format!("provider `{provider}` is not known; {hint}"))
}

/// Where a host with this configuration receives for a source, as seen from its machine.
fn address(listen: SocketAddr, source: &SourceConfig) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let host = SocketAddr::new(ip, listen.port());
    format!("http://{host}/webhooks/{}", source.name)
}

/// The secret in a file, without the newline that editors put at its end; a JSON object
/// holds named values.
///
/// # Errors
/// The file cannot be read or holds nothing.
pub(in crate::cli) fn read_secret(file: &Path) -> Result<Credential, CommandError> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let is_newline = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let end = bytes.iter().rposition(|byte| !is_newline(byte));
    let end = end
        .ok_or_else(|| CommandError::Failed(format!("secret file {} is empty", file.display())))?;
    Ok(credential(&bytes[..=end]))
}

/// A secret as it is given on the command line: text, or a JSON object of named values.
pub(in crate::cli) fn credential(text: &[u8]) -> Credential {
    let json = serde_json::from_slice::<serde_json::Value>(text).ok();
    let named = json.filter(serde_json::Value::is_object);
    let named = named.and_then(named_credential);
    named.unwrap_or_else(|| Credential::Text(Secret::new(text)))
}

/// None if it holds anything but texts and objects of texts.
pub(in crate::cli) fn named_credential(json: serde_json::Value) -> Option<Credential> {
    match json {
        serde_json::Value::String(text) => Some(Credential::Text(Secret::new(text))),
        serde_json::Value::Object(fields) => {
            let field = |(name, value)| Some((name, named_credential(value)?));
            fields
                .into_iter()
                .map(field)
                .collect::<Option<_>>()
                .map(Credential::Named)
        }
        _ => None,
    }
}
