//! `[alerts]`: who is told when something is wrong, and what counts as wrong.

use std::time::Duration;

use url::Url;

use super::grants::HttpOrigin;
use super::reader::Table;
use super::secret::secret;

/// The longest that anything is waited for or counted over.
const LONGEST: Duration = Duration::from_hours(24);

/// Who is told, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertsConfig {
    /// Where notices go.
    pub target: AlertTarget,
    /// How a notice is written.
    pub format: AlertFormat,
    /// How long something must be wrong, or right again, before that is told; 0 to 1 day.
    pub after: Duration,
    /// How old the next run of a plugin may be; 1 second to 1 day.
    pub queue_age: Duration,
    /// Over how long failures are counted; 1 minute to 1 day.
    pub window: Duration,
    /// So many requests of a source that fail verification on one host in the window are
    /// too many.
    pub failed_verifications: u32,
    /// So many runs of a plugin that die on one host in the window are too many.
    pub dead_runs: u32,
}

/// Where notices go. The path may be a secret, as it is with Slack.
#[derive(Clone, PartialEq, Eq)]
pub struct AlertTarget {
    /// Scheme, host and port.
    pub origin: HttpOrigin,
    /// From `/`, with the query.
    pub path: String,
    /// Whether an address that is not public may be connected to.
    pub private: bool,
}

/// How a notice is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertFormat {
    /// A JSON object of our own.
    Json,
    /// `{"text": …}`, as Slack, Mattermost and Discord (`/slack`) take it.
    Slack,
}

impl std::fmt::Debug for AlertTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlertTarget({}/…)", self.origin)
    }
}

/// Reads `[alerts]`; without the table nobody is told.
pub(super) fn read(table: Option<Table<'_>>) -> Option<AlertsConfig> {
    let mut table = table?;
    let target = target(&mut table);
    let is_slack = target
        .as_ref()
        .is_some_and(|target| target.origin.host().to_string() == "hooks.slack.com");
    let format = match table.string("format").as_deref() {
        None if is_slack => AlertFormat::Slack,
        None | Some("json") => AlertFormat::Json,
        Some("slack") => AlertFormat::Slack,
        Some(other) => {
            table.problem("format", format_args!("`{other}` is not `json` or `slack`"));
            AlertFormat::Json
        }
    };
    let seconds = Duration::from_secs;
    let after = table.duration("after", Duration::ZERO..=LONGEST);
    let queue_age = table.duration("queue_age", seconds(1)..=LONGEST);
    let window = table.duration("window", seconds(60)..=LONGEST);
    let failed_verifications = table.integer("failed_verifications", 1..=1_000_000);
    let dead_runs = table.integer("dead_runs", 1..=1_000_000);
    table.finish();
    Some(AlertsConfig {
        target: target?,
        format,
        after: after.unwrap_or(seconds(60)),
        queue_age: queue_age.unwrap_or(seconds(600)),
        window: window.unwrap_or(seconds(600)),
        failed_verifications: failed_verifications.unwrap_or(20),
        dead_runs: dead_runs.unwrap_or(5),
    })
}

/// `webhook`: a secret that is a URL. No problem repeats it.
fn target(table: &mut Table<'_>) -> Option<AlertTarget> {
    let private = table.boolean("private").unwrap_or(false);
    let path = table.path_of("webhook");
    let Some(value) = table.take("webhook") else {
        table.problem("webhook", "is missing: an address to send notices to");
        return None;
    };
    let text = secret(&path, value, table.reading())?;
    let url = std::str::from_utf8(text.expose()).ok();
    let url = url.and_then(|text| Url::parse(text.trim()).ok());
    let split = url.and_then(|url| {
        let is_plain = url.username().is_empty() && url.password().is_none();
        let origin: HttpOrigin = url.origin().ascii_serialization().parse().ok()?;
        let query = url.query().map(|query| format!("?{query}"));
        let path = format!("{}{}", url.path(), query.unwrap_or_default());
        is_plain.then_some((origin, path))
    });
    let Some((origin, path)) = split else {
        table.problem("webhook", "must be an address such as https://host/path");
        return None;
    };
    if !origin.is_https() && !private {
        table.problem("webhook", "must be https, unless `private = true`");
        return None;
    }
    Some(AlertTarget {
        origin,
        path,
        private,
    })
}
