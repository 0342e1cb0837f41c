//! `hookbay serve`: runs the host until it is told to stop.

use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, Listeners};
use crate::clock::Clock;
use crate::config::{Config, Environment, Overrides};

use super::CommandError;
use super::telemetry;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Public address, for webhooks
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Private address, for the admin API
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Such as sqlite://hookbay.db
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The directory that plugins are dropped into
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Where versions, compile cache and admin token are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(crate) async fn run(config_path: Option<&Path>, args: Args) -> Result<(), CommandError> {
    let overrides = Overrides {
        listen: args.listen,
        admin_listen: args.admin_listen,
        database: args.database,
        plugins_dir: args.plugins,
        data_dir: args.data_dir,
    };
    let environment = Environment::of_process();
    let config = Config::load_with(config_path, &overrides, &environment)?;
    let _flushes_the_log = telemetry::start(&environment);
    open_as_many_files_as_allowed();
    let failed = |error: &dyn std::fmt::Display| CommandError::Failed(error.to_string());

    // Told to stop while starting counts too.
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(|error| failed(&error))?;
    let listeners = Listeners {
        public: bind("listen", config.listen).await?,
        admin: bind("admin_listen", config.admin_listen).await?,
    };
    let app = App::start(config, listeners, Clock::system())
        .await
        .map_err(|error| failed(&error))?;
    say_where(app.config());
    loop {
        tokio::select! {
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            Some(()) = hung_up.recv() => app.reload(),
        }
    }
    tracing::info!("stopping; another signal stops at once");
    tokio::select! {
        () = app.stop() => {}
        _ = interrupted.recv() => return Err(CommandError::Failed("stopped at once".to_owned())),
        _ = terminated.recv() => return Err(CommandError::Failed("stopped at once".to_owned())),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Connections are files too; the usual soft limit of 1,024 is meant for programs
/// that use `select`.
fn open_as_many_files_as_allowed() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    let wanted = Rlimit {
        current: hard,
        maximum: hard,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

async fn bind(key: &str, address: std::net::SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(address).await.map_err(|error| {
        CommandError::Failed(format!("cannot listen on `{address}` ({key}): {error}"))
    })
}

fn say_where(config: &Config) {
    let plugins_dir = config.plugins_dir.display();
    tracing::info!(listen = %config.listen, sources = config.sources.len(), "receiving webhooks");
    let token = match config.admin_token {
        Some(_) => "HOOKBAY_ADMIN_TOKEN".to_owned(),
        None => config.token_file().display().to_string(),
    };
    tracing::info!(admin_listen = %config.admin_listen, %token, "the admin API answers");
    tracing::info!(%plugins_dir, "plugins are loaded from here");
    if config.sources.is_empty() {
        tracing::warn!("no source is configured: every webhook is answered with 404");
    }
}
