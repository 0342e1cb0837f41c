//! What the figures depend on: cores, processor, kernel, and how long the disk takes to
//! make a write durable, which bounds every acknowledgement.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::load::percentile_ms;
use crate::workspace::Workspace;

const SYNCS: usize = 200;
const SYNC_BYTES: usize = 4096;

/// Prints the machine's facts as a list.
pub(crate) fn print(workspace: &Workspace) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let file = folder.join("sync");
    let syncs_us = time_syncs(&file).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\n## Machine\n");
    println!("- cores: {cores}, load generator included");
    println!("- processor: {}", processor());
    println!(
        "- kernel: {}",
        fact("/proc/sys/kernel/ostype") + " " + &fact("/proc/sys/kernel/osrelease")
    );
    println!(
        "- write and fdatasync of 4 KiB: p50 {:.3} ms, p99 {:.3} ms",
        percentile_ms(&syncs_us, 50),
        percentile_ms(&syncs_us, 99),
    );
    Ok(())
}

fn time_syncs(path: &std::path::Path) -> std::io::Result<Vec<u64>> {
    let mut file = File::create(path)?;
    let mut taken_us = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[7; SYNC_BYTES])?;
        file.sync_data()?;
        taken_us.push(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    fs::remove_file(path)?;
    taken_us.sort_unstable();
    Ok(taken_us)
}

fn processor() -> String {
    let text = fact("/proc/cpuinfo");
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line
        .and_then(|line| line.split_once(':'))
        .map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn fact(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
