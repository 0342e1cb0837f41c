//! The configuration files that the commands write for a host, and the two addresses that
//! they read back from one.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::stand_in;

/// The host's two addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Where senders deliver.
    pub(crate) public: SocketAddr,
    /// Where the admin API and the metrics are.
    pub(crate) admin: SocketAddr,
}

impl Addresses {
    /// What the host uses when nothing is configured.
    pub(crate) const DEFAULT: Self = Self {
        public: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080),
        admin: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8081),
    };

    /// Reads the top-level `listen` and `admin_listen` lines; another form of writing them
    /// counts as the default.
    pub(crate) fn read(text: &str) -> Self {
        let top_level = text
            .lines()
            .take_while(|line| !line.trim_start().starts_with('['));
        let mut found = Self::DEFAULT;
        for line in top_level {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let Some(address) = value.split('"').nth(1).and_then(|text| text.parse().ok()) else {
                continue;
            };
            match key.trim() {
                "listen" => found.public = address,
                "admin_listen" => found.admin = address,
                _ => {}
            }
        }
        found
    }
}

/// The names of the sources that a configuration has, by the heads of their tables.
pub(crate) fn sources(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("[sources.")?.strip_suffix(']'))
        .filter(|name| !name.contains('.'))
        .collect()
}

/// Where a host stores, and the settings that go with it.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    url: String,
    settings: Vec<(&'static str, String)>,
}

impl Database {
    /// A file in the folder of the configuration.
    pub(crate) fn sqlite() -> Self {
        Self {
            url: "sqlite://hookbay.db".to_owned(),
            settings: Vec::new(),
        }
    }

    /// A database on a server, which several hosts may share.
    pub(crate) fn postgres(url: String) -> Self {
        Self {
            url,
            settings: Vec::new(),
        }
    }

    /// Adds the top-level setting `key`; `value` is TOML, as in `true` or `"1s"`.
    pub(crate) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.settings.push((key, value.to_owned()));
        self
    }
}

/// 32 random bytes from the kernel, as hex.
pub(crate) fn random_secret() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

/// The configuration that `serve` writes on first use.
pub(crate) fn development() -> Result<String> {
    let mut text = String::from(
        "# Written by `cargo xtask serve` on first use, and yours from then on: it is never\n\
         # overwritten. Relative paths are relative to this file.\n",
    );
    text.push_str(&top_level(Addresses::DEFAULT, &Database::sqlite()));
    text.push_str(&source("github", "github", &random_secret()?));
    text.push_str(&of_plugins(stand_in::ADDRESS)?);
    Ok(text)
}

/// What the plugins of `plugins/` need beside a GitHub source: their other sources, and grants
/// for a stand-in.
pub(crate) fn of_plugins(stand_in: SocketAddr) -> Result<String> {
    let stripe = format!("whsec_{}", random_secret()?);
    let mut text = source("stripe", "stripe", &stripe);
    text.push_str(&source("shopify", "shopify", &random_secret()?));
    text.push_str(&source("generic", "generic", &random_secret()?));
    text.push_str("kind_header = \"x-event-type\"\nid_header = \"x-delivery-id\"\n");
    // 64 hexadecimal digits are base64 of 48 bytes too.
    text.push_str(&stand_in::grants(stand_in, &random_secret()?));
    Ok(text)
}

/// The configuration of a throw-away host with one GitHub source.
pub(crate) fn throw_away(addresses: Addresses, database: &Database, github_secret: &str) -> String {
    top_level(addresses, database) + &source("github", "github", github_secret)
}

/// Writes `text` to a new `file` that only its owner can read.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn top_level(addresses: Addresses, database: &Database) -> String {
    let Addresses { public, admin } = addresses;
    let url = &database.url;
    let mut text = format!(
        "listen = \"{public}\"\n\
         admin_listen = \"{admin}\"\n\
         database = \"{url}\"\n\
         plugins_dir = \"plugins.d\"\n\
         data_dir = \"data\"\n"
    );
    for (key, value) in &database.settings {
        text.push_str(&format!("{key} = {value}\n"));
    }
    text
}

fn source(name: &str, provider: &str, secret: &str) -> String {
    format!("\n[sources.{name}]\nprovider = \"{provider}\"\nsecret = \"{secret}\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_addresses(text: &str, public: &str, admin: &str) {
        let found = Addresses::read(text);
        assert_eq!(found.public.to_string(), public, "{text}");
        assert_eq!(found.admin.to_string(), admin, "{text}");
    }

    #[test]
    fn writes_the_database_with_its_settings() {
        let database = Database::postgres("postgres://u:p@127.0.0.1:5/d".to_owned())
            .with("pooler", "true")
            .with("lease", "\"1s\"");
        let text = throw_away(Addresses::DEFAULT, &database, "secret");
        assert!(text.contains("database = \"postgres://u:p@127.0.0.1:5/d\"\n"));
        assert!(text.contains("pooler = true\nlease = \"1s\"\n\n[sources.github]"));
    }

    #[test]
    fn a_new_configuration_asks_for_the_stand_in() {
        let text = development().expect("there is randomness");
        assert!(text.contains("[sources.stripe]\nprovider = \"stripe\"\nsecret = \"whsec_"));
        assert!(
            text.contains("\n[plugins.stripe-invoice-notion]\nhttp.notion = { origin = \"http://")
        );
        assert!(text.contains("\n[plugins.email]\nhttp.mail"));
        assert!(text.contains(&format!("origin = \"http://{}\"", stand_in::ADDRESS)));
    }

    #[test]
    fn names_the_sources() {
        let text = development().expect("there is randomness");
        assert_eq!(sources(&text), ["github", "stripe", "shopify", "generic"]);
        assert_eq!(
            sources("# [sources.old]\n [sources.a]\n[sources.a.secret]\n[plugins.b]"),
            ["a"]
        );
    }

    #[test]
    fn reads_the_addresses() {
        check_addresses("", "127.0.0.1:8080", "127.0.0.1:8081");
        check_addresses(
            "listen = \"127.0.0.1:9\" # mine\n",
            "127.0.0.1:9",
            "127.0.0.1:8081",
        );
        check_addresses(
            "admin_listen=\"[::1]:7\"\n[x]\nlisten = \"1.2.3.4:5\"\n",
            "127.0.0.1:8080",
            "[::1]:7",
        );
        check_addresses(
            "# listen = \"127.0.0.1:9\"\n",
            "127.0.0.1:8080",
            "127.0.0.1:8081",
        );
    }
}
