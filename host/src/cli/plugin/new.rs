//! `hookbay plugin new`: a crate that builds, and passes its own tests, anywhere.
//!
//! What goes into it is [`scaffold`]'s. Here the words of the command line become a
//! [`Scaffold`], and its files a folder: whole, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::table::print;
use crate::cli::{CommandError, text};
use crate::config::provider;
use crate::name::PluginName;
use crate::trigger::KindPattern;

mod scaffold;

use scaffold::{CrateName, Scaffold, What};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name, and its folder's
    #[arg(value_name = "NAME", value_parser = crate_name)]
    name: CrateName,
    /// Where to make the folder [default: here]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Make a verifier, which proves who sent a request, instead of a plugin for events
    #[arg(long, conflicts_with_all = ["provider", "kind"])]
    verifier: bool,
    /// The provider whose events it handles
    #[arg(long, value_name = "NAME", default_value = "github", value_parser = provider_name)]
    provider: String,
    /// The kind of event it handles, such as push or invoice.* [default: push of github, ** of others]
    #[arg(long, value_name = "PATTERN", value_parser = kind_pattern)]
    kind: Option<KindPattern>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let usual_kind = || match args.provider.as_str() {
        "github" => "push",
        _ => "**",
    };
    let (what, made) = if args.verifier {
        (What::Verifier, "a verifier")
    } else {
        let (provider, kind) = (args.provider.as_str(), args.kind.as_ref());
        let kind = kind.map_or_else(usual_kind, KindPattern::as_str);
        (What::Plugin { provider, kind }, "a plugin")
    };
    let name = &args.name;
    let scaffold = Scaffold { name, what };
    let place = args.dir.clone().unwrap_or_default();
    let folder = place.join(args.name.as_str());
    make(&folder, &scaffold)?;
    let shown = text::harmless(&folder.display().to_string());
    let (name, file) = (args.name.as_str(), args.name.artefact());
    print(&format!(
        "made {shown}: {made} with its tests, the SDK and the contract\n\n\
         cd {shown}\n\
         cargo test\n\
         cargo build --target wasm32-wasip2 --release\n\
         hookbay --config /path/to/hookbay.toml plugins install --name {name} \
         target/wasm32-wasip2/release/{file}\n"
    ))?;
    Ok(())
}

/// Writes the crate's files into a folder that is not there yet.
fn make(folder: &Path, scaffold: &Scaffold<'_>) -> Result<(), CommandError> {
    let shown = folder.display();
    // "" is here, which is there.
    if let Some(parent) = folder.parent().filter(|parent| *parent != Path::new("")) {
        fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error))?;
    }
    // Not `create_dir_all`: what is there is somebody's, even if it is empty.
    match fs::create_dir(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let reason = format!("{shown} is there already: remove it, or choose another name");
            return Err(CommandError::Failed(reason));
        }
        Err(error) => return Err(unwritable(folder, &error)),
    }
    for (path, text) in scaffold.files() {
        let file = folder.join(path);
        if let Err(error) = write(&file, &text) {
            // It is ours. That half of it may stay is worth less than why.
            drop(fs::remove_dir_all(folder));
            return Err(unwritable(&file, &error));
        }
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(file, text)
}

fn unwritable(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Failed(format!("cannot make {}: {error}", path.display()))
}

fn crate_name(text: &str) -> Result<CrateName, String> {
    let name: PluginName = text.parse().map_err(|error| format!("{error}"))?;
    CrateName::try_from(name).map_err(|error| error.to_string())
}

/// One of the catalogue, or the provider of events that plugins emit.
fn provider_name(text: &str) -> Result<String, String> {
    if text == "hookbay" || provider::names().any(|known| known == text) {
        return Ok(text.to_owned());
    }
    Err(format!("it is not known; {}", provider::instead_of(text)))
}

fn kind_pattern(text: &str) -> Result<KindPattern, String> {
    text.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests;
