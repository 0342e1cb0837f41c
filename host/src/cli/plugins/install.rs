//! `hookbay plugins install`: a component goes into the plugins directory in one step, and the
//! command waits to hear what the host makes of it.
//!
//! The copy is written under a name that the host ignores and renamed when it is whole and on
//! disk, so that no host ever sees half a file. Whether the file is any good is for the host to
//! say; only what is no WebAssembly at all is turned away here.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::client::{AdminClient, ClientError, Page};
use super::super::table::{print, print_json};
use super::super::{CommandError, complain, text};
use super::{InstallArgs, Plugin, trouble};
use crate::config::Config;
use crate::name::{InvalidName, PluginName};
use crate::plugin::{PluginFile, TrustedKeys};

/// How long the host may take to load a component; a large one compiles for seconds.
const LOAD_WAIT: Duration = Duration::from_secs(60);

/// How often to ask meanwhile.
const POLL: Duration = Duration::from_millis(200);

/// What every WebAssembly file begins with.
const WASM_MAGIC: &[u8] = b"\0asm";

/// A component in its place.
#[derive(Debug)]
struct Installed {
    path: PathBuf,
    file_name: String,
    digest: String,
}

/// What the host makes of the installed digest for one plugin.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It has not got there yet.
    Open,
    /// New runs use it.
    Active,
    /// It does not run, and why.
    Refused(String),
}

pub(super) async fn run(
    config_path: Option<&Path>,
    args: &InstallArgs,
) -> Result<(), CommandError> {
    let Config {
        plugins_dir,
        trusted_keys,
        ..
    } = Config::load(config_path)?;
    // Before anything is copied: options that make no sense should change nothing.
    let client = AdminClient::new(config_path, &args.admin)?;
    let (file, name) = (args.file.clone(), plugin_name(args)?);
    let installed =
        tokio::task::spawn_blocking(move || place(&file, &plugins_dir, &name, &trusted_keys))
            .await
            .map_err(|error| CommandError::Failed(format!("cannot install: {error}")))??;

    match client
        .post_json::<Value>(&["plugins", "rescan"], &json!({}))
        .await
    {
        Ok(_) => report(&client, &installed, args.admin.json).await,
        Err(error @ ClientError::Unreachable { .. }) => {
            let path = installed.path.display();
            let note = format!("installed {path}; nothing loads it yet: {error}");
            complain(&text::harmless(&note));
            Ok(())
        }
        Err(error) => Err(installed.but(&error)),
    }
}

impl Installed {
    /// The file is in its place; more could not be learnt.
    fn but(&self, error: &ClientError) -> CommandError {
        let path = self.path.display();
        CommandError::Failed(format!(
            "installed {path}, but the host was no help: {error}"
        ))
    }
}

/// The name from the option, else from the file.
fn plugin_name(args: &InstallArgs) -> Result<PluginName, CommandError> {
    let stem = args
        .file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or(stem).unwrap_or_default();
    name.parse().map_err(|error: InvalidName| {
        let hint = if args.name.is_none() {
            "; choose one with --name"
        } else {
            ""
        };
        CommandError::Failed(format!("{error}{hint}"))
    })
}

/// Copies the component to `<plugins_dir>/<name>.wasm` in one visible step, after its
/// signature if it has one.
fn place(
    file: &Path,
    plugins_dir: &Path,
    name: &PluginName,
    trusted: &TrustedKeys,
) -> Result<Installed, CommandError> {
    let failed = |what: &str, path: &Path, error: &io::Error| {
        CommandError::Failed(format!("cannot {what} {}: {error}", path.display()))
    };
    let PluginFile {
        bytes: component,
        signature,
        digest: _,
    } = PluginFile::read(file).map_err(|error| failed("read", file, &error))?;
    trusted
        .check(&component, signature.as_deref())
        .map_err(|error| {
            let file = file.display();
            CommandError::Failed(format!("{file} would not run: {error}; nothing was copied"))
        })?;
    if !component.starts_with(WASM_MAGIC) {
        let path = file.display();
        return Err(CommandError::Failed(format!(
            "{path} is not WebAssembly: nothing was copied"
        )));
    }
    fs::create_dir_all(plugins_dir).map_err(|error| failed("make", plugins_dir, &error))?;
    let file_name = format!("{name}.wasm");
    let path = plugins_dir.join(&file_name);
    let temporary = plugins_dir.join(format!(".{name}.{}.tmp", std::process::id()));
    // The signature first: the other way round the component would be looked at without.
    let signed = match &signature {
        Some(signature) => write_durably(&temporary, signature)
            .and_then(|()| fs::rename(&temporary, PluginFile::signature_path(&path))),
        None => Ok(()),
    };
    let moved = signed
        .and_then(|()| write_durably(&temporary, &component))
        .and_then(|()| fs::rename(&temporary, &path))
        .and_then(|()| File::open(plugins_dir)?.sync_all());
    if let Err(error) = moved {
        // It is ours, and the host ignores it; that it may be gone already does not matter.
        drop(fs::remove_file(&temporary));
        return Err(failed("write", &path, &error));
    }
    Ok(Installed {
        path,
        file_name,
        digest: hex::encode(Sha256::digest(&component)),
    })
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A process with our id that was killed may have left one.
    drop(fs::remove_file(path));
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until every plugin of this file has a verdict, and says it.
async fn report(
    client: &AdminClient,
    installed: &Installed,
    json: bool,
) -> Result<(), CommandError> {
    let (answers, plugins) = wait(client, installed)
        .await
        .map_err(|error| installed.but(&error))?;
    if json {
        print_json(&json!({ "items": answers }))?;
    }
    let mut refusals = Vec::new();
    for plugin in &plugins {
        let (name, digest) = (&plugin.name, text::short_digest(Some(&installed.digest)));
        match verdict(plugin, &installed.digest) {
            Verdict::Active if json => {}
            Verdict::Active => {
                let line = format!(
                    "plugin {name} is active: {digest} in {}",
                    installed.path.display()
                );
                print(&format!("{}\n", text::harmless(&line)))?;
            }
            Verdict::Refused(reason) => refusals.push(format!("plugin {name}: {digest} {reason}")),
            Verdict::Open => refusals.push(format!(
                "plugin {name}: {digest} is not loaded after {} s; the plugin is {}",
                LOAD_WAIT.as_secs(),
                text::or_dash(plugin.state.as_deref())
            )),
        }
    }
    if plugins.is_empty() {
        refusals.push(format!(
            "installed {}, but the host shows no plugin of that file after {} s; does it use this \
             plugins directory?",
            installed.path.display(),
            LOAD_WAIT.as_secs()
        ));
    }
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(CommandError::Failed(refusals.join("\n")))
    }
}

/// The plugins that this file is for, as the API shows them, once none is open or time is up.
async fn wait(
    client: &AdminClient,
    installed: &Installed,
) -> Result<(Vec<Value>, Vec<Plugin>), ClientError> {
    let deadline = tokio::time::Instant::now() + LOAD_WAIT;
    loop {
        let page: Page<Value> = client
            .get_json(&["plugins"], &[("limit", Some("1000"))])
            .await?;
        let mut answers = Vec::new();
        let mut plugins = Vec::new();
        for answer in page.items {
            let plugin: Plugin = client.typed(answer.clone())?;
            if is_of_file(&plugin, &installed.file_name) {
                plugins.push(plugin);
                answers.push(answer);
            }
        }
        let is_open = |plugin| verdict(plugin, &installed.digest) == Verdict::Open;
        let is_settled = !plugins.is_empty() && !plugins.iter().any(is_open);
        if is_settled || tokio::time::Instant::now() >= deadline {
            return Ok((answers, plugins));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// One file can be several plugins, each under its own table and name.
fn is_of_file(plugin: &Plugin, file_name: &str) -> bool {
    match plugin
        .file
        .as_deref()
        .and_then(|file| Path::new(file).file_name())
    {
        Some(file) => file == file_name,
        None => Some(plugin.name.as_str()) == file_name.strip_suffix(".wasm"),
    }
}

fn verdict(plugin: &Plugin, digest: &str) -> Verdict {
    let is_ours = |shown: &Option<String>| shown.as_deref() == Some(digest);
    let state = plugin.state.as_deref().unwrap_or_default();
    let reason = || trouble(plugin).map_or_else(String::new, |trouble| format!(": {trouble}"));
    if let Some(candidate) = plugin
        .candidate
        .as_ref()
        .filter(|candidate| is_ours(&candidate.digest))
    {
        let has_problem = !candidate.problem.is_null();
        return match state {
            "held" | "broken" => Verdict::Refused(format!("is {state}{}", reason())),
            _ if has_problem => Verdict::Refused(format!("is not active{}", reason())),
            _ => Verdict::Open,
        };
    }
    if !is_ours(&plugin.digest) {
        return Verdict::Open;
    }
    match state {
        "active" => Verdict::Active,
        "paused" | "tripped" | "held" | "broken" => {
            Verdict::Refused(format!("is loaded, but the plugin is {state}{}", reason()))
        }
        _ => Verdict::Open,
    }
}

#[cfg(test)]
mod tests;
