//! What a cluster's processes can suffer short of their death: a disk that is full.

use std::fs;

use anyhow::{Context, Result};

use super::Cluster;
use super::supervisor::unprivileged;
use crate::workspace;

/// A file of the server's log for recovery has this size from the beginning: those are to
/// fit in any case.
const WAL_FILE_BYTES: u64 = 16 << 20;

impl Cluster {
    /// Lets no file grow beyond the largest table of `database` as it is, or any as it
    /// likes. To a process whose files may not grow, its disk is full.
    pub(crate) fn fill_disk(&self, database: &str) -> Result<()> {
        let largest = self.psql(
            database,
            "select coalesce(max(pg_relation_size(oid)), 0) from pg_class where relkind in ('r', 't')",
        )?;
        let largest: u64 = largest.parse().context("the server did not say a size")?;
        self.limit_files(&largest.max(WAL_FILE_BYTES).to_string())
    }

    /// Takes that back.
    pub(crate) fn free_disk(&self) -> Result<()> {
        self.limit_files("unlimited")
    }

    /// The server's processes, and those that it will start.
    fn limit_files(&self, soft: &str) -> Result<()> {
        let first = self.process().context("the server is down")?;
        let mut processes = vec![first];
        processes.extend(children(first)?);
        for process in processes {
            // Whose they are may set their limits; root without all its rights may not.
            let mut command = unprivileged("prlimit")?;
            command.arg(format!("--pid={process}"));
            command.arg(format!("--fsize={soft}:unlimited"));
            let limited = workspace::run(&mut command);
            // It may have ended between the look and this.
            if fs::exists(format!("/proc/{process}"))? {
                limited?;
            }
        }
        Ok(())
    }
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Ok(process) = name.to_string_lossy().parse() else {
            continue;
        };
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name before the bracket may hold spaces; behind it come state and parent.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        if fields.split_whitespace().nth(1) == Some(&parent.to_string()) {
            children.push(process);
        }
    }
    Ok(children)
}
