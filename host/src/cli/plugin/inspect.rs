//! `hookbay plugin inspect`: what a file is, and whether this host can run it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{maxima, name_of, start, unreadable};
use crate::cli::check::load;
use crate::cli::table::{facts, print, print_json};
use crate::cli::{CommandError, text};
use crate::config::Config;
use crate::plugin::{Digest, Loaded, Manifest, TriggerText, Wants};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component, as `cargo build --target wasm32-wasip2` makes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What the file wants and `--config FILE` does not grant; none without one.
type Missing = Option<Vec<String>>;

pub(super) async fn run(config: Option<&Config>, args: &Args) -> Result<(), CommandError> {
    let about = std::fs::metadata(&args.file).map_err(|error| unreadable(&args.file, &error))?;
    let file = args.file.display().to_string();
    let trusted = config.map(|config| config.trusted_keys.clone());
    let host = start(maxima(config))?.trusting(trusted.unwrap_or_default());
    match load(&host, &args.file).await {
        Ok(loaded) => {
            let missing = missing(config, &args.file, &loaded);
            if args.json {
                print_json(&as_json(&file, &loaded, &missing))?;
            } else {
                print(&as_text(&file, &loaded, &missing))?;
            }
            Ok(())
        }
        Err(error) => {
            if args.json {
                print_json(&json!({
                    "file": file,
                    "size_bytes": about.len(),
                    "can_run": false,
                    "problem": error.to_string(),
                }))?;
            }
            let reason = format!("this host cannot run {file}: {error}");
            Err(CommandError::Failed(reason))
        }
    }
}

/// By the configuration's table of the name that the file gives its plugin.
fn missing(config: Option<&Config>, file: &Path, loaded: &Loaded) -> Missing {
    let granted = config?.plugin(&name_of(file)?);
    Some(loaded.manifest.missing_grants(&granted))
}

fn as_json(file: &str, loaded: &Loaded, missing: &Missing) -> Value {
    let Manifest {
        name,
        version,
        description,
        triggers,
        wants,
        verifies,
    } = &loaded.manifest;
    json!({
        "file": file,
        "name": name,
        "version": version,
        "description": description,
        "digest": loaded.digest,
        "size_bytes": loaded.size_bytes,
        "role": loaded.role().as_str(),
        "contract": loaded.contract.version(),
        "triggers": triggers,
        "wants": wants,
        "verifies": verifies,
        "imports": loaded.imports,
        "start_memory_bytes": loaded.start_memory_bytes,
        "missing_grants": missing,
        "can_run": true,
    })
}

fn as_text(file: &str, loaded: &Loaded, missing: &Missing) -> String {
    let manifest = &loaded.manifest;
    let digest: &Digest = &loaded.digest;
    let mut entries = vec![
        ("file", file.to_owned()),
        ("name", text::or_dash(Some(&manifest.name))),
        ("version", text::or_dash(Some(&manifest.version))),
        ("description", text::or_dash(Some(&manifest.description))),
        ("digest", digest.to_string()),
        ("size", text::size(loaded.size_bytes)),
        (
            "memory",
            format!("{} at its start", text::size(loaded.start_memory_bytes)),
        ),
        ("contract", loaded.contract.version().to_owned()),
        ("role", loaded.role().as_str().to_owned()),
    ];
    let labelled = |label| move |value: String| (label, value);
    entries.extend(
        manifest
            .triggers
            .iter()
            .map(trigger)
            .map(labelled("trigger")),
    );
    entries.extend(wants(&manifest.wants).map(labelled("wants")));
    entries.extend(loaded.imports.iter().cloned().map(labelled("import")));
    let verdict = match missing.as_deref() {
        None | Some([]) => "this host can run it".to_owned(),
        Some(missing) => format!(
            "this host holds it until it is granted {}",
            missing.join(", ")
        ),
    };
    entries.push(("verdict", verdict));
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(label, value)| (label, Some(value)))
        .collect();
    facts(&entries)
}

fn trigger(trigger: &TriggerText) -> String {
    let origin = match (&trigger.provider, &trigger.source) {
        (Some(provider), _) => format!("provider {provider}"),
        (None, source) => format!("source {}", text::or_dash(source.as_deref())),
    };
    let ordering = trigger.ordering_key.as_deref();
    let ordering = ordering.map(|key| format!(", in order of {key}"));
    format!(
        "{origin}, kind {}{}",
        trigger.kind,
        ordering.unwrap_or_default()
    )
}

/// Each want by its key under `[plugins.NAME]`, and what for.
fn wants(wants: &Wants) -> impl Iterator<Item = String> {
    let endpoints = wants.endpoints.iter().map(|want| {
        let origin = want.default_origin.as_deref();
        let origin = origin.map(|origin| format!(" (usually {origin})"));
        format!(
            "http.{}{}: {}",
            want.name,
            origin.unwrap_or_default(),
            want.doc
        )
    });
    let secrets = wants
        .secrets
        .iter()
        .map(|want| format!("secrets.{}: {}", want.name, want.doc));
    let config = wants.config.iter().map(|want| {
        let need = if want.required {
            "required"
        } else {
            "optional"
        };
        format!("config.{} ({need}): {}", want.name, want.doc)
    });
    endpoints.chain(secrets).chain(config)
}
