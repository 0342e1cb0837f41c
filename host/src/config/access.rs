//! How the command line reaches a running host's admin API.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Environment};

/// The token's file in `data_dir`.
pub(crate) const TOKEN_FILE: &str = "admin-token";

/// Address and credential of a host's admin API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAccess {
    /// Such as `http://127.0.0.1:8081`.
    pub url: String,
    /// The token itself, if the environment gives it.
    pub token: Option<String>,
    /// The file that holds it, otherwise.
    pub token_file: Option<PathBuf>,
}

impl AdminAccess {
    /// Command line first, then the environment, then what the local
    /// configuration says about a host that runs here.
    ///
    /// # Errors
    /// The configuration's problems, where it is needed.
    pub fn resolve(
        config: Option<&Path>,
        url: Option<String>,
        token_file: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let environment = Environment::of_process();
        let url = url.or_else(|| environment.get("HOOKBAY_ADMIN_URL").map(str::to_owned));
        let token = match &token_file {
            Some(_) => None,
            None => environment.get("HOOKBAY_ADMIN_TOKEN").map(str::to_owned),
        };
        if let (Some(url), true) = (&url, token.is_some() || token_file.is_some()) {
            return Ok(Self {
                url: url.clone(),
                token,
                token_file,
            });
        }
        let local = Config::load(config)?;
        Ok(Self {
            url: url.unwrap_or_else(|| format!("http://{}", local.admin_listen)),
            token_file: match &token {
                Some(_) => None,
                None => token_file.or_else(|| Some(local.token_file())),
            },
            token,
        })
    }
}
