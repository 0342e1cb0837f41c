//! `cargo xtask bench`: measures a release build and prints Markdown tables.
//!
//! The figures are of the machine that runs it, load generator included: it runs as a
//! process of its own on the same cores. `docs/benchmarks.md` keeps what was measured.

mod collection;
mod door;
mod end_to_end;
mod ingest;
mod machine;
mod plugin;
mod store;

use anyhow::Result;

use crate::arguments::{Arguments, Usage};
use crate::guests;
use crate::workspace::{Profile, Workspace};

/// Builds everything, then runs the benchmarks that were asked for.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let requests = arguments.value("--requests")?;
    let requests = requests
        .map(|text| {
            text.parse()
                .map_err(|_| Usage::new("--requests is not a number"))
        })
        .transpose()?;
    let asked = arguments.positional().unwrap_or_else(|| "all".to_owned());
    if asked == "store" {
        return store::run(arguments);
    }
    if asked == "lists" {
        return store::lists::run(arguments);
    }
    arguments.finish_without_extra()?;
    if ![
        "ingest",
        "end-to-end",
        "plugin",
        "collection",
        "door",
        "all",
    ]
    .contains(&asked.as_str())
    {
        return Err(Usage::new(format!("there is no benchmark `{asked}`")));
    }
    let is_asked = |name: &str| asked == name || asked == "all";

    let workspace = Workspace::find()?;
    guests::add_target()?;
    workspace.build_host(Profile::Release)?;
    guests::build_plugins(&workspace)?;
    guests::build_test_guests(&workspace)?;

    machine::print(&workspace)?;
    if is_asked("ingest") {
        ingest::measure(&workspace, requests)?;
    }
    if is_asked("end-to-end") {
        end_to_end::measure(&workspace, requests)?;
    }
    if is_asked("plugin") {
        plugin::measure(&workspace)?;
    }
    if is_asked("collection") {
        collection::measure(&workspace)?;
    }
    if is_asked("door") {
        door::measure(&workspace)?;
    }
    Ok(())
}
