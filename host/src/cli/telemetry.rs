//! Logs: text for a terminal, JSON for everything else, written by a thread of
//! their own so that a slow reader of the log never holds up a webhook.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

use crate::config::Environment;

/// Starts logging to stderr; what is still to be written is written when the
/// guard is dropped. `RUST_LOG` sets what is logged.
pub(super) fn start(environment: &Environment) -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let wanted = environment.get("RUST_LOG").unwrap_or("info");
    let filter = EnvFilter::builder().parse_lossy(wanted);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().flatten_event(true).with_ansi(false).init();
    }
    guard
}
