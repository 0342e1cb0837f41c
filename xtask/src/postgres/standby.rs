//! A copy of the cluster that follows it and can take its place.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Cluster, FIRST_DATABASE, PORT_TRIES, free_port, tail};

const WITHIN: Duration = Duration::from_secs(60);

impl Cluster {
    /// Makes a copy that follows. Where `is_awaited`, no commit returns before the copy
    /// has it on its disk.
    pub(crate) fn add_standby(&mut self, is_awaited: bool) -> Result<()> {
        let mut tries = 1;
        loop {
            self.n_copies += 1;
            let port = free_port()?;
            if self.control(&format!("follow {} {port}", self.port))? {
                break;
            }
            if tries == PORT_TRIES {
                bail!("no copy follows; {}", tail(&self.folder.join("setup.log")));
            }
            tries += 1;
        }
        let names = if is_awaited { "*" } else { "" };
        // Each by itself: the first cannot be part of a transaction.
        self.psql(
            FIRST_DATABASE,
            &format!("alter system set synchronous_standby_names = '{names}'"),
        )?;
        self.psql(FIRST_DATABASE, "select pg_reload_conf()")?;
        let state = if is_awaited { "sync" } else { "async" };
        self.wait_for(&format!(
            "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = '{state}'"
        ))
    }

    /// Waits until the copy has all that is committed now.
    pub(crate) fn wait_for_standby(&self) -> Result<()> {
        let now = self.psql(FIRST_DATABASE, "select pg_current_wal_flush_lsn()")?;
        self.wait_for(&format!(
            "select count(*) from pg_stat_replication where replay_lsn >= '{now}'"
        ))
    }

    /// Stops the copy: what comes from now on is not in it.
    pub(crate) fn stop_standby(&mut self) -> Result<()> {
        if !self.control("stop-following")? {
            bail!("the copy does not stop; {}", tail(&self.log_file()));
        }
        Ok(())
    }

    /// Kills the server's processes; the copy takes its place, at its port.
    pub(crate) fn fail_over(&mut self) -> Result<()> {
        if !self.control(&format!("take-over {}", self.port))? {
            bail!("the copy does not take over; {}", tail(&self.log_file()));
        }
        self.data = format!("standby-{}", self.n_copies);
        Ok(())
    }

    fn wait_for(&self, count: &str) -> Result<()> {
        let started = Instant::now();
        while self.psql(FIRST_DATABASE, count)? != "1" {
            if started.elapsed() > WITHIN {
                bail!("waited {} s in vain for: {count}", WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cluster, Durability, programs};

    #[test]
    fn a_copy_takes_over_with_what_it_has() {
        // `cargo xtask test` has a server; a test installs none.
        if programs::find_servers().is_none() {
            return;
        }
        let mut cluster = Cluster::start(Durability::Fast, &[]).unwrap();
        cluster.create_database("d").unwrap();
        cluster.psql("d", "create table t (n int)").unwrap();
        cluster.add_standby(false).unwrap();
        cluster.psql("d", "insert into t values (1)").unwrap();
        cluster.wait_for_standby().unwrap();
        cluster.stop_standby().unwrap();
        cluster.psql("d", "insert into t values (2)").unwrap();
        let first = cluster.process();
        cluster.fail_over().unwrap();
        assert_ne!(cluster.process(), first);
        assert_eq!(cluster.psql("d", "select n from t").unwrap(), "1");
        // It can be copied in turn.
        cluster.add_standby(true).unwrap();
        cluster.psql("d", "insert into t values (3)").unwrap();
        cluster.fail_over().unwrap();
        assert_eq!(
            cluster.psql("d", "select n from t order by n").unwrap(),
            "1\n3"
        );
        let folder = cluster.folder().to_owned();
        drop(cluster);
        assert!(!folder.exists());
    }
}
