//! `cargo xtask verify-acked`: the comparison from outside.
//!
//! It knows only what the load generator wrote down and what the admin API says, and shares
//! no code with the host: each acknowledged delivery is exactly one event, with exactly one
//! run of the plugin, which succeeded; no attempt failed otherwise than by the host's death,
//! and none ran on a component that should not have run; the plugin's counters add up to the
//! succeeded runs, so that no write was lost or doubled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::admin::Admin;
use crate::arguments::Arguments;
use crate::load::local_address;

const SHOWN_MAX: usize = 20;

/// What to compare with what.
pub(crate) struct Comparison {
    /// The lines `<delivery id> <event id> <status>` of the load generator.
    pub(crate) acked: PathBuf,
    /// The admin API's address.
    pub(crate) admin: SocketAddr,
    /// The file of the admin API's token.
    pub(crate) token_file: PathBuf,
    /// The plugin that every delivery must have run.
    pub(crate) plugin: String,
    /// The digests on which an attempt may have run; none means any.
    pub(crate) digests: Vec<String>,
}

/// Compares, prints the differences and fails when there are any.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let mut comparison = Comparison {
        acked: arguments.required("--acked")?.into(),
        admin: local_address(&arguments.required("--admin")?)?.0,
        token_file: arguments.required("--token-file")?.into(),
        plugin: arguments
            .value("--plugin")?
            .unwrap_or_else(|| "github-push".to_owned()),
        digests: Vec::new(),
    };
    while let Some(digest) = arguments.value("--digest")? {
        comparison.digests.push(digest);
    }
    arguments.finish_without_extra()?;
    comparison.make()
}

impl Comparison {
    /// Compares, prints the differences and fails when there are any.
    pub(crate) fn make(&self) -> Result<()> {
        let acked = read_acked(&self.acked)?;
        let mut admin = Admin::new(self.admin, &self.token_file)?;
        let mut differences = Differences::default();

        let events = Events::fetch(&mut admin, &mut differences)?;
        let runs = admin.items(&format!("runs?plugin={}", self.plugin))?;
        let event_ids = compare_events(&acked, &events, &mut differences);
        compare_runs(&event_ids, &runs, &mut differences);
        let host_lost = self.compare_attempts(&mut admin, &runs, &mut differences)?;
        self.compare_counters(&mut admin, &runs, &mut differences)?;

        println!(
            "{} acknowledged deliveries, {} events, {} runs of {}, {host_lost} attempts lost with a host",
            acked.len(),
            events.total,
            runs.len(),
            self.plugin,
        );
        differences.report()
    }

    fn compare_attempts(
        &self,
        admin: &mut Admin,
        runs: &[Value],
        differences: &mut Differences,
    ) -> Result<usize> {
        let mut host_lost = 0;
        for run in runs {
            let id = text(run, "id");
            let whole = admin.get(&format!("runs/{id}"))?;
            let attempts = whole["attempts"]
                .as_array()
                .with_context(|| format!("run {id} has no attempts"))?;
            if attempts.is_empty() {
                differences.add(format!("run {id} has no attempt"));
            }
            for attempt in attempts {
                let outcome = text(attempt, "outcome");
                match outcome {
                    "succeeded" => {}
                    "host_lost" => host_lost += 1,
                    _ => differences.add(format!(
                        "run {id}: attempt {} ended `{outcome}`",
                        attempt["n"]
                    )),
                }
                let digest = text(attempt, "digest").trim_start_matches("sha256:");
                // Of an attempt that was lost with its host nobody knows whether it ran.
                let is_known = !digest.is_empty();
                if is_known
                    && !self.digests.is_empty()
                    && !self.digests.iter().any(|allowed| allowed == digest)
                {
                    differences.add(format!(
                        "run {id}: attempt {} ran on digest `{digest}`",
                        attempt["n"]
                    ));
                }
            }
        }
        Ok(host_lost)
    }

    fn compare_counters(
        &self,
        admin: &mut Admin,
        runs: &[Value],
        differences: &mut Differences,
    ) -> Result<()> {
        let succeeded = runs
            .iter()
            .filter(|run| text(run, "state") == "succeeded")
            .count() as u64;
        let counted = admin.pushes_counted(&self.plugin)?;
        if counted != succeeded {
            differences.add(format!(
                "the counters add up to {counted}, but {succeeded} runs succeeded"
            ));
        }
        Ok(())
    }
}

/// Delivery id → the event ids with which it was acknowledged.
type Acked = BTreeMap<String, BTreeSet<String>>;

fn read_acked(file: &Path) -> Result<Acked> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut acked = Acked::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(delivery_id), Some(event_id)) = (words.next(), words.next()) else {
            bail!(
                "{} has the line `{line}`, which is not `<delivery id> <event id> <status>`",
                file.display()
            );
        };
        acked
            .entry(delivery_id.to_owned())
            .or_default()
            .insert(event_id.to_owned());
    }
    if acked.is_empty() {
        bail!("{} holds no acknowledged delivery", file.display());
    }
    Ok(acked)
}

/// The stored events by delivery id.
struct Events {
    by_delivery: HashMap<String, Vec<String>>,
    total: usize,
}

impl Events {
    fn fetch(admin: &mut Admin, differences: &mut Differences) -> Result<Self> {
        let items = admin.items("events")?;
        let mut by_delivery: HashMap<String, Vec<String>> = HashMap::new();
        for event in &items {
            let delivery_id = text(event, "delivery_id").to_owned();
            by_delivery
                .entry(delivery_id)
                .or_default()
                .push(text(event, "id").to_owned());
        }
        // Also those that were never acknowledged: one stored twice is wrong in any case.
        for (delivery_id, ids) in by_delivery.iter().filter(|(_, ids)| ids.len() > 1) {
            differences.add(format!(
                "delivery {delivery_id} is {} events: {}",
                ids.len(),
                ids.join(", ")
            ));
        }
        Ok(Self {
            total: items.len(),
            by_delivery,
        })
    }
}

/// The ids of the events of the acknowledged deliveries.
fn compare_events<'a>(
    acked: &Acked,
    events: &'a Events,
    differences: &mut Differences,
) -> Vec<&'a str> {
    let mut event_ids = Vec::new();
    for (delivery_id, named) in acked {
        let Some(stored) = events.by_delivery.get(delivery_id) else {
            differences.add(format!(
                "delivery {delivery_id} was acknowledged, but there is no event"
            ));
            continue;
        };
        for event_id in named.iter().filter(|event_id| !stored.contains(event_id)) {
            differences.add(format!(
                "delivery {delivery_id} was acknowledged as event {event_id}, stored as {stored:?}"
            ));
        }
        event_ids.extend(stored.iter().map(String::as_str));
    }
    event_ids
}

fn compare_runs(event_ids: &[&str], runs: &[Value], differences: &mut Differences) {
    let mut by_event: HashMap<&str, Vec<&Value>> = HashMap::new();
    for run in runs {
        by_event.entry(text(run, "event_id")).or_default().push(run);
    }
    for event_id in event_ids {
        match by_event
            .get(event_id)
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            [] => differences.add(format!("event {event_id} has no run")),
            [run] if text(run, "state") == "succeeded" => {}
            [run] => differences.add(format!(
                "event {event_id}: run {} is `{}`, outcome {}, error {}",
                text(run, "id"),
                text(run, "state"),
                run["outcome"],
                run["error"],
            )),
            several => differences.add(format!("event {event_id} has {} runs", several.len())),
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn add(&mut self, difference: String) {
        self.0.push(difference);
    }

    fn report(self) -> Result<()> {
        for difference in self.0.iter().take(SHOWN_MAX) {
            println!("  {difference}");
        }
        match self.0.len() {
            0 => {
                println!("No difference.");
                Ok(())
            }
            n => bail!("{n} differences between what was acknowledged and what is there"),
        }
    }
}
