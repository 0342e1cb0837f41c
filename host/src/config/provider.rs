//! Reads providers: the catalogue's files, and the keys by which a source
//! changes or completes its provider.

use std::path::Path;
use std::time::Duration;

use crate::ingest::scheme::{
    Algorithm, Encoding, HmacScheme, Place, Proof, Provider, Template, TimestampRule,
};

use super::reader::{Reading, Table};

/// The catalogue: slug and file of each provider, compiled in.
const CATALOGUE: [(&str, &str); 3] = [
    ("generic", include_str!("../../providers/generic.toml")),
    ("github", include_str!("../../providers/github.toml")),
    ("none", include_str!("../../providers/none.toml")),
];

/// How far the time of signing may be off, unless the source says otherwise.
const TOLERANCE: Duration = Duration::from_mins(5);

/// A provider's keys as written, before they are put together.
#[derive(Clone, Debug, Default)]
struct Keys {
    proof: Option<String>,
    signature_header: Option<String>,
    algorithm: Option<Algorithm>,
    encoding: Option<Encoding>,
    prefix: Option<String>,
    timestamp_header: Option<String>,
    tolerance: Option<Duration>,
    signed: Option<Template>,
    kind: Place,
    id: Place,
    json: Option<bool>,
    handshake_kind: Option<String>,
}

/// The names of all known providers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().map(|(name, _)| *name)
}

/// A provider as the catalogue has it.
pub(crate) fn named(name: &str) -> Option<Provider> {
    let reading = Reading {
        base: Path::new(""),
        from_environment: &std::collections::BTreeSet::new(),
        variable: &|_| None,
        problems: std::cell::RefCell::default(),
        files: &std::cell::RefCell::default(),
    };
    put_together(name, catalogue_keys(name, &reading)?).ok()
}

/// A provider as the catalogue has it, with the keys of a source laid over.
/// Notes an unknown name and keys that do not fit together.
pub(super) fn overlaid(name: &str, source: &mut Table<'_>) -> Option<Provider> {
    let Some(base) = catalogue_keys(name, source.reading()) else {
        let known: Vec<&str> = names().collect();
        source.problem(
            "provider",
            format_args!("`{name}` is not known; known are `{}`", known.join("`, `")),
        );
        return None;
    };
    let own = read(source);
    match put_together(name, own.over(base)) {
        Ok(provider) => Some(provider),
        Err((key, problem)) => {
            source.problem(key, problem);
            None
        }
    }
}

fn catalogue_keys(name: &str, reading: &Reading<'_>) -> Option<Keys> {
    let (_, text) = CATALOGUE.iter().find(|(slug, _)| *slug == name)?;
    let table: toml::Table = toml::from_str(text).ok()?;
    let mut table = Table::new(format!("providers.{name}"), table, reading);
    let keys = Keys {
        proof: table.string("proof"),
        ..read(&mut table)
    };
    table.finish();
    Some(keys)
}

fn read(table: &mut Table<'_>) -> Keys {
    Keys {
        proof: None,
        signature_header: header(table, "signature_header"),
        algorithm: table.parse("algorithm"),
        encoding: table.parse("encoding"),
        prefix: table.string("prefix"),
        timestamp_header: header(table, "timestamp_header"),
        tolerance: table.duration(
            "tolerance",
            Duration::from_secs(1)..=Duration::from_hours(24),
        ),
        signed: table.parse("signed"),
        kind: Place {
            header: header(table, "kind_header"),
            pointer: table.parse("kind_pointer"),
        },
        id: Place {
            header: header(table, "id_header"),
            pointer: table.parse("id_pointer"),
        },
        json: table.boolean("json"),
        handshake_kind: table.string("handshake_kind"),
    }
}

/// The name of a header, in lower case as requests have it.
fn header(table: &mut Table<'_>, key: &'static str) -> Option<String> {
    let name = table.string(key)?;
    let parsed = axum::http::HeaderName::from_bytes(name.as_bytes());
    table.noted(
        key,
        parsed.map_err(|_| format!("`{name}` is not the name of a header")),
    )?;
    Some(name.to_ascii_lowercase())
}

impl Keys {
    /// A key that only means something to a provider that checks a signature.
    fn of_a_signature(&self) -> Option<&'static str> {
        let keys = [
            ("signature_header", self.signature_header.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("encoding", self.encoding.is_some()),
            ("prefix", self.prefix.is_some()),
            ("timestamp_header", self.timestamp_header.is_some()),
            ("tolerance", self.tolerance.is_some()),
            ("signed", self.signed.is_some()),
        ];
        keys.into_iter()
            .find(|(_, is_set)| *is_set)
            .map(|(key, _)| key)
    }

    fn over(self, base: Self) -> Self {
        Self {
            proof: base.proof,
            signature_header: self.signature_header.or(base.signature_header),
            algorithm: self.algorithm.or(base.algorithm),
            encoding: self.encoding.or(base.encoding),
            prefix: self.prefix.or(base.prefix),
            timestamp_header: self.timestamp_header.or(base.timestamp_header),
            tolerance: self.tolerance.or(base.tolerance),
            signed: self.signed.or(base.signed),
            kind: self.kind.over(base.kind),
            id: self.id.over(base.id),
            json: self.json.or(base.json),
            handshake_kind: self.handshake_kind.or(base.handshake_kind),
        }
    }
}

impl Place {
    /// A source that says where a value stands says it whole.
    fn over(self, base: Self) -> Self {
        if self.header.is_some() || self.pointer.is_some() {
            self
        } else {
            base
        }
    }
}

/// Builds the provider, or says which key stands in the way.
fn put_together(name: &str, keys: Keys) -> Result<Provider, (&'static str, &'static str)> {
    let proof = if keys.proof.as_deref() == Some("hmac") {
        Proof::Hmac(hmac_scheme(&keys)?)
    } else if let Some(key) = keys.of_a_signature() {
        return Err((key, "has no effect: this provider checks no signature"));
    } else {
        Proof::None
    };
    Ok(Provider {
        name: name.to_owned(),
        proof,
        kind: keys.kind,
        id: keys.id,
        is_json: keys.json.unwrap_or(false),
        handshake_kind: keys.handshake_kind,
    })
}

fn hmac_scheme(keys: &Keys) -> Result<HmacScheme, (&'static str, &'static str)> {
    let timestamp = keys.timestamp_header.clone().map(|header| TimestampRule {
        header,
        tolerance: keys.tolerance.unwrap_or(TOLERANCE),
    });
    let default = if timestamp.is_some() {
        "{timestamp}.{body}"
    } else {
        "{body}"
    };
    let signed = match keys.signed.clone() {
        Some(signed) => signed,
        None => default
            .parse()
            .map_err(|_| ("signed", "is not a template"))?,
    };
    if signed.has_timestamp() != timestamp.is_some() {
        return Err(match timestamp {
            Some(_) => (
                "signed",
                "leaves out `{timestamp}`, so that `timestamp_header` would prove nothing",
            ),
            None => (
                "signed",
                "has `{timestamp}`, which needs `timestamp_header`",
            ),
        });
    }
    if timestamp.is_none() && keys.tolerance.is_some() {
        return Err(("tolerance", "needs `timestamp_header`"));
    }
    Ok(HmacScheme {
        signature_header: keys
            .signature_header
            .clone()
            .ok_or(("signature_header", "is missing"))?,
        algorithm: keys.algorithm.ok_or(("algorithm", "is missing"))?,
        encoding: keys.encoding.ok_or(("encoding", "is missing"))?,
        prefix: keys.prefix.clone().unwrap_or_default(),
        timestamp,
        signed,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_whole_catalogue_reads() {
        for name in super::names() {
            assert!(super::named(name).is_some(), "{name}");
        }
    }
}
