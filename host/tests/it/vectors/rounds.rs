//! Vectors in rounds: in each, no two sources stand at the same address.

use hookbay::config::provider;
use serde_json::Value;

use super::Vector;

/// A configuration, and the requests that are sent under it.
pub(super) struct Round {
    public_url: String,
    sources: Vec<Source>,
    /// Where to, and what.
    pub(super) requests: Vec<(String, Vector)>,
}

struct Source {
    name: String,
    /// Where it stands beside its own address.
    path: Option<String>,
    provider: String,
    secrets: Vec<Value>,
}

/// Where those stand that do not care.
const ANYWHERE: &str = "https://hooks.example.com";

/// All of them: first those whose address is not signed.
pub(super) fn of(vectors: Vec<Vector>) -> Vec<Round> {
    let mut rounds = vec![Round::at(ANYWHERE)];
    for vector in vectors {
        let signs_address = provider::named(&vector.provider)
            .unwrap()
            .proof
            .covers_url();
        let start = vector.url.find("://").unwrap() + 3;
        let end = vector.url[start..].find('/').map(|slash| start + slash);
        let (public_url, target) = vector.url.split_at(end.unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !signs_address {
            let name = rounds[0].source(None, &vector);
            let target = format!("/webhooks/{name}?{query}");
            rounds[0].requests.push((target, vector));
            continue;
        }
        let fits = |round: &Round| round.public_url == public_url && round.takes(path, &vector);
        let position = rounds.iter().skip(1).position(fits).map(|at| at + 1);
        let position = position.unwrap_or_else(|| {
            rounds.push(Round::at(public_url));
            rounds.len() - 1
        });
        let (path, target) = (path.to_owned(), target.to_owned());
        rounds[position].source(Some(&path), &vector);
        rounds[position].requests.push((target, vector));
    }
    rounds
}

impl Round {
    fn at(public_url: &str) -> Self {
        Self {
            public_url: public_url.to_owned(),
            sources: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Whether nobody else stands at the path.
    fn takes(&self, path: &str, vector: &Vector) -> bool {
        let mut there = self.sources.iter();
        let there = there.find(|source| source.address() == path);
        there.is_none_or(|source| source.is_of(vector))
    }

    /// The name of the source of a vector, which is added if it is not there: at this path, or
    /// where its name says.
    fn source(&mut self, path: Option<&str>, vector: &Vector) -> String {
        let is_it = |source: &&Source| {
            source.is_of(vector) && path.is_none_or(|path| source.address() == path)
        };
        if let Some(source) = self.sources.iter().find(is_it) {
            return source.name.clone();
        }
        let named = path.and_then(|path| path.strip_prefix("/webhooks/"));
        let name = named.map_or_else(|| format!("s{}", self.sources.len()), str::to_owned);
        self.sources.push(Source {
            name: name.clone(),
            path: path.filter(|_| named.is_none()).map(str::to_owned),
            provider: vector.provider.clone(),
            secrets: vector.secrets.clone(),
        });
        name
    }

    /// The configuration, with a source of this name by which it is recognised.
    pub(super) fn toml(&self, marker: &str) -> String {
        let mut sources = toml::Table::new();
        for source in &self.sources {
            let mut table = toml::Table::new();
            table.insert("provider".into(), source.provider.as_str().into());
            if let Some(path) = &source.path {
                table.insert("path".into(), path.as_str().into());
            }
            if !source.secrets.is_empty() {
                let secrets = toml::Value::try_from(&source.secrets).unwrap();
                table.insert("secret".into(), secrets);
            }
            sources.insert(source.name.clone(), table.into());
        }
        let none = toml::Table::from_iter([("provider".to_owned(), "none".into())]);
        sources.insert(marker.to_owned(), none.into());
        let mut root = toml::Table::new();
        root.insert("public_url".into(), self.public_url.as_str().into());
        root.insert("sources".into(), sources.into());
        toml::to_string(&root).unwrap()
    }
}

impl Source {
    fn address(&self) -> String {
        let own = || format!("/webhooks/{}", self.name);
        self.path.clone().unwrap_or_else(own)
    }

    fn is_of(&self, vector: &Vector) -> bool {
        self.provider == vector.provider && self.secrets == vector.secrets
    }
}
