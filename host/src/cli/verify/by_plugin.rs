//! A verifier plugin on the bench: the file that a host would run, in the same sandbox.

use crate::app::verifiers::OneVerifier;
use crate::cli::CommandError;
use crate::cli::check::load;
use crate::clock::Clock;
use crate::config::Config;
use crate::name::PluginName;
use crate::plugin::{PluginHost, Role};

/// Loads the verifier of this name out of the plugins directory.
///
/// # Errors
/// [`CommandError::Usage`]: without it there is no verdict, not a bad one.
pub(super) async fn start(config: &Config, name: &PluginName) -> Result<OneVerifier, CommandError> {
    let settings = config.plugin(name);
    let file = settings.file.clone();
    let file = file.unwrap_or_else(|| format!("{name}.wasm"));
    let unusable = |problem: String| CommandError::Usage(format!("plugin `{name}`: {problem}"));
    let host = PluginHost::start(config.maxima, Clock::system(), None)
        .map_err(|error| unusable(error.to_string()))?
        .trusting(config.trusted_keys.clone());
    let loaded = load(&host, &config.plugins_dir.join(file)).await;
    let loaded = loaded.map_err(|error| unusable(error.to_string()))?;
    if loaded.role() != Role::Verifier {
        return Err(unusable(
            "it handles events and verifies nothing".to_owned(),
        ));
    }
    Ok(OneVerifier {
        host,
        loaded,
        limits: settings.limits,
    })
}
