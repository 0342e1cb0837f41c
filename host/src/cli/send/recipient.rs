//! Whom a sample is for: the provider's record, the secret and the address, from the
//! configuration and the options over it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use reqwest::Url;

use super::unreadable;
use crate::cli::CommandError;
use crate::cli::client::http_url;
use crate::config::{Config, Secret, SourceConfig, provider};
use crate::ingest::scheme::{Proof, Provider};

/// What the command line asks for.
pub(super) struct Choice<'a> {
    pub(super) provider: &'a str,
    pub(super) source: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    /// Wins over the configured one.
    pub(super) secret: Option<Secret>,
}

/// Whom to sign and send for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) provider: Provider,
    /// Some, unless the provider checks no signature.
    pub(super) secret: Option<Secret>,
    pub(super) url: Url,
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
            None => self.catalogued()?,
        };
        let configured = source.and_then(|source| source.secrets.first().cloned());
        let secret = match provider.proof {
            Proof::Hmac(_) => Some(self.secret.clone().or(configured).ok_or_else(|| {
                self.no_source("no secret to sign with; pass --source or --secret-file")
            })?),
            Proof::None => None,
        };
        let address = match (self.to, source) {
            (Some(to), _) => to.to_owned(),
            (None, Some(source)) => address(config.listen, source),
            (None, None) => return Err(self.no_source("nowhere to send to; pass --to URL")),
        };
        let url = http_url(&address).ok_or_else(|| {
            CommandError::Failed(format!("`{address}` is not of the form http://host/path"))
        })?;
        Ok(Recipient {
            provider,
            secret,
            url,
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

    fn catalogued(&self) -> Result<Provider, CommandError> {
        provider::named(self.provider).ok_or_else(|| {
            let known: Vec<&str> = provider::names().collect();
            CommandError::Failed(format!(
                "provider `{}` is not known; known are `{}`",
                self.provider,
                known.join("`, `")
            ))
        })
    }

    fn no_source(&self, consequence: &str) -> CommandError {
        CommandError::Failed(format!(
            "no source with the provider `{}` is configured, so there is {consequence}",
            self.provider
        ))
    }
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

/// The secret in a file, without the newline that editors put at its end.
///
/// # Errors
/// The file cannot be read or holds nothing.
pub(super) fn read_secret(file: &Path) -> Result<Secret, CommandError> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let is_newline = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let end = bytes.iter().rposition(|byte| !is_newline(byte));
    let end = end
        .ok_or_else(|| CommandError::Failed(format!("secret file {} is empty", file.display())))?;
    Ok(Secret::new(&bytes[..=end]))
}
