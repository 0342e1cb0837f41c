//! `cargo xtask verify-acked`: the comparison from outside.
//!
//! It knows only what the load generator wrote down and what the admin API says, and shares
//! no code with the host: each acknowledged delivery is exactly one event; each push,
//! acknowledged or not, has exactly one run of the plugin, which succeeded; no attempt failed
//! otherwise than by the host's death, and none ran on a component that should not have run;
//! the plugin's counters add up to the succeeded runs, so that no write was lost or doubled.
//! With `--ordered`, [`order`] compares the order of runs with that of the deliveries.

mod order;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::arguments::Arguments;
use crate::load::local_address;

const SHOWN_MAX: usize = 20;
/// Those that a load makes; of others nobody says that the plugin wants them.
const EVENTS: &str = "events?source=github&kind=push";

/// What to compare with what.
struct Comparison {
    /// The lines `<delivery id> <event id> <status>[ <ordering key>]` of the senders.
    acked: PathBuf,
    /// Delivery ids, one a line, of which nothing may have been stored.
    absent: Option<PathBuf>,
    admin: SocketAddr,
    token_file: PathBuf,
    /// The plugin that every delivery must have run.
    plugin: String,
    /// The digests on which an attempt may have run; none means any.
    digests: Vec<String>,
    order: Option<order::Order>,
    /// Whether to print the counts once more, for a program.
    is_json: bool,
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
        absent: arguments.value("--absent")?.map(PathBuf::from),
        digests: Vec::new(),
        order: order::Order::parse(&mut arguments),
        is_json: arguments.flag("--json"),
    };
    while let Some(digest) = arguments.value("--digest")? {
        comparison.digests.push(digest);
    }
    arguments.finish_without_extra()?;
    comparison.make()
}

impl Comparison {
    fn make(&self) -> Result<()> {
        let acked = read_acked(&self.acked)?;
        let mut admin = Admin::new(self.admin, &self.token_file)?;
        let mut differences = Differences::default();

        let events = Events::fetch(&mut admin, &mut differences)?;
        let runs = admin.items(&format!("runs?plugin={}", self.plugin))?;
        compare_events(&acked, &events, &mut differences);
        self.compare_absent(&events, &mut differences)?;
        compare_runs(&events, &runs, &mut differences);
        let runs = with_attempts(&mut admin, &runs)?;
        let host_lost = self.compare_attempts(&runs, &mut differences);
        self.compare_counters(&mut admin, &runs, &mut differences)?;
        if let Some(order) = &self.order {
            order.compare(&fs::read_to_string(&self.acked)?, &runs, &mut differences);
        }

        println!(
            "{} acknowledged deliveries, {} events, {} runs of {}, {host_lost} attempts lost with a host",
            acked.len(),
            events.total,
            runs.len(),
            self.plugin,
        );
        differences.report()?;
        if self.is_json {
            let counts = json!({
                "acked": acked.len(), "events": events.total, "runs": runs.len(), "host_lost": host_lost,
            });
            println!("{counts}");
        }
        Ok(())
    }

    fn compare_absent(&self, events: &Events, differences: &mut Differences) -> Result<()> {
        let Some(file) = &self.absent else {
            return Ok(());
        };
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        for delivery_id in text.lines() {
            if events.by_delivery.contains_key(delivery_id) {
                differences.add(format!(
                    "delivery {delivery_id} was never whole, but there is an event"
                ));
            }
        }
        Ok(())
    }

    fn compare_attempts(&self, runs: &[Value], differences: &mut Differences) -> usize {
        let mut host_lost = 0;
        for run in runs {
            let id = text(run, "id");
            if attempts(run).is_empty() {
                differences.add(format!("run {id} has no attempt"));
            }
            for attempt in attempts(run) {
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
        host_lost
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

/// The runs, each with what only its own page has.
fn with_attempts(admin: &mut Admin, runs: &[Value]) -> Result<Vec<Value>> {
    let whole = |run| admin.get(&format!("runs/{}", text(run, "id")));
    runs.iter().map(whole).collect()
}

fn attempts(run: &Value) -> &[Value] {
    run["attempts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
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
        let items = admin.items(EVENTS)?;
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

fn compare_events(acked: &Acked, events: &Events, differences: &mut Differences) {
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
    }
}

fn compare_runs(events: &Events, runs: &[Value], differences: &mut Differences) {
    let mut by_event: HashMap<&str, Vec<&Value>> = HashMap::new();
    for run in runs {
        by_event.entry(text(run, "event_id")).or_default().push(run);
    }
    for event_id in events.by_delivery.values().flatten() {
        match by_event
            .remove(event_id.as_str())
            .unwrap_or_default()
            .as_slice()
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
    for event_id in by_event.keys() {
        differences.add(format!(
            "there is a run of event {event_id}, which is not there"
        ));
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
