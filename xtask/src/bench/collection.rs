//! The plugins of `plugins/`: what a run of each costs, with the providers' samples as events
//! and the stand-in as the services that they call.
//!
//! The figures are the host's own bill of each attempt, as the admin API shows it: the
//! processor time of the guest with its host calls.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hookbay_stand_in::{Options, StandIn};
use serde_json::Value;

use crate::config::{self, Database};
use crate::guests;
use crate::host::Host;
use crate::stand_in;
use crate::workspace::{Profile, Workspace};

/// How often each of them is sent.
const TIMES: u64 = 100;
const WITHIN: Duration = Duration::from_secs(120);

/// Each plugin with a kind that it takes, and the provider that has a sample of it.
const SENT: [(&str, &str, &str); 13] = [
    ("github-push", "github", "push"),
    ("github-pull-request", "github", "pull_request.opened"),
    ("github-issues", "github", "issues.opened"),
    ("github-release", "github", "release.published"),
    ("github-workflow", "github", "workflow_run.completed"),
    ("github-to-slack", "github", "pull_request.closed"),
    ("stripe-invoice-notion", "stripe", "invoice.paid"),
    ("stripe-checkout", "stripe", "checkout.session.completed"),
    ("shopify-order", "shopify", "orders/create"),
    ("slack-notify", "generic", "order.created"),
    ("discord-notify", "generic", "order.created"),
    ("email", "generic", "order.created"),
    ("forward", "generic", "order.created"),
];

/// Sends every kind to a host that has one plugin.
pub(crate) fn measure(workspace: &Workspace) -> Result<()> {
    println!("\n## The collection: {TIMES} runs of each plugin\n");
    println!("| plugin | kind | p50 µs CPU | mean µs CPU | p99 µs CPU | KiB |");
    println!("|---|---|--:|--:|--:|--:|");
    for (plugin, provider, kind) in SENT {
        measure_one(workspace, plugin, provider, kind)
            .with_context(|| format!("{plugin} with {kind}"))?;
    }
    Ok(())
}

fn measure_one(workspace: &Workspace, plugin: &str, provider: &str, kind: &str) -> Result<()> {
    let stand_in = StandIn::start(Options::quiet())?;
    let database = Database::sqlite();
    let mut host = Host::prepare(workspace, Profile::Release, "collection", &database)?;
    host.configure(&config::of_plugins(stand_in.address())?.replace(stand_in::RATE, ""))?;
    let file = format!("{plugin}.wasm");
    let component = std::fs::read(workspace.plugin_files().join(&file))?;
    guests::place(&host.plugin_folder(), &file, &component)?;
    host.start()?;
    for _ in 0..TIMES {
        let mut send = Command::new(workspace.binary(Profile::Release, "hookbay"));
        send.args(["send", provider, kind, "--config"]);
        let sent = send.arg(host.config_file()).output()?;
        if !sent.status.success() {
            bail!("not sent: {}", String::from_utf8_lossy(&sent.stderr).trim());
        }
    }
    host.wait_until_drained(plugin, TIMES, WITHIN)?;

    let mut admin = host.admin()?;
    let mut spent_us = Vec::new();
    for run in admin.items(&format!("runs?plugin={plugin}"))? {
        let id = run["id"].as_str().context("a run has an id")?;
        let run = admin.get(&format!("runs/{id}"))?;
        let attempts = run["attempts"].as_array().context("a run has attempts")?;
        match attempts.as_slice() {
            [attempt] if attempt["outcome"] == "succeeded" => spent_us.push(cpu_us(attempt)?),
            _ => bail!("run {id} did not succeed at once: {run}"),
        }
    }
    spent_us.sort_by(f64::total_cmp);
    let n = spent_us.len();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let mean = spent_us.iter().sum::<f64>() / n as f64;
    println!(
        "| {plugin} | {kind} | {:.0} | {mean:.0} | {:.0} | {} |",
        spent_us[n / 2],
        spent_us[n * 99 / 100],
        component.len().div_ceil(1024),
    );
    host.kill()?;
    host.remove()
}

fn cpu_us(attempt: &Value) -> Result<f64> {
    let ms = attempt["cpu_ms"].as_f64();
    Ok(ms.context("an attempt has its bill")? * 1000.0)
}
