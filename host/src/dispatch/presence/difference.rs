//! What is different in a version that replaces another, in words for the log. Pure.

use std::collections::BTreeSet;

use crate::plugin::{Manifest, Wants};

/// What a manifest says that the one before it did not, and the other way round.
pub(super) fn said(before: Option<&Manifest>, now: &Manifest) -> String {
    let Some(before) = before else {
        return "new".to_owned();
    };
    let mut changes = Vec::new();
    if before.version != now.version {
        changes.push(format!("version was {}", before.version));
    }
    let (wanted, wants) = (wants(&before.wants), wants(&now.wants));
    changes.extend(
        wants
            .difference(&wanted)
            .map(|want| format!("wants {want}")),
    );
    let dropped = wanted.difference(&wants);
    changes.extend(dropped.map(|want| format!("wants no more {want}")));
    if before.triggers != now.triggers {
        changes.push("other triggers".to_owned());
    }
    if changes.is_empty() {
        return "none in what it says of itself".to_owned();
    }
    changes.join(", ")
}

/// Each want by its key in the configuration.
fn wants(wants: &Wants) -> BTreeSet<String> {
    let endpoints = wants
        .endpoints
        .iter()
        .map(|want| format!("http.{}", want.name));
    let secrets = wants
        .secrets
        .iter()
        .map(|want| format!("secrets.{}", want.name));
    let config = wants
        .config
        .iter()
        .map(|want| format!("config.{}", want.name));
    endpoints.chain(secrets).chain(config).collect()
}

#[cfg(test)]
mod tests {
    use super::said;
    use crate::plugin::{Manifest, SecretWant};

    #[test]
    fn differences_are_named() {
        let with_secret = |version: &str, secret: &str| {
            let mut manifest = Manifest {
                version: version.to_owned(),
                ..Manifest::default()
            };
            manifest.wants.secrets.push(SecretWant {
                name: secret.to_owned(),
                doc: String::new(),
            });
            manifest
        };
        let old = with_secret("1", "A");
        for (before, now, expected) in [
            (None, with_secret("1", "A"), "new"),
            (
                Some(&old),
                with_secret("1", "A"),
                "none in what it says of itself",
            ),
            (Some(&old), with_secret("2", "A"), "version was 1"),
            (
                Some(&old),
                with_secret("2", "B"),
                "version was 1, wants secrets.B, wants no more secrets.A",
            ),
        ] {
            assert_eq!(said(before, &now), expected);
        }
    }
}
