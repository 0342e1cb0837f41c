//! What of a configuration can change while the host runs. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::{Config, PluginConfig};

/// How a configuration that was read differs from the one in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Sources and plugins that are new, gone or other than before, by key.
    pub applied: Vec<String>,
    /// Keys that are other than at start, and stay as they were until a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Config {
    /// This configuration with all of another that can change while the host runs, and
    /// what that is.
    pub fn changed_to(&self, read: Self) -> (Self, Change) {
        let needs_restart = self.fixed_differences(&read);
        // Whoever adds a setting decides here.
        let Self {
            listen: _,
            admin_listen: _,
            tls,
            admin_tls,
            database: _,
            pool: _,
            pooler: _,
            allow_unsafe_database: _,
            lease: _,
            retention,
            max_pending_age,
            plugins_dir: _,
            data_dir: _,
            shutdown_grace: _,
            maxima: _,
            admin_insecure: _,
            metrics_open: _,
            admin_token: _,
            alerts,
            otlp: _,
            encryption: _,
            trusted_keys: _,
            trusted_proxies,
            public_url,
            providers,
            sources,
            mut plugins,
            secret_files,
            origin: _,
        } = read;
        for plugin in plugins.values_mut() {
            // They were read within limits that are not in force yet.
            plugin.limits = plugin.limits.within(&self.maxima.limits);
        }
        let now = Self {
            tls: self.tls.as_ref().and(tls),
            admin_tls: self.admin_tls.as_ref().and(admin_tls),
            secret_files,
            alerts,
            public_url,
            trusted_proxies,
            providers,
            sources,
            plugins,
            retention,
            max_pending_age,
            ..self.clone()
        };
        let change = Change {
            applied: self.differences(&now),
            needs_restart,
        };
        (now, change)
    }

    /// The settings that differ and stay as they are until a restart.
    fn fixed_differences(&self, read: &Self) -> Vec<&'static str> {
        let is_safe = self.allow_unsafe_database == read.allow_unsafe_database;
        let are_same = [
            ("listen", self.listen == read.listen),
            ("admin_listen", self.admin_listen == read.admin_listen),
            ("tls", self.tls.is_some() == read.tls.is_some()),
            (
                "admin_tls",
                self.admin_tls.is_some() == read.admin_tls.is_some(),
            ),
            ("database", self.database == read.database),
            ("pool", self.pool == read.pool),
            ("pooler", self.pooler == read.pooler),
            ("allow_unsafe_database", is_safe),
            ("lease", self.lease == read.lease),
            ("plugins_dir", self.plugins_dir == read.plugins_dir),
            ("data_dir", self.data_dir == read.data_dir),
            ("shutdown_grace", self.shutdown_grace == read.shutdown_grace),
            ("limits", self.maxima == read.maxima),
            ("admin_insecure", self.admin_insecure == read.admin_insecure),
            ("metrics_open", self.metrics_open == read.metrics_open),
            ("admin_token", self.admin_token == read.admin_token),
            ("otlp", self.otlp == read.otlp),
            ("encryption", self.encryption == read.encryption),
            ("trusted_keys", self.trusted_keys == read.trusted_keys),
        ];
        let differing = are_same.into_iter().filter(|(_, is_same)| !is_same);
        differing.map(|(key, _)| key).collect()
    }

    /// The tables that differ.
    fn differences(&self, now: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        let by_name = |config: &Self| -> BTreeMap<String, super::SourceConfig> {
            let sources = config.sources.iter();
            sources
                .map(|source| (source.name.to_string(), source.clone()))
                .collect()
        };
        differing("sources", &by_name(self), &by_name(now), &mut keys);
        let by_name = |config: &Self| -> BTreeMap<String, PluginConfig> {
            let plugins = config.plugins.iter();
            plugins
                .map(|(name, plugin)| (name.to_string(), plugin.clone()))
                .collect()
        };
        differing("plugins", &by_name(self), &by_name(now), &mut keys);
        if self.tls != now.tls {
            keys.push("tls".to_owned());
        }
        if self.admin_tls != now.admin_tls {
            keys.push("admin_tls".to_owned());
        }
        if self.alerts != now.alerts {
            keys.push("alerts".to_owned());
        }
        if self.trusted_proxies != now.trusted_proxies {
            keys.push("trusted_proxies".to_owned());
        }
        if self.retention != now.retention {
            keys.push("retention".to_owned());
        }
        if self.max_pending_age != now.max_pending_age {
            keys.push("max_pending_age".to_owned());
        }
        keys
    }
}

/// Notes each table that is new, gone or other than before.
fn differing<T: PartialEq>(
    what: &str,
    before: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
    keys: &mut Vec<String>,
) {
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let changed = now.iter().filter(|(name, table)| {
        let before = before.get(*name);
        before != Some(*table)
    });
    let mut names: Vec<&String> = gone.chain(changed.map(|(name, _)| name)).collect();
    names.sort_unstable();
    keys.extend(names.into_iter().map(|name| format!("{what}.{name}")));
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.applied.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, Overrides};
    use super::Config;

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbay.toml");
        std::fs::write(&file, text).unwrap();
        let mut config =
            Config::load_with(Some(&file), &Overrides::default(), &Environment::default()).unwrap();
        // Each is of a folder of its own.
        config.plugins_dir = "plugins".into();
        config.data_dir = "data".into();
        config.database = super::super::Database::Sqlite("hookbay.db".into());
        config
    }

    #[test]
    fn tables_change_and_the_rest_needs_a_restart() {
        let before = "
            sources.a.provider = 'none'
            sources.b.provider = 'none'
            plugins.p.config.key = '1'
            retention.history = '1d'
        ";
        for (after, applied, needs_restart) in [
            (before.to_owned(), vec![], vec![]),
            (
                before.replace("sources.a", "sources.c"),
                vec!["sources.a", "sources.c"],
                vec![],
            ),
            (
                before.replace("'1'", "'2'").replace("'1d'", "'2d'"),
                vec!["plugins.p", "retention"],
                vec![],
            ),
            (
                format!("listen = '127.0.0.1:1'\nmetrics_open = true\n{before}"),
                vec![],
                vec!["listen", "metrics_open"],
            ),
        ] {
            let (now, change) = config(before).changed_to(config(&after));
            assert_eq!(change.applied, applied, "{after}");
            assert_eq!(change.needs_restart, needs_restart, "{after}");
            assert_eq!(now.listen, config(before).listen, "{after}");
            assert_eq!(now.sources, config(&after).sources, "{after}");
        }
    }

    #[test]
    fn no_plugin_gets_more_than_the_limits_in_force() {
        let before = config("limits.memory = '64MiB'");
        let after = config("limits.memory = '1GiB'\nplugins.p.limits.memory = '512MiB'");
        let (now, change) = before.changed_to(after);
        assert_eq!(change.needs_restart, ["limits"]);
        let memory = now.plugins.values().next().unwrap().limits.memory_bytes;
        assert_eq!(memory, 64 << 20);
    }
}
